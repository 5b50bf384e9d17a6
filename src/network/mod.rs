//! The network room: bridges, the containers on them, and the ports that the host answers for in their place.
//!
//! The actor [`Network`] keeps the books (`nets` of networks, `members` of containers, `leaving` of links about to go); what
//! it does to the host is straight text in the files below, which block and therefore run beside the daemon's thread.
//! `further` makes and removes networks, `growth` further bridges of one, `live` links of containers that run; `mend` puts
//! back what others take away, `foreign` and `docker` see to other firewalls. Pure: `pool`, `subnet`, `ula`, `names`, `marker`,
//! `rules`. Route netlink: `rtnl`, `bridge`, `netns`, `v6`. Names: `dns`. nf_tables: `rules` (as text, by nft: once, and for each network), `nfnl`
//! and `elements` (raw, for each container); `transactions` hears what others do to them, `flows` is about conntrack.
//!
//! What is where on the host, all derived from the name of the bridge:
//! - the bridge itself, whose alias says that it is ours and what the host's sysctls were before (`marker`), and a bridge
//!   `BRIDGE.nN` for each further network, `BRIDGE.mSSN` where one has outgrown its own;
//! - the nft table `inet BRIDGE`, in which a published port is one element of a map;
//! - a link `BRIDGE.N` for each container, whose other end is `eth0` in the container's namespace, and `BRIDGE.vN` where it
//!   is on a further network;
//! - a listening socket for each published port, which reserves it;
//! - two sockets of a name server on each bridge (`dns`);
//! - `network.journal` in the run directory, which says how to undo the bridges, the table and the sysctls.
//!
//! A container's namespace is a descriptor of this process. Dropping it (or dying) is the whole teardown: the kernel
//! then takes the links away by itself, a moment later, and tells us; until then the address is not given again.

mod attach;
mod bridge;
mod check;
pub mod dns;
mod docker;
mod elements;
mod flows;
mod foreign;
mod forwarding;
mod further;
mod growth;
mod host;
mod leaving;
mod live;
mod lock;
mod marker;
mod members;
mod mend;
mod message;
mod names;
mod naming;
mod netns;
mod nets;
mod nfnl;
mod nfread;
mod notices;
mod occupied;
mod pool;
mod ports;
mod reign;
mod rtnl;
mod rules;
mod seats;
mod spares;
mod subnet;
mod sweep;
mod sysctls;
mod transactions;
mod ula;
mod v6;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures::FutureExt;
use tokio::sync::{Mutex, Semaphore, oneshot, watch};

pub use bridge::Counters;
pub use check::{Finding, check};
pub use message::{
    Attach, Attachment, Before, Close, Connect, Create, Detach, Disconnect, Endpoint, Identity, List, Remove, Resident,
    Row, Shared, V6, Vet, ask,
};
pub use sweep::{JOURNAL, undo};
pub use ula::Ula;

use crate::config::Config;
use crate::events::Bus;
use crate::fault;
use crate::id::{ContainerId, NetworkMode, NetworkName};
use crate::link::{Post, Teller};
use crate::refusal::Refusal;
use crate::tools::Tools;
use crate::worker::{beside, look};
use attach::Rules;
use host::Host;
use leaving::Leaving;
use members::Member;
use mend::Mending;
use names::LinkNames;
use netns::Mould;
use nets::Net;
use notices::Heard;
use spares::Spares;

/// How many jobs run beside the thread at once: the kernel does them one after another anyway.
const JOBS_MAX: usize = 4;
/// How long a close waits for the links to vanish.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Something that changes the books when it is done.
type Change<T> = std::pin::Pin<Box<dyn ActorFuture<Network, Output = T>>>;

/// The keeper of the network's books.
pub struct Network {
    nets: BTreeMap<NetworkName, Net>,
    /// Had by whoever makes or removes one: one at a time.
    turn: Arc<Mutex<()>>,
    tools: Tools,
    /// Where ports are published.
    rules: Rules,
    /// What [`Close`] takes down.
    host: Option<Host>,
    names: LinkNames,
    spares: Spares,
    members: HashMap<ContainerId, Member>,
    /// Links that are about to vanish, and the seats that they still have.
    leaving: HashMap<String, Leaving>,
    /// How many ports all of them may publish.
    ports_max: usize,
    jobs: Arc<Semaphore>,
    /// How many members there are and links about to vanish.
    open: watch::Sender<usize>,
    closing: bool,
    bus: Bus,
    /// What becomes of our table.
    mending: Mending,
    /// What is known of other firewalls.
    others: foreign::Others,
    /// Networks have IPv6.
    v6: bool,
    /// How many links a bridge takes.
    links: usize,
    /// Who asks elsewhere for the name servers of all networks.
    forwarder: Rc<dns::Forwarder>,
    /// Where its books go if it panics.
    fallen: Option<Teller<Self>>,
}

