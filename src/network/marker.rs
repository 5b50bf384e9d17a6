//! What stands in the alias of a bridge of ours, pure: that it is ours, and what the host's sysctls were before the
//! first daemon came.
//!
//! The alias lives in the kernel beside the bridge, so daemons side by side need no file in common to know of one
//! another: whoever comes later copies what was found from a bridge that is there, and whoever leaves last restores it.

use std::path::Path;

/// The first word of the alias of every bridge of ours.
const GANTRY: &str = "gantry";
/// The longest alias the kernel takes (`IFALIASZ` less its NUL).
const ALIAS_MAX: usize = 255;

/// The sysctls of IPv4 that we change, under `/proc/sys/net/ipv4`, in the order of changing. The kernel changes the
/// first of them itself when the second changes, so it is put back after it.
pub const SYSCTLS: [&str; 2] = ["conf/all/accept_redirects", "ip_forward"];

/// What was found before the first daemon came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// A value for each of [`SYSCTLS`].
    pub v4: [String; 2],
    /// The links (or `default`) that were said to forward by IPv4 though the host did not.
    pub forwarding: Vec<String>,
    /// Of IPv6; none where no daemon has changed any of it yet.
    pub v6: Option<Found6>,
}

/// What was found of IPv6.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found6 {
    /// The host forwarded; then nothing was changed.
    pub forwarded: bool,
    /// The links by which the host heeded routers' advertisements, and would not any more when it forwards.
    pub heeding: Vec<String>,
    /// The links (or `default`) that were said to forward though the host did not.
    pub forwarding: Vec<String>,
}

/// The word that tells which links forwarded.
const FORWARDING: &str = "forwarding4";
/// The words that tell what was found of IPv6: its forwarding, and lists of links.
const V6: [&str; 3] = ["v6", "heeding", "forwarding"];
/// What stands between two links in a list: no link's name has it.
const BETWEEN: &str = ":";
/// The longest list, in bytes. What is beyond it is in the journal alone.
const LIST_MAX: usize = 48;

/// The alias of a bridge of the daemon whose first bridge is called `bridge`, and which keeps its data in `root`.
pub fn alias(found: &Found, bridge: &str, root: &Path) -> String {
    let mut text = GANTRY.to_owned();
    for (key, value) in SYSCTLS.iter().zip(&found.v4) {
        text.push_str(&format!(" {key}={value}"));
    }
    text.push_str(&format!(" {FORWARDING}={}", list(&found.forwarding)));
    if let Some(v6) = &found.v6 {
        let forwarded = u8::from(v6.forwarded).to_string();
        for (key, value) in V6.iter().zip([forwarded, list(&v6.heeding), list(&v6.forwarding)]) {
            text.push_str(&format!(" {key}={value}"));
        }
    }
    text.push_str(&format!(" bridge={bridge} root={}", root.display()));
    text.truncate(text.floor_char_boundary(ALIAS_MAX));
    text
}

fn list(links: &[String]) -> String {
    let mut list = String::new();
    for link in links.iter().filter(|link| link.is_ascii()) {
        if list.len() + BETWEEN.len() + link.len() <= LIST_MAX {
            list.extend([if list.is_empty() { "" } else { BETWEEN }, link.as_str()]);
        }
    }
    list
}

/// Whether a link with this alias is a bridge of ours.
pub fn is_ours(alias: &str) -> bool {
    alias.split(' ').next() == Some(GANTRY)
}

/// Whether a link with this alias is a bridge of the daemon whose first is called `bridge`, whatever it is called now.
pub fn is_of(alias: &str, bridge: &str) -> bool {
    is_ours(alias) && alias.split(' ').any(|word| word.strip_prefix("bridge=") == Some(bridge))
}

/// What the alias of a bridge of ours says was found.
pub fn found(alias: &str) -> Option<Found> {
    let v4 = [value(alias, SYSCTLS[0])?.to_owned(), value(alias, SYSCTLS[1])?.to_owned()];
    Some(Found { v4, forwarding: links(value(alias, FORWARDING).unwrap_or_default()), v6: found6(alias) })
}

/// What it says of IPv6, if anything.
pub fn found6(alias: &str) -> Option<Found6> {
    let [forwarded, heeding, forwarding] = [value(alias, V6[0])?, value(alias, V6[1])?, value(alias, V6[2])?];
    Some(Found6 { forwarded: forwarded == "1", heeding: links(heeding), forwarding: links(forwarding) })
}

/// What an alias of ours says of `key`, before it comes to what others may choose.
fn value<'a>(alias: &'a str, key: &str) -> Option<&'a str> {
    let mut words = alias.split(' ').filter(|_| is_ours(alias)).take_while(|word| !word.starts_with("bridge="));
    words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

fn links(list: &str) -> Vec<String> {
    list.split(BETWEEN).filter(|link| !link.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_tells_what_was_found() {
        let was = Found { v4: ["1".to_owned(), "0".to_owned()], forwarding: vec!["eth0".to_owned()], v6: None };
        let text = alias(&was, "gantry0", Path::new("/var/lib/gantry"));
        assert_eq!(
            text,
            "gantry conf/all/accept_redirects=1 ip_forward=0 forwarding4=eth0 bridge=gantry0 root=/var/lib/gantry"
        );
        assert!(is_of(&text, "gantry0") && !is_of(&text, "gantry") && !is_of("mine bridge=gantry0", "gantry0"));
        assert!(is_ours(&text));
        assert_eq!(found(&text), Some(was.clone()));
        let long = alias(&was, "gantry0", Path::new(&"/é".repeat(200)));
        assert!(long.len() <= ALIAS_MAX && found(&long) == Some(was));
    }

    #[test]
    fn an_alias_tells_what_was_found_of_ipv6() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let v4 = ["1".to_owned(), "0".to_owned()];
        for v6 in [
            Found6 { forwarded: true, ..Found6::default() },
            Found6::default(),
            Found6 { forwarded: false, heeding: names(&["eth0", "wlan0.7"]), forwarding: names(&["default"]) },
        ] {
            let was = Found { v4: v4.clone(), forwarding: Vec::new(), v6: Some(v6.clone()) };
            let text = alias(&was, "gantry0", Path::new("/"));
            assert!(is_of(&text, "gantry0"), "{text}");
            assert_eq!((found(&text), found6(&text)), (Some(was), Some(v6)));
        }
        let many: Vec<String> = (0..100).map(|nth| format!("fifteen-let{nth:04}")).collect();
        let v6 = Found6 { forwarded: false, heeding: many.clone(), forwarding: many.clone() };
        let text = alias(&Found { v4, forwarding: many.clone(), v6: Some(v6) }, "fifteen-letters", Path::new("/"));
        assert!(is_of(&text, "fifteen-letters"), "the lists leave room: {text}");
        assert_eq!(found6(&text).unwrap().heeding, many[..3]);
    }

    #[test]
    fn what_others_write_is_not_ours() {
        for other in ["", "uplink", "gantryx ip_forward=0", " gantry"] {
            assert!(!is_ours(other) && found(other).is_none(), "{other}");
        }
        assert_eq!(found("gantry of another version"), None);
    }
}
