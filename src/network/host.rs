//! What the network has on the host for the daemon's life: lock, bridge, sysctls, table. Raised at the start, taken
//! down at the end. Every step is in the journal before it is made.

use std::net::Ipv4Addr;

use super::lock::Lock;
use super::occupied::{free_ula, occupied};
use super::rtnl::Rtnl;
use super::sweep::{journal_path, sweep, sweep_links, sweep_renamed, undo};
use super::ula::{Range, Ula};
use super::{bridge, dns, docker, forwarding, marker, pool, rules, subnet, v6, wrong};
use crate::config::{Config, Subnet};
use crate::fault;
use crate::id::BRIDGE;
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
    /// Its network's addresses of IPv6, where it has any.
    pub ula: Option<Ula>,
    /// It is not its network's first: what is for its containers is routed to it, one by one.
    pub routed: bool,
}

impl Base {
    /// All its network's addresses.
    pub fn range(&self) -> Range {
        Range { subnet: self.subnet, ula: self.ula }
    }
}

/// What stands on the host, and the right to it.
pub struct Host {
    /// For those who make links.
    pub base: Base,
    /// What every bridge of ours has for its alias.
    pub alias: String,
    /// Networks have IPv6.
    pub v6: bool,
    /// There is the table that keeps its reports from all links ([`rules::quiet`]).
    pub quiet: bool,
    /// Of the name server on the bridge: whoever starts it takes them.
    pub sockets: Option<dns::Sockets>,
    journal: Journal,
    lock: Lock,
}

/// Sweeps what a dead run of the same bridge left, then makes bridge, sysctls and table. Refused with nothing left.
pub async fn raise(config: &Config, tools: &Tools) -> Result<Host, Refusal> {
    let lock = Lock::on_bridge(&config.bridge)?;
    let own = config.clone();
    let (turn, Laid { base, alias, v6 }, journal) = beside(move || prepare(&own)).await?;
    let mut host = Host { base, alias, v6, quiet: false, sockets: None, journal, lock };
    let loaded = match host.listen() {
        Ok(ruleset) => {
            fault::point("sockets");
            load(tools, ruleset, (v6, &config.bridge)).await.map(|quiet| {
                fault::point("table");
                host.quiet = quiet;
            })
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

/// Loads the table `inet BRIDGE`, and with IPv6 also the table `bridge BRIDGE`, where this kernel has such: tells whether it has.
async fn load(tools: &Tools, ruleset: String, (v6, bridge): (bool, &str)) -> Result<bool, Refusal> {
    if !v6 {
        return nft::load(tools, ruleset).await.map(|()| false);
    }
    let Err(refusal) = nft::load(tools, ruleset.clone() + &rules::quiet(bridge)).await else { return Ok(true) };
    nft::load(tools, ruleset).await?;
    log::info!(
        "without the nft table bridge {bridge} a container that starts costs more, the more there are: {refusal}"
    );
    Ok(false)
}

impl Host {
    /// Takes everything down, newest first: links that are still on the bridge, table, bridge, sysctls. What cannot be
    /// undone is told in the log and stays in the journal. Blocks.
    pub fn take_down(self) {
        let turn = Lock::turn().inspect_err(|refusal| log::warn!("{}", refusal.message()));
        log_failure(docker::withdraw(&self.base.bridge).map(drop));
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
        let sockets = dns::Sockets::bind(&self.base.bridge, self.base.gateway)?;
        let ruleset = rules::table(&self.base, self.v6, sockets.ports()?);
        self.sockets = Some(sockets);
        Ok(ruleset)
    }

    fn undo(mut self) {
        undo_all(&mut self.journal);
        drop(self.lock);
    }
}

/// Undoes every step, newest first. One that cannot be undone holds none of the others back, and stays in the journal.
fn undo_all(journal: &mut Journal) {
    let mut steps = journal.take_back(0);
    steps.retain(|step| !log_failure(undo(step)));
    if steps.is_empty() { journal.remove() } else { journal.settle(steps) }
}

fn log_failure(done: Result<(), Refusal>) -> bool {
    done.inspect_err(|refusal| log::warn!("not undone: {}", refusal.message())).is_ok()
}

/// What is made first: the bridge, its alias, and whether networks have IPv6.
struct Laid {
    base: Base,
    alias: String,
    v6: bool,
}

/// All up to the table.
fn prepare(config: &Config) -> Result<(Lock, Laid, Journal), Refusal> {
    let turn = Lock::turn()?;
    sweep(config)?;
    let path = journal_path(config);
    let mut journal = Journal::create(&path)?;
    match lay(config, &mut journal) {
        Ok(laid) => Ok((turn, laid, journal)),
        Err(refusal) => {
            undo_all(&mut journal);
            Err(refusal)
        }
    }
}

fn lay(config: &Config, journal: &mut Journal) -> Result<Laid, Refusal> {
    let mut host = Rtnl::open().map_err(|error| wrong("a netlink socket", &error))?;
    let subnet = subnet::choose(config.subnet, &occupied(&mut host, |_| false)?)?;
    let v6 = v6::is_on(config.ipv6);
    let (name, gateway) = (config.bridge.clone(), pool::gateway(subnet));
    let ula = if v6 { free_ula(&mut host, &name, BRIDGE)? } else { None };
    let found = forwarding::found(&host.links().map_err(|error| wrong("the host's links", &error))?, v6)?;
    forwarding::open(&found, v6, journal)?;
    fault::point("sysctls");
    journal.record(Step::Link { name: name.clone() })?;
    let alias = marker::alias(&found, &name, &config.root);
    let gateway6 = ula.map(|ula| (ula.gateway(), Ula::PREFIX));
    let index = bridge::create(&mut host, &name, &alias, (gateway, subnet), gateway6);
    let index = index.map_err(|error| wrong(&format!("the bridge {name}"), &error))?;
    forwarding::open_loopback(&name)?;
    fault::point("bridge");
    journal.record(Step::Table { name: name.clone() })?;
    Ok(Laid { base: Base { bridge: name, index, subnet, gateway, ula, routed: false }, alias, v6 })
}
