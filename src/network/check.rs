//! Whether this host is fit for the network: tried out where trying leaves no trace, for the verb `check`.

use std::net::Ipv4Addr;
use std::path::Path;

use super::bridge;
use super::host::Base;
use super::netns::Mould;
use super::rtnl::Rtnl;
use super::ula::Ula;
use super::{dns, foreign, occupied, pool, rules, v6, wrong};
use crate::config::{Config, Subnet};
use crate::id::BRIDGE;
use crate::refusal::Refusal;
use crate::tools::{Tools, nft};
use crate::worker::beside;

/// What was found out about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which thing.
    pub check: &'static str,
    /// Whether it is fit.
    pub ok: bool,
    /// What was found, or what to do.
    pub detail: String,
}

impl Finding {
    fn of(check: &'static str, found: Result<String, Refusal>) -> Self {
        match found {
            Ok(detail) => Self { check, ok: true, detail },
            Err(refusal) => Self { check, ok: false, detail: refusal.message().to_owned() },
        }
    }
}

/// Namespaces, bridges, nft, forwarding, others' firewalls, the kernel's bounds and the subnet. May be asked beside a running
/// daemon.
pub async fn check(config: &Config, tools: &Tools) -> Vec<Finding> {
    let (own, bridge, cooperate) = (config.clone(), config.bridge.clone(), config.firewall_cooperate);
    let links = config.bridge_links;
    // Asked for a bridge that nobody has: the table of a running daemon would be in the way.
    let subnet = config.subnet.unwrap_or(ANY);
    let (name, v6) = ("gantry-check".to_owned(), v6::is_on(config.ipv6));
    let ula = Ula::choose("", &name, "", &[]).filter(|_| v6);
    let trial = Base { bridge: name, index: 0, subnet, gateway: pool::gateway(subnet), ula, routed: false };
    let trial = rules::table(&trial, v6, dns::Ports { udp: 53, tcp: 53 });
    let (wished, name) = (config.ipv6, config.bridge.clone());
    let nft = nft::check(tools, trial).await.map(|()| "the ruleset is accepted".to_owned());
    vec![
        Finding::of("netns", beside(try_namespace).await),
        Finding::of("nft", nft),
        Finding::of("ip-forward", beside(try_forwarding).await),
        Finding::of("ipv6", beside(move || try_ipv6(wished, &name)).await),
        Finding::of("forward", beside(move || foreign::try_forward(&bridge, cooperate, v6)).await),
        Finding::of("neighbours", beside(move || try_neighbours(v6)).await),
        Finding::of("backlog", beside(move || try_backlog(links)).await),
        Finding::of("subnet", beside(move || try_subnet(&own)).await),
    ]
}

/// Any network will do where nothing is made.
const ANY: Subnet = Subnet { network: Ipv4Addr::new(10, 67, 0, 0), prefix: 16 };

/// Makes a bridge and a container's link in a namespace that is thrown away.
fn try_namespace() -> Result<String, Refusal> {
    let mould = Mould::new(false);
    let mut trial = mould.create().map_err(|error| wrong("a network namespace", &error))?;
    let joined = bridge::create(trial.inside(), "trial", "", (ANY.network, ANY), None).and_then(|index| {
        let other = mould.create()?;
        bridge::join(trial.inside(), index, "trial.2", (&other, "eth0"), ANY.network)
    });
    joined.map_err(|error| wrong("a bridge with a veth link on it", &error))?;
    Ok("namespaces, bridges and veth links can be made".to_owned())
}

fn try_forwarding() -> Result<String, Refusal> {
    is_forwarding(Path::new("/proc/sys/net/ipv4/ip_forward"))
}

fn try_ipv6(wished: bool, bridge: &str) -> Result<String, Refusal> {
    if !wished {
        return Ok("networks have none: the configuration says ipv6 = false".to_owned());
    }
    if !v6::is_on(wished) {
        return Ok("networks have none, as this host has none (net.ipv6.conf.all.disable_ipv6)".to_owned());
    }
    let forwards = is_forwarding(&v6::path("all", "forwarding"))?;
    let mut host = Rtnl::open().map_err(|error| wrong("a netlink socket", &error))?;
    Ok(match occupied::free_ula(&mut host, bridge, BRIDGE)? {
        Some(_) => format!("networks have unique local addresses (fd00::/8), and {forwards}"),
        None => format!("networks have none: this host's routes cover all unique local addresses; {forwards}"),
    })
}

