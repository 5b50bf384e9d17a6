//! The host's sysctls that containers' traffic needs: changed by the first daemon of a host, put back by the last.
//!
//! What was found before the first came stands in the alias of every bridge of ours (`marker.rs`): a daemon that comes
//! later copies it, and one that leaves restores it only if no other bridge of ours is there. All of this happens in the
//! turn of `lock.rs`.

use std::io;
use std::path::{Path, PathBuf};

use netlink_packet_route::link::LinkMessage;

use super::marker::{self, Found, SYSCTLS};
use super::rtnl;
use crate::journal::{Journal, Step};
use crate::refusal::Refusal;

const ROOT: &str = "/proc/sys/net/ipv4";
/// Where whether the host forwards is said.
const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// What was found before the first daemon came, as a bridge of ours among `links` says, or else as it is.
pub fn found(links: &[LinkMessage]) -> Result<Found, Refusal> {
    if let Some(found) = links.iter().find_map(|link| marker::found(rtnl::alias(link))) {
        return Ok(found);
    }
    let [first, second] = SYSCTLS.map(|key| read(&path(key)));
    Ok(Found([first?, second?]))
}

/// Lets the host forward, with what was `found` on record for whoever leaves last.
pub fn open(found: &Found, journal: &mut Journal) -> Result<(), Refusal> {
    for step in steps(found) {
        journal.record(step)?;
    }
    write(Path::new(IP_FORWARD), "1")
}

/// What puts back what was `found`, in the order of its making.
pub fn steps(found: &Found) -> Vec<Step> {
    let [_, forward] = &found.0;
    if forward == "1" {
        return Vec::new();
    }
    SYSCTLS.iter().zip(&found.0).map(|(key, value)| Step::Sysctl { path: path(key), value: value.clone() }).collect()
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
/// that duty, or somebody else has changed it since.
pub fn restore(path: &Path, value: &str, links: &[LinkMessage]) -> Result<(), Refusal> {
    let inherited = links.iter().any(|link| marker::is_ours(rtnl::alias(link)));
    let changed_since = path == Path::new(IP_FORWARD) && read(path)? != "1";
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