impl Network {
    /// Makes bridge and table anew, after a sweep of what a dead run of the same bridge left. Refused, with nothing left
    /// behind, where something of the same name is not ours, or another daemon has it.
    pub async fn start(config: &Config, tools: &Tools, bus: Bus) -> Result<Post<Self>, Refusal> {
        let links = notices::of(notices::LINKS).map_err(|error| wrong("notices of links", &error))?;
        let rules = Rules::open(&config.bridge).map_err(|error| wrong("a netlink socket", &error))?;
        let mut host = host::raise(config, tools).await?;
        let forwarder = Rc::new(dns::Forwarder::new(&config.dns));
        let sockets = host.sockets.take().ok_or_else(|| Refusal::internal("the name server has no sockets"));
        let started = sockets.and_then(|sockets| {
            let resolver = dns::Server::start(sockets, host.base.range(), Some(forwarder.clone()))?;
            Ok((resolver, notices::of(notices::RULES).map_err(|error| wrong("notices of rules", &error))?))
        });
        let (resolver, changes) = match started {
            Ok(started) => started,
            Err(refusal) => {
                look(move || host.take_down()).await?;
                return Err(refusal);
            }
        };
        let base = host.base.clone();
        log::info!("the bridge {} is up, {} with {}", base.bridge, base.range(), base.gateway);
        let v6 = host.v6;
        let network = Self {
            names: LinkNames::new(&base.bridge),
            spares: Spares::new(config.network_spares, Mould::new(v6)),
            members: HashMap::new(),
            leaving: HashMap::new(),
            ports_max: ports::bound_for_all(v6),
            jobs: Arc::new(Semaphore::new(JOBS_MAX)),
            open: watch::Sender::new(0),
            closing: false,
            mending: Mending::of(&base.bridge, host.quiet),
            links: config.bridge_links,
            others: foreign::Others::new(config.firewall_cooperate),
            v6,
            rules,
            host: Some(host),
            turn: Arc::default(),
            tools: tools.clone(),
            nets: BTreeMap::from([(NetworkName::bridge(), Net::new(base, config.bridge_links, 0, false, resolver))]),
            bus,
            forwarder,
            fallen: None,
        };
        network.spares.fill();
        Ok(network.reign(links, changes))
    }
}

impl Actor for Network {
    type Context = Context<Self>;
}

impl Handler<Attach> for Network {
    type Result = ResponseActFuture<Self, Result<Attachment, Refusal>>;

    fn handle(&mut self, attach: Attach, _: &mut Context<Self>) -> Self::Result {
        fault::panic_at("network");
        if let Err(refusal) = self.admit(&attach) {
            return Box::pin(actix::fut::err(refusal));
        }
        let Attach { id, networking, publish, namespace, before, .. } = attach;
        if matches!(networking.mode, NetworkMode::Host | NetworkMode::Container(_)) {
            let shared = self.share(&id, &networking.mode);
            return self.conclude(id, shared);
        }
        let before = before.unwrap_or_default();
        let seats = self.seat(&networking, &before);
        let on = if let NetworkMode::On(names) = &networking.mode { names.clone() } else { Vec::new() };
        let seats = seats.then(move |seats, network, _| network.widen(seats, on));
        let made =
            seats.then(move |seats, network, _| network.begin(seats, &networking, publish, before.ports, namespace));
        Box::pin(made.then(move |made, network, ctx| network.settle(id, made, ctx)))
    }
}

impl Handler<Detach> for Network {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, Detach { id }: Detach, _: &mut Context<Self>) -> Self::Result {
        match self.members.get_mut(&id) {
            None => Box::pin(actix::fut::ready(())),
            Some(member) if member.is_settled() => self.release(id),
            Some(member) => {
                let (told, end) = oneshot::channel();
                member.waiting.push(told);
                Box::pin(end.map(drop).into_actor(self))
            }
        }
    }
}

impl Handler<List> for Network {
    type Result = MessageResult<List>;

    fn handle(&mut self, _: List, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.rows())
    }
}

impl Handler<Create> for Network {
    type Result = ResponseActFuture<Self, Result<Row, Refusal>>;

    fn handle(&mut self, create: Create, _: &mut Context<Self>) -> Self::Result {
        let turn = self.turn.clone().lock_owned().into_actor(self);
        Box::pin(turn.then(|turn, network, _| network.make_network(create).map(move |made, _, _| (turn, made).1)))
    }
}