fn is_forwarding(path: &Path) -> Result<String, Refusal> {
    use nix::unistd::{AccessFlags, access};
    let what = path.display();
    let value = std::fs::read_to_string(path).map_err(|error| wrong(&what.to_string(), &error))?;
    if value.trim() == "1" {
        return Ok("the host forwards".to_owned());
    }
    let writable = access(path, AccessFlags::W_OK);
    // A file system that is mounted read-only refuses here what the file's mode allows.
    writable.map_err(|errno| wrong(&format!("{what} is 0 and cannot be set"), &errno.into()))?;
    Ok("the host will forward while the daemon runs".to_owned())
}

/// A sysctl that is one for all network namespaces, where this one shows it: the first alone does.
fn kernel_bound(sysctl: &str) -> Result<Option<usize>, Refusal> {
    let path = format!("/proc/sys/{}", sysctl.replace('.', "/"));
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        text => Ok(Some(text.map_err(|error| wrong(&path, &error))?.trim().parse().unwrap_or(0))),
    }
}

/// How many neighbours all network namespaces may know together, of each family. The host's entries for our containers do not
/// count (`bridge.rs`), what these know does: each at least the host.
fn try_neighbours(v6: bool) -> Result<String, Refusal> {
    let families = if v6 { &["ipv4", "ipv6"][..] } else { &["ipv4"] };
    let mut short = Vec::new();
    let mut least = usize::MAX;
    for family in families {
        let sysctl = format!("net.{family}.neigh.default.gc_thresh3");
        let Some(most) = kernel_bound(&sysctl)? else {
            return Ok("how many neighbours may be known is not told in this network namespace".to_owned());
        };
        least = least.min(most);
        short.extend((most < NEIGHBOURS).then_some(sysctl));
    }
    Ok(neighbours(least, &short))
}

fn neighbours(least: usize, short: &[String]) -> String {
    let known = format!("all containers together may know {least} neighbours");
    match short {
        [] => known,
        short => {
            let sysctls = short.join(" and ");
            format!("{known}; for more than that many containers raise the sysctl {sysctls} to {NEIGHBOURS}")
        }
    }
}

/// Enough for a host full of containers.
const NEIGHBOURS: usize = 16384;

/// How many packets a processor keeps that it has not looked at: what is sent to all of a bridge is one for each of its links
/// at the same moment, and what is too many is lost.
fn try_backlog(links: usize) -> Result<String, Refusal> {
    Ok(match kernel_bound("net.core.netdev_max_backlog")? {
        Some(kept) => backlog(kept, links),
        None => "how many packets a processor keeps is not told in this network namespace".to_owned(),
    })
}

fn backlog(kept: usize, links: usize) -> String {
    let told = format!("a processor keeps {kept} packets, a bridge has at most {links} links");
    if kept >= links {
        return told;
    }
    format!("{told}; lest what is sent to all be lost, raise the sysctl net.core.netdev_max_backlog to {}", 2 * links)
}

fn try_subnet(config: &Config) -> Result<String, Refusal> {
    occupied::free_subnet(config).map(|subnet| format!("{subnet} is free"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sysctls_to_raise_are_named() {
        assert_eq!(neighbours(NEIGHBOURS, &[]), "all containers together may know 16384 neighbours");
        let short = ["net.ipv4.neigh.default.gc_thresh3", "net.ipv6.neigh.default.gc_thresh3"].map(str::to_owned);
        let told = neighbours(1024, &short);
        assert!(told.ends_with(&format!("raise the sysctl {} and {} to 16384", short[0], short[1])), "{told}");
        assert_eq!(backlog(1000, 512), "a processor keeps 1000 packets, a bridge has at most 512 links");
        assert!(backlog(1000, 1023).ends_with("raise the sysctl net.core.netdev_max_backlog to 2046"));
        // As it is on the host of this test, or not told there.
        assert!(try_neighbours(true).unwrap().contains("neighbours"));
        assert!(try_backlog(512).unwrap().contains("a processor keeps"));
    }
}
