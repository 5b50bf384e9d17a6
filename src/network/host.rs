//! What the network has on the host for the daemon's life: lock, bridge, sysctls, table. Raised at the start, taken
//! down at the end, and swept where a dead run left it. Every step is in the journal before it is made.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoKind, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};

use super::lock::Lock;
use super::names::LinkNames;
use super::nfnl::Nfnl;
use super::rtnl::{self, Rtnl};
use super::subnet::{self, Taken};
use super::{blocking, bridge, forwarding, marker, pool, rules, wrong};
use crate::config::{Config, Subnet};
use crate::journal::{Journal, Step};
use crate::refusal::Refusal;
use crate::tools::{Tools, nft};

/// The table of the host's own addresses, which are asked for by themselves.
const RT_TABLE_LOCAL: u8 = 255;
/// The journal's file in the run directory.
const JOURNAL: &str = "network.journal";

/// What is known of the bridge by all who make links on it.
#[derive(Clone, Debug)]
pub struct Base {
    /// The bridge's name, which is the table's too.
    pub bridge: String,
    /// The bridge's index.
    pub index: u32,
    /// Its network.
    pub subnet: Subnet,
    /// Its address.
    pub gateway: Ipv4Addr,
}

/// What stands on the host, and the right to it.
pub struct Host {
    /// For those who make links.
    pub base: Base,
    journal: Journal,
    lock: Lock,
}

/// Sweeps what a dead run of the same bridge left, then makes bridge, sysctls and table. Refused with nothing left.
pub async fn raise(config: &Config, tools: &Tools) -> Result<Host, Refusal> {
    let lock = Lock::on_bridge(&config.bridge)?;
    let config = config.clone();
    let (turn, base, journal) = blocking(move || prepare(&config)).await?;
    let ruleset = rules::table(&base.bridge, base.subnet);
    let host = Host { base, journal, lock };
    let loaded = nft::load(tools, ruleset).await;
    match loaded {
        Ok(()) => Ok(host),
        Err(refusal) => {
            blocking(move || {
                host.undo();
                drop(turn);
                Err(refusal)
            })
            .await
        }
    }
}

impl Host {
    /// Takes everything down, newest first: links that are still on the bridge, table, bridge, sysctls. What cannot be
    /// undone is told in the log and stays in the journal. Blocks.
    pub fn take_down(self) {
        let turn = Lock::turn().inspect_err(|refusal| log::warn!("{}", refusal.message()));
        log_failure(sweep_links(&self.base.bridge).map(drop));
        self.undo();
        drop(turn);
    }

    fn undo(mut self) {
        let all_undone = self.journal.take_back(0).iter().all(|step| log_failure(undo(step)));
        if all_undone {
            self.journal.remove();
        }
        drop(self.lock);
    }
}

/// Undoes one step of the network's journal; others', and what is not there, are left alone. Blocks.
pub fn undo(step: &Step) -> Result<(), Refusal> {
    match step {
        Step::Table { name } => delete_table(name).map(drop),
        Step::Link { name } => delete_bridge(name, false).map(drop),
        Step::Sysctl { path, value } => forwarding::restore(path, value, &links()?),
        _ => Ok(()),
    }
}

fn log_failure(done: Result<(), Refusal>) -> bool {
    done.inspect_err(|refusal| log::warn!("not undone: {}", refusal.message())).is_ok()
}

/// All up to the table.
fn prepare(config: &Config) -> Result<(Lock, Base, Journal), Refusal> {
    let turn = Lock::turn()?;
    sweep(config)?;
    let path = journal_path(config);
    let mut journal = Journal::create(&path)?;
    match lay(config, &mut journal) {
        Ok(base) => Ok((turn, base, journal)),
        Err(refusal) => {
            if journal.take_back(0).iter().all(|step| log_failure(undo(step))) {
                journal.remove();
            }
            Err(refusal)
        }
    }
}

fn lay(config: &Config, journal: &mut Journal) -> Result<Base, Refusal> {
    let mut host = open()?;
    let subnet = subnet::choose(config.subnet, &taken(&mut host, None)?)?;
    let found = forwarding::found(&links()?)?;
    let (name, gateway) = (config.bridge.clone(), pool::gateway(subnet));
    forwarding::open(&found, journal)?;
    journal.record(Step::Link { name: name.clone() })?;
    let alias = marker::alias(&found, &config.root);
    let index = bridge::create(&mut host, &name, &alias, gateway, subnet);
    let index = index.map_err(|error| wrong(&format!("the bridge {name}"), &error))?;
    forwarding::open_loopback(&name)?;
    journal.record(Step::Table { name: name.clone() })?;
    Ok(Base { bridge: name, index, subnet, gateway })
}