impl Handler<Remove> for Network {
    type Result = ResponseActFuture<Self, Result<(), Refusal>>;

    fn handle(&mut self, Remove(name): Remove, _: &mut Context<Self>) -> Self::Result {
        let turn = self.turn.clone().lock_owned().into_actor(self);
        Box::pin(turn.then(|turn, network, _| network.remove_network(name).map(move |gone, _, _| (turn, gone).1)))
    }
}

impl Handler<Connect> for Network {
    type Result = ResponseActFuture<Self, Result<Vec<Endpoint>, Refusal>>;

    fn handle(&mut self, Connect { id, network }: Connect, _: &mut Context<Self>) -> Self::Result {
        self.connect(id, network)
    }
}

impl Handler<Disconnect> for Network {
    type Result = ResponseActFuture<Self, Result<Vec<Endpoint>, Refusal>>;

    fn handle(&mut self, Disconnect { id, network }: Disconnect, ctx: &mut Context<Self>) -> Self::Result {
        self.disconnect(id, &network, ctx)
    }
}

impl Handler<Vet> for Network {
    type Result = Result<(), Refusal>;

    fn handle(&mut self, Vet { networking, publishes }: Vet, _: &mut Context<Self>) -> Self::Result {
        self.vet(&networking, publishes)
    }
}

impl Handler<Close> for Network {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Close, ctx: &mut Context<Self>) -> Self::Result {
        self.release_all(ctx);
        let mut open = self.open.subscribe();
        let turn = self.turn.clone().lock_owned();
        let quiet = async move {
            let _ = tokio::time::timeout(CLOSE_MAX, open.wait_for(|open| *open == 0)).await;
            // A network that is half made is made, or undone, first.
            turn.await
        };
        Box::pin(quiet.into_actor(self).then(|turn, network, _| {
            network.nets.values_mut().for_each(|net| (net.resolver = None, net.more.clear()).1);
            let host = network.host.take();
            let down = beside(move || Ok(host.map(Host::take_down)));
            down.map(move |_| drop(turn)).into_actor(network)
        }))
    }
}

/// What the kernel tells unasked.
enum Notice {
    OfLinks(Heard),
    OfRules(Heard),
}

impl StreamHandler<Notice> for Network {
    fn handle(&mut self, notice: Notice, ctx: &mut Context<Self>) {
        fault::panic_at("network-notice");
        match notice {
            Notice::OfLinks(heard) => self.links_changed(&heard, ctx),
            Notice::OfRules(heard) => self.rules_changed(&heard, ctx),
        }
    }
}

impl Network {
    /// Runs `work` beside the thread, in its turn.
    fn job<T, W>(&self, work: W) -> impl Future<Output = Result<T, Refusal>> + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let jobs = self.jobs.clone();
        async move {
            // Never closed, so this is always had. Held by the work too, which goes on where nobody waits for it any more.
            let turn = Arc::new(jobs.acquire_owned().await);
            let had = turn.clone();
            let done = beside(move || {
                let _turn = had;
                Ok(work())
            })
            .await;
            drop(turn);
            done
        }
    }
}

/// What went through the links of an attached container since it was attached.
pub async fn counters(links: Vec<String>) -> Result<Counters, Refusal> {
    beside(move || {
        let mut host = rtnl::Rtnl::open().map_err(|error| wrong("a netlink socket", &error))?;
        let mut sum = Counters::default();
        for link in &links {
            let counted =
                bridge::counters(&mut host, link).map_err(|error| wrong(&format!("the link {link}"), &error))?;
            sum.rx_bytes += counted.rx_bytes;
            sum.tx_bytes += counted.tx_bytes;
        }
        Ok(sum)
    })
    .await
}

/// What it means that the kernel refused `what`.
fn wrong(what: &str, error: &std::io::Error) -> Refusal {
    use nix::libc::{EACCES, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC, EPERM};
    let message = format_args!("{what}: {error}");
    match error.raw_os_error() {
        Some(ENOMEM | ENOBUFS) => Refusal::out_of_memory(message),
        Some(EPERM | EACCES) => Refusal::denied(message),
        Some(EMFILE | ENFILE) => Refusal::busy(message),
        // What unshare(2) says of `user.max_net_namespaces`.
        Some(ENOSPC) => {
            Refusal::busy(format_args!("{what}: there are as many as may be (sysctl user.max_net_namespaces)"))
        }
        _ => Refusal::internal(message),
    }
}
