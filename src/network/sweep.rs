//! Undoing: each step of the network's journal, and all that a dead run of the same bridge left, journal or not. Only
//! what is marked as ours is touched.

use std::path::PathBuf;

use netlink_packet_route::link::{InfoKind, LinkMessage};

use super::names::LinkNames;
use super::nfnl::{self, Nfnl};
use super::rtnl::{self, Rtnl};
use super::{bridge, docker, forwarding, marker, rules, wrong};
use crate::config::Config;
use crate::fault;
use crate::journal::{Journal, Step};
use crate::refusal::{Code, Refusal};

/// The journal's file in the run directory.
pub const JOURNAL: &str = "network.journal";

/// Where the network's journal is.
pub fn journal_path(config: &Config) -> PathBuf {
    config.run.join(JOURNAL)
}

/// Undoes one step of the network's journal; others', and what is not there, are left alone. Blocks.
pub fn undo(step: &Step) -> Result<(), Refusal> {
    match step {
        Step::Table { name } => delete_table(name).map(|_| fault::point("table-gone")),
        Step::Link { name } => delete_bridge(name, false).map(|_| fault::point("bridge-gone")),
        Step::Sysctl { path, value } => forwarding::restore(path, value, &links()?),
        _ => Ok(()),
    }
}

/// Takes away what a dead run of this bridge left, and says so. Refused where something of the same name is not ours.
pub fn sweep(config: &Config) -> Result<(), Refusal> {
    let path = journal_path(config);
    let steps = if path.exists() { Journal::read(&path)? } else { Vec::new() };
    let mut swept = Vec::new();
    if delete_table(&config.bridge)? {
        swept.push(format!("the nft table inet {}", config.bridge));
    }
    if docker::withdraw(&config.bridge)? {
        swept.push("rules in the chain DOCKER-USER".to_owned());
    }
    swept.extend(sweep_links(&config.bridge)?);
    swept.extend(sweep_bridges(&config.bridge, &steps)?);
    swept.extend(sweep_renamed(&config.bridge)?);
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

/// Deletes the links that are called as those of `bridge` are. Of a dead run's, most have gone with their namespaces when
/// the containers' processes were killed.
pub fn sweep_links(bridge: &str) -> Result<Vec<String>, Refusal> {
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

/// Deletes the bridges of further networks.
fn sweep_bridges(bridge: &str, steps: &[Step]) -> Result<Vec<String>, Refusal> {
    let names = LinkNames::new(bridge);
    let mut swept = Vec::new();
    for link in links()?.iter().filter(|link| names.owns_bridge(rtnl::name(link))) {
        let name = rtnl::name(link).to_owned();
        match delete_bridge(&name, steps.contains(&Step::Link { name: name.clone() })) {
            Ok(_) => swept.push(format!("the bridge {name}")),
            // Somebody else's: in nobody's way until it is needed.
            Err(refusal) if refusal.code() == Code::InUse => log::warn!("not swept: {refusal}"),
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(swept)
}

/// Deletes bridges of ours that somebody gave another name: known by what their alias says.
pub fn sweep_renamed(bridge: &str) -> Result<Vec<String>, Refusal> {
    let names = LinkNames::new(bridge);
    let mut swept = Vec::new();
    for link in links()?.iter().filter(|link| marker::is_of(rtnl::alias(link), bridge)) {
        let name = rtnl::name(link);
        if name != bridge && !names.owns_bridge(name) && delete_bridge(name, false)? {
            swept.push(format!("the bridge that is called {name} now"));
        }
    }
    Ok(swept)
}

fn delete_table(name: &str) -> Result<bool, Refusal> {
    let what = format!("the nft table inet {name}");
    let mut nfnl = Nfnl::open().map_err(|error| wrong("a netlink socket", &error))?;
    let failed = |error| wrong(&what, &error);
    // Its companion; where that is not ours, it is left alone.
    if nfnl.table_comment(nfnl::BRIDGE, name).map_err(failed)?.is_some_and(|comment| comment == rules::COMMENT) {
        nfnl.delete_table(nfnl::BRIDGE, name).map_err(failed)?;
    }
    match nfnl.table_comment(nfnl::INET, name).map_err(failed)? {
        None => Ok(false),
        Some(comment) if comment == rules::COMMENT => {
            nfnl.delete_table(nfnl::INET, name).map(|()| true).map_err(failed)
        }
        Some(_) => {
            Err(Refusal::in_use(format_args!("{what} is there and is not gantry's; give another bridge by --bridge")))
        }
    }
}

/// Deletes the bridge `name`; with `begun`, also one that a dead run had made but not marked yet.
pub fn delete_bridge(name: &str, begun: bool) -> Result<bool, Refusal> {
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

fn links() -> Result<Vec<LinkMessage>, Refusal> {
    open()?.links().map_err(|error| wrong("the host's links", &error))
}

fn open() -> Result<Rtnl, Refusal> {
    Rtnl::open().map_err(|error| wrong("a netlink socket", &error))
}