/// Takes away what a dead run of this bridge left, and says so. Refused where something of the same name is not ours.
fn sweep(config: &Config) -> Result<(), Refusal> {
    let path = journal_path(config);
    let steps = if path.exists() { Journal::read(&path)? } else { Vec::new() };
    let mut swept = Vec::new();
    if delete_table(&config.bridge)? {
        swept.push(format!("the nft table inet {}", config.bridge));
    }
    swept.extend(sweep_links(&config.bridge)?);
    let found =
        links()?.iter().find(|link| rtnl::name(link) == config.bridge).and_then(|l| marker::found(rtnl::alias(l)));
    let begun = steps.contains(&Step::Link { name: config.bridge.clone() });
    if delete_bridge(&config.bridge, begun)? {
        swept.push(format!("the bridge {}", config.bridge));
    }
    let from_alias = found.iter().flat_map(forwarding::steps);
    let sysctls: Vec<Step> = steps.into_iter().filter(|step| matches!(step, Step::Sysctl { .. })).collect();
    let sysctls = if sysctls.is_empty() { from_alias.collect() } else { sysctls };
    for step in sysctls.iter().rev() {
        undo(step)?;
    }
    if !swept.is_empty() {
        log::info!("swept what a dead run left: {}", swept.join(", "));
    }
    Ok(())
}

/// Deletes the links of a dead run. Most go with their namespaces when the containers' processes are killed.
fn sweep_links(bridge: &str) -> Result<Vec<String>, Refusal> {
    let names = LinkNames::new(bridge);
    let mut host = open()?;
    let links = links()?;
    // By their kind too: a VLAN that somebody put on the bridge may be called as ours are.
    let ours = links.iter().filter(|link| names.owns(rtnl::name(link)) && rtnl::is_kind(link, &InfoKind::Veth));
    let left: Vec<String> = ours.map(|link| rtnl::name(link).to_owned()).collect();
    for name in &left {
        bridge::delete(&mut host, name).map_err(|error| wrong(name, &error))?;
    }
    Ok(left.into_iter().map(|name| format!("the link {name}")).collect())
}

fn delete_table(name: &str) -> Result<bool, Refusal> {
    let what = format!("the nft table inet {name}");
    let mut nfnl = Nfnl::open().map_err(|error| wrong("a netlink socket", &error))?;
    match nfnl.table_comment(name).map_err(|error| wrong(&what, &error))? {
        None => Ok(false),
        Some(comment) if comment == rules::COMMENT => {
            nfnl.delete_table(name).map(|()| true).map_err(|error| wrong(&what, &error))
        }
        Some(_) => {
            Err(Refusal::in_use(format_args!("{what} is there and is not gantry's; give another bridge by --bridge")))
        }
    }
}

/// Deletes the bridge `name`; with `begun`, also one that a dead run had made but not marked yet.
fn delete_bridge(name: &str, begun: bool) -> Result<bool, Refusal> {
    let mut host = open()?;
    let what = format!("the link {name}");
    let Some(link) = host.link(name).map_err(|error| wrong(&what, &error))? else { return Ok(false) };
    let ours = marker::is_ours(rtnl::alias(&link)) || begun && bridge::is_unmarked(&link);
    if !ours {
        return Err(Refusal::in_use(format_args!(
            "{what} is there and is not gantry's; give another name by --bridge"
        )));
    }
    bridge::delete(&mut host, name).map(|()| true).map_err(|error| wrong(&what, &error))
}

/// What the host has already, but for its default route and for what the link `except` brings.
fn taken(host: &mut Rtnl, except: Option<&str>) -> Result<Vec<Taken>, Refusal> {
    let links = host.links().map_err(|error| wrong("the host's links", &error))?;
    let name = |index: u32| links.iter().find(|link| link.header.index == index).map_or("", rtnl::name);
    let addresses = host.addresses().map_err(|error| wrong("the host's addresses", &error))?;
    let routes = host.routes().map_err(|error| wrong("the host's routes", &error))?;
    let addresses = addresses.iter().filter_map(|address| {
        let network = address_of(address)?;
        Some((network, address.header.prefix_len, "an address", name(address.header.index)))
    });
    let routes = routes.iter().filter(|route| route.header.table != RT_TABLE_LOCAL).filter_map(|route| {
        let (network, link) = destination_of(route)?;
        Some((network, route.header.destination_prefix_length, "a route", name(link)))
    });
    let others = addresses.chain(routes).filter(|(_, prefix, _, link)| *prefix > 0 && Some(*link) != except);
    Ok(others.map(|(network, prefix, by, link)| Taken { network, prefix, by: format!("{by} of {link:?}") }).collect())
}

fn address_of(address: &AddressMessage) -> Option<Ipv4Addr> {
    address.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(IpAddr::V4(ip)) => Some(*ip),
        _ => None,
    })
}

/// Where a route leads, and by the link of which index (0 where it has none, or several).
fn destination_of(route: &RouteMessage) -> Option<(Ipv4Addr, u32)> {
    let network = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(network)) => Some(*network),
        _ => None,
    })?;
    let link = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    Some((network, link.unwrap_or(0)))
}

/// The subnet that would be had now, or is had already by the bridge of a running daemon.
pub fn free_subnet(config: &Config) -> Result<Subnet, Refusal> {
    subnet::choose(config.subnet, &taken(&mut open()?, Some(&config.bridge))?)
}

fn links() -> Result<Vec<LinkMessage>, Refusal> {
    open()?.links().map_err(|error| wrong("the host's links", &error))
}

fn open() -> Result<Rtnl, Refusal> {
    Rtnl::open().map_err(|error| wrong("a netlink socket", &error))
}

fn journal_path(config: &Config) -> PathBuf {
    config.run.join(JOURNAL)
}
