//! The host's sysctls that containers' traffic needs: changed by the first daemon of a host, put back by the last.
//!
//! What was found before the first came stands in the alias of every bridge of ours (`marker.rs`): a daemon that comes
//! later copies it, and one that leaves restores it only if no other bridge of ours is there. All of this happens in the
//! turn of `lock.rs`.

use std::io;
use std::path::{Path, PathBuf};

use netlink_packet_route::link::LinkMessage;

use super::marker::{self, Found, Found6, SYSCTLS};
use super::{rtnl, v6};
use crate::journal::{Journal, Step};
use crate::refusal::Refusal;

const ROOT: &str = "/proc/sys/net/ipv4";
/// Where whether the host forwards is said.
const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// What was found before the first daemon came, as a bridge of ours among `links` says, or else as it is. Of IPv6 too, where
/// this daemon or one before it has to do with it.
pub fn found(links: &[LinkMessage], v6: bool) -> Result<Found, Refusal> {
    let mut aliases = links.iter().map(rtnl::alias);
    let found = match aliases.clone().find_map(marker::found) {
        Some(found) => found,
        None => {
            let [redirects, forward] = SYSCTLS.map(|key| read(&path(key)));
            let v4 = [redirects?, forward?];
            let by_themselves = if v4[1] == "1" { Vec::new() } else { forwarding(links) };
            Found { v4, forwarding: by_themselves, v6: None }
        }
    };
    let found6 = aliases.find_map(marker::found6);
    Ok(Found { v6: found6.or_else(|| v6.then(|| habits(links))), ..found })
}

/// The links that forward by IPv4, or `default`: where the host does not, they do so by themselves. They are overwritten when it
/// does.
fn forwarding(links: &[LinkMessage]) -> Vec<String> {
    let forwards = |link: &String| read(&forwarding_of(link)).as_deref() == Ok("1");
    with_default(links).filter(forwards).collect()
}

fn forwarding_of(link: &str) -> PathBuf {
    path(&format!("conf/{link}/forwarding"))
}

fn with_default(links: &[LinkMessage]) -> impl Iterator<Item = String> {
    std::iter::once("default".to_owned()).chain(links.iter().map(|link| rtnl::name(link).to_owned()))
}

/// What of IPv6 changes when the host forwards: it heeds no router's advertisements any more by the links of the habit 1, and
/// would lose the routes that it has by them; and every link's own `forwarding` is overwritten (`Documentation/networking/
/// ip-sysctl.rst`). Links that are down, or ports of a bridge, heed nobody.
fn habits(links: &[LinkMessage]) -> Found6 {
    if v6::read("all", "forwarding").as_deref() == Some("1") {
        return Found6 { forwarded: true, ..Found6::default() };
    }
    let has = |link: &str, habit, value| v6::read(link, habit).as_deref() == Some(value);
    let by_itself = |link: &&LinkMessage| rtnl::is_up(link) && rtnl::master(link).is_none();
    let heeding = links.iter().filter(by_itself).map(|link| rtnl::name(link).to_owned());
    Found6 {
        forwarded: false,
        heeding: heeding.filter(|link| link != "lo" && has(link, "accept_ra", "1")).collect(),
        forwarding: with_default(links).filter(|link| has(link, "forwarding", "1")).collect(),
    }
}

/// Lets the host forward, IPv6 too where that is wished for, with what was `found` on record for whoever leaves last.
pub fn open(found: &Found, v6: bool, journal: &mut Journal) -> Result<(), Refusal> {
    for step in steps(found) {
        journal.record(step)?;
    }
    write(Path::new(IP_FORWARD), "1")?;
    let Some(found6) = found.v6.as_ref().filter(|_| v6) else { return Ok(()) };
    for link in &found6.heeding {
        // "Overrule forwarding behaviour": before it forwards, for that is when the routes go. A link may have gone too.
        if let Err(refusal) = write(&v6::path(link, HEEDS.0), HEEDS.1) {
            log::warn!("the host may lose the routes that it has by advertisements on {link}: {refusal}");
        }
    }
    write(&v6::path("all", "forwarding"), "1")
}

