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

/// What was found before the first daemon came: a value for each of [`SYSCTLS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found(pub [String; 2]);

/// The alias of a bridge of the daemon whose first bridge is called `bridge`, and which keeps its data in `root`.
pub fn alias(found: &Found, bridge: &str, root: &Path) -> String {
    let mut text = GANTRY.to_owned();
    for (key, value) in SYSCTLS.iter().zip(&found.0) {
        text.push_str(&format!(" {key}={value}"));
    }
    text.push_str(&format!(" bridge={bridge} root={}", root.display()));
    text.truncate(text.floor_char_boundary(ALIAS_MAX));
    text
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
    let mut words = alias.split(' ').filter(|_| is_ours(alias));
    words.next()?;
    let mut value = |key: &str| words.next()?.strip_prefix(key)?.strip_prefix('=').map(str::to_owned);
    Some(Found([value(SYSCTLS[0])?, value(SYSCTLS[1])?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_tells_what_was_found() {
        let was = Found(["1".to_owned(), "0".to_owned()]);
        let text = alias(&was, "gantry0", Path::new("/var/lib/gantry"));
        assert_eq!(text, "gantry conf/all/accept_redirects=1 ip_forward=0 bridge=gantry0 root=/var/lib/gantry");
        assert!(is_of(&text, "gantry0") && !is_of(&text, "gantry") && !is_of("mine bridge=gantry0", "gantry0"));
        assert!(is_ours(&text));
        assert_eq!(found(&text), Some(was.clone()));
        let long = alias(&was, "gantry0", Path::new(&"/é".repeat(200)));
        assert!(long.len() <= ALIAS_MAX && found(&long) == Some(was));
    }

    #[test]
    fn what_others_write_is_not_ours() {
        for other in ["", "uplink", "gantryx ip_forward=0", " gantry"] {
            assert!(!is_ours(other) && found(other).is_none(), "{other}");
        }
        assert_eq!(found("gantry of another version"), None);
    }
}
