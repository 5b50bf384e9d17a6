//! What the network has on the host for the daemon's life: lock, bridge, sysctls, table. Raised at the start, taken
//! down at the end. Every step is in the journal before it is made.

use std::net::Ipv4Addr;

use super::lock::Lock;
use super::occupied::occupied;
use super::rtnl::Rtnl;
use super::sweep::{journal_path, sweep, sweep_links, sweep_renamed, undo};
use super::{bridge, dns, foreign, forwarding, marker, pool, rules, subnet, wrong};
use crate::config::{Config, Subnet};
use crate::fault;
use crate::journal::{Journal, Step};
use crate::refusal::Refusal;
use crate::tools::{Tools, nft};
use crate::worker::beside;

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
    /// It is not its network's first: what is for its containers is routed to it, one by one.
    pub routed: bool,
}

/// What stands on the host, and the right to it.
pub struct Host {
    /// For those who make links.
    pub base: Base,
    /// What every bridge of ours has for its alias.
    pub alias: String,
    /// Of the name server on the bridge: whoever starts it takes them.
    pub sockets: Option<dns::Sockets>,
    journal: Journal,
    lock: Lock,
}

/// Sweeps what a dead run of the same bridge left, then makes bridge, sysctls and table. Refused with nothing left.
pub async fn raise(config: &Config, tools: &Tools) -> Result<Host, Refusal> {
    let lock = Lock::on_bridge(&config.bridge)?;
    let config = config.clone();
    let (turn, (base, alias), journal) = beside(move || prepare(&config)).await?;
    let mut host = Host { base, alias, sockets: None, journal, lock };
    let loaded = match host.listen() {
        Ok(ruleset) => {
            fault::point("sockets");
            nft::load(tools, ruleset).await.inspect(|()| fault::point("table"))
        }
        Err(refusal) => Err(refusal),
    };
    match loaded {
        Ok(()) => Ok(host),
        Err(refusal) => {
            beside(move || {
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
        log_failure(foreign::withdraw(&self.base.bridge).map(drop));
        log_failure(sweep_links(&self.base.bridge).map(drop));
        log_failure(sweep_renamed(&self.base.bridge).map(drop));
        fault::point("swept");
        self.undo();
        drop(turn);
    }

    /// Writes down what is about to be made.
    pub fn record(&mut self, step: Step) -> Result<(), Refusal> {
        self.journal.record(step)
    }

    /// Strikes what was taken away again.
    pub fn forget(&mut self, step: &Step) {
        self.journal.forget(step);
    }

    /// Binds the name server's sockets, and gives the ruleset that leads to them.
    fn listen(&mut self) -> Result<String, Refusal> {
        let Base { bridge, subnet, gateway, .. } = &self.base;
        let sockets = dns::Sockets::bind(bridge, *gateway)?;
        let ruleset = rules::table(bridge, *subnet, *gateway, sockets.ports()?);
        self.sockets = Some(sockets);
        Ok(ruleset)
    }

    fn undo(mut self) {
        let all_undone = self.journal.take_back(0).iter().all(|step| log_failure(undo(step)));
        if all_undone {
            self.journal.remove();
        }
        drop(self.lock);
    }
}

fn log_failure(done: Result<(), Refusal>) -> bool {
    done.inspect_err(|refusal| log::warn!("not undone: {}", refusal.message())).is_ok()
}

/// All up to the table.
fn prepare(config: &Config) -> Result<(Lock, (Base, String), Journal), Refusal> {
    let turn = Lock::turn()?;
    sweep(config)?;
    let path = journal_path(config);
    let mut journal = Journal::create(&path)?;
    match lay(config, &mut journal) {
        Ok(laid) => Ok((turn, laid, journal)),
        Err(refusal) => {
            if journal.take_back(0).iter().all(|step| log_failure(undo(step))) {
                journal.remove();
            }
            Err(refusal)
        }
    }
}

fn lay(config: &Config, journal: &mut Journal) -> Result<(Base, String), Refusal> {
    let mut host = Rtnl::open().map_err(|error| wrong("a netlink socket", &error))?;
    let subnet = subnet::choose(config.subnet, &occupied(&mut host, |_| false)?)?;
    let found = forwarding::found(&host.links().map_err(|error| wrong("the host's links", &error))?)?;
    let (name, gateway) = (config.bridge.clone(), pool::gateway(subnet));
    forwarding::open(&found, journal)?;
    fault::point("sysctls");
    journal.record(Step::Link { name: name.clone() })?;
    let alias = marker::alias(&found, &name, &config.root);
    let index = bridge::create(&mut host, &name, &alias, gateway, subnet);
    let index = index.map_err(|error| wrong(&format!("the bridge {name}"), &error))?;
    forwarding::open_loopback(&name)?;
    fault::point("bridge");
    journal.record(Step::Table { name: name.clone() })?;
    Ok((Base { bridge: name, index, subnet, gateway, routed: false }, alias))
}