/// The habit of heeding routers, and its value for a host that forwards.
const HEEDS: (&str, &str) = ("accept_ra", "2");

/// What puts back what was `found`, in the order of its making.
pub fn steps(found: &Found) -> Vec<Step> {
    let mut steps = Vec::new();
    let [_, forward] = &found.v4;
    if forward != "1" {
        // Put back last.
        steps.extend(found.forwarding.iter().map(|link| (forwarding_of(link), "1")));
        steps.extend(SYSCTLS.iter().zip(&found.v4).map(|(key, value)| (path(key), value.as_str())));
    }
    if let Some(v6) = found.v6.as_ref().filter(|v6| !v6.forwarded) {
        // Put back from the last on: it overwrites the links' `forwarding`, and setting one of those takes away what routes
        // there are by advertisements, but on links that heed them all the same.
        steps.extend(v6.heeding.iter().map(|link| (v6::path(link, HEEDS.0), "1")));
        steps.extend(v6.forwarding.iter().map(|link| (v6::path(link, "forwarding"), "1")));
        steps.push((v6::path("all", "forwarding"), "0"));
    }
    steps.into_iter().map(|(path, value)| Step::Sysctl { path, value: value.to_owned() }).collect()
}

/// Lets what the host sends from 127.0.0.1 reach a port published there. It is our own link's, and goes with it.
pub fn open_loopback(bridge: &str) -> Result<(), Refusal> {
    write(&path(&format!("conf/{bridge}/route_localnet")), "1")
}

/// Lets the host answer, on `bridge`, for those of its network that are on another bridge; and at once, where the kernel
/// would wait a while for somebody better (`proxy_delay`). Our own link's too.
pub fn answer_for_others(bridge: &str) -> Result<(), Refusal> {
    write(&path(&format!("neigh/{bridge}/proxy_delay")), "0")?;
    write(&path(&format!("conf/{bridge}/proxy_arp")), "1")
}

/// Puts the sysctl at `path` back to `value`, unless one of `links` is a bridge of ours, whose daemon has inherited
/// that duty, or somebody else has changed it since, or it went with its link.
pub fn restore(path: &Path, value: &str, links: &[LinkMessage]) -> Result<(), Refusal> {
    let mut aliases = links.iter().map(rtnl::alias);
    let is_v6 = path.starts_with(v6::ROOT);
    let inherited = match is_v6 {
        true => aliases.any(|alias| marker::found6(alias).is_some()),
        false => aliases.any(marker::is_ours),
    };
    let ours = match path.file_name().and_then(|name| name.to_str()) {
        _ if !path.exists() => return Ok(()),
        Some("forwarding") if value == "1" => Some("0"),
        Some("forwarding" | "ip_forward") => Some("1"),
        Some("accept_ra") => Some(HEEDS.1),
        _ => None,
    };
    let changed_since = match ours {
        Some(ours) => read(path)? != ours,
        None => false,
    };
    if inherited || changed_since { Ok(()) } else { write(path, value) }
}

fn path(key: &str) -> PathBuf {
    Path::new(ROOT).join(key)
}

fn read(path: &Path) -> Result<String, Refusal> {
    let value = std::fs::read_to_string(path).map_err(|error| Refusal::io(path.display(), &error))?;
    Ok(value.trim().to_owned())
}

fn write(path: &Path, value: &str) -> Result<(), Refusal> {
    let same = std::fs::read_to_string(path).is_ok_and(|is| is.trim() == value);
    if same { Ok(()) } else { std::fs::write(path, value).map_err(|error| unwritable(path, &error)) }
}

fn unwritable(path: &Path, error: &io::Error) -> Refusal {
    Refusal::io(format_args!("{} cannot be set, and containers' traffic needs it", path.display()), error)
}
