//! The network room: the bridge, the containers on it, and the ports that the host answers for in their place.
//!
//! The actor [`Network`] keeps the books; what it does to the host is straight text in the files below, which block and
//! therefore run beside the daemon's thread. Pure: `pool`, `subnet`, `names`, `marker`, `rules`. Route netlink: `rtnl`,
//! `bridge`, `netns`. nf_tables: `rules` (as text, once, by nft), `nfnl` and `elements` (raw, for each container).
//!
//! What is where on the host, all derived from the name of the bridge:
//! - the bridge itself, whose alias says that it is ours and what the host's sysctls were before (`marker`);
//! - the nft table `inet BRIDGE`, in which a published port is one element of a map;
//! - a link `BRIDGE.N` for each container, whose other end is `eth0` in the container's namespace;
//! - a listening socket for each published port, which reserves it;
//! - `network.journal` in the run directory, which says how to undo the first two and the sysctls.
//!
//! A container's namespace is a descriptor of this process. Dropping it (or dying) is the whole teardown: the kernel
//! then takes the links away by itself, a moment later, and tells us; until then the address is not given again.

mod attach;
mod bridge;
mod check;
mod elements;
mod forwarding;
mod host;
mod lock;
mod marker;
mod members;
mod names;
mod netns;
mod nfnl;
mod occupied;
mod pool;
mod ports;
mod rtnl;
mod rules;
mod seats;
mod spares;
mod subnet;
mod sweep;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use futures::FutureExt;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use tokio::sync::{Semaphore, oneshot, watch};

pub use bridge::Counters;
pub use check::{Finding, check};
pub use sweep::{JOURNAL, undo};

use crate::config::{Config, Subnet};
use crate::events::Bus;
use crate::id::{ContainerId, Name, Publish, PublishedPort};
use crate::refusal::Refusal;
use crate::tools::Tools;
use crate::worker::beside;
use attach::Shared;
use host::{Base, Host};
use members::Member;
use names::LinkNames;
use seats::{Seat, Seats};
use spares::Spares;

/// What the one network that there is so far is called.
pub const BRIDGE: &str = "bridge";
/// How many jobs run beside the thread at once: the kernel does them one after another anyway.
const JOBS_MAX: usize = 4;
/// How long a close waits for the links to vanish.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Joins a container to the network and publishes its ports: all of it, or nothing. A port that is not free is refused
/// before anything is made.
#[derive(Message, Debug)]
#[rtype(result = "Result<Attachment, Refusal>")]
pub struct Attach {
    /// Which container: one that is not attached.
    pub id: ContainerId,
    /// What to call it when somebody else wants its ports.
    pub name: Name,
    /// The ports to publish.
    pub publish: Vec<Publish>,
    /// A network namespace that somebody made for it; without one, one of ours.
    pub namespace: Option<OwnedFd>,
    /// What it had when it was last attached: where that is free it has it again, though nobody asked for just that.
    pub before: Option<Before>,
}

/// What an attachment had that another of the same container may have again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// The address.
    pub ip: Ipv4Addr,
    /// What the host answered for, in the order asked for.
    pub ports: Vec<PublishedPort>,
}

/// A container's place on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The container's network namespace, a descriptor of this process: good until the container is detached.
    pub netns: PathBuf,
    /// The host's end of its link.
    pub link: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// How many leading bits of the address are the network's.
    pub prefix: u8,
    /// The host's address on the network.
    pub gateway: Ipv4Addr,
    /// What the host answers for, in the order asked for.
    pub ports: Vec<PublishedPort>,
}

/// Takes a container off the network. When it is answered, address and ports are free again. One that is not attached
/// is no error; one that is being attached is detached as soon as that is done, and its `Attach` refused.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Detach {
    /// Which container.
    pub id: ContainerId,
}

/// Every network.
#[derive(Message, Debug)]
#[rtype(result = "Vec<Row>")]
pub struct List;

/// One network, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub subnet: Subnet,
    /// The bridge it is.
    pub bridge: String,
    /// How many containers are on it.
    pub containers: usize,
}

/// Detaches all, and leaves the host as it was found. Nothing can be attached afterwards.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Close;

/// The keeper of the network's books.
pub struct Network {
    base: Base,
    /// The socket by which ports are published.
    nfnl: Shared,
    /// What [`Close`] takes down.
    host: Option<Host>,
    names: LinkNames,
    seats: Seats,
    spares: Spares,
    members: HashMap<ContainerId, Member>,
    /// Links that are about to vanish, and the seats that they still have.
    leaving: HashMap<String, Seat>,
    /// How many ports all of them may publish.
    ports_max: usize,
    jobs: Arc<Semaphore>,
    /// How many members there are and links about to vanish.
    open: watch::Sender<usize>,
    closing: bool,
    bus: Bus,
    monitor: actix_rt::task::JoinHandle<()>,
}

impl Network {
    /// Makes bridge and table anew, after a sweep of what a dead run of the same bridge left. Refused, with nothing left
    /// behind, where something of the same name is not ours, or another daemon has it.
    pub async fn start(config: &Config, tools: &Tools, bus: Bus) -> Result<Addr<Self>, Refusal> {
        let nfnl = nfnl::Nfnl::open().map_err(|error| wrong("a netlink socket", &error))?;
        let links = rtnetlink::new_multicast_connection(&[rtnetlink::MulticastGroup::Link]);
        let (connection, _, notices) = links.map_err(|error| wrong("notices of links", &error))?;
        let host = host::raise(config, tools).await?;
        let monitor = actix_rt::spawn(connection);
        let base = host.base.clone();
        log::info!("the bridge {} is up, {} with {}", base.bridge, base.subnet, base.gateway);
        let network = Self {
            names: LinkNames::new(&base.bridge),
            seats: Seats::new(base.subnet),
            spares: Spares::default(),
            members: HashMap::new(),
            leaving: HashMap::new(),
            ports_max: ports::bound_for_all(),
            jobs: Arc::new(Semaphore::new(JOBS_MAX)),
            open: watch::Sender::new(0),
            closing: false,
            nfnl: Arc::new(Mutex::new(nfnl)),
            host: Some(host),
            base,
            bus,
            monitor,
        };
        network.spares.fill();
        Ok(Self::create(|ctx| {
            ctx.add_stream(notices);
            network
        }))
    }
}

impl Actor for Network {
    type Context = Context<Self>;
}

impl Drop for Network {
    fn drop(&mut self) {
        self.spares.close();
        self.monitor.abort();
    }
}

impl Handler<Attach> for Network {
    type Result = ResponseActFuture<Self, Result<Attachment, Refusal>>;

    fn handle(&mut self, attach: Attach, _: &mut Context<Self>) -> Self::Result {
        if let Err(refusal) = self.admit(&attach) {
            return Box::pin(actix::fut::err(refusal));
        }
        let Attach { id, publish, namespace, before, .. } = attach;
        let (ip, ports) = before.map_or((None, Vec::new()), |before| (Some(before.ip), before.ports));
        let seat = self.seats.take(ip, !self.leaving.is_empty());
        let made = seat.into_actor(self).then(|seat, network, _| network.begin(seat, publish, ports, namespace));
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
        let Base { bridge, subnet, .. } = self.base.clone();
        MessageResult(vec![Row { name: BRIDGE.to_owned(), subnet, bridge, containers: self.members.len() }])
    }
}

impl Handler<Close> for Network {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Close, ctx: &mut Context<Self>) -> Self::Result {
        self.release_all(ctx);
        let mut open = self.open.subscribe();
        let quiet = async move { tokio::time::timeout(CLOSE_MAX, open.wait_for(|open| *open == 0)).await.is_ok() };
        Box::pin(quiet.into_actor(self).then(|_, network, _| {
            let host = network.host.take();
            let down = beside(move || Ok(host.map(Host::take_down)));
            down.map(drop).into_actor(network)
        }))
    }
}

type Notice = (NetlinkMessage<RouteNetlinkMessage>, netlink_sys::SocketAddr);

/// The kernel tells of every link that comes, changes or goes. (Notices can be lost when very many come at once: then
/// the time limit of each leaving link serves.)
impl StreamHandler<Notice> for Network {
    fn handle(&mut self, (notice, _): Notice, _: &mut Context<Self>) {
        if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) = notice.payload
            // The same of another family says that a link is no port of a bridge any more.
            && link.header.interface_family == AddressFamily::Unspec
        {
            self.vanished(rtnl::name(&link));
        }
    }

    fn finished(&mut self, _: &mut Context<Self>) {
        log::warn!("the kernel's notices of links have ended; addresses are freed after a delay from now on");
    }
}

/// What went through the link of an attached container since it was attached.
pub async fn counters(link: String) -> Result<Counters, Refusal> {
    beside(move || {
        let counted = rtnl::Rtnl::open().and_then(|mut host| bridge::counters(&mut host, &link));
        counted.map_err(|error| wrong(&format!("the link {link}"), &error))
    })
    .await
}

/// What it means that the kernel refused `what`.
fn wrong(what: &str, error: &std::io::Error) -> Refusal {
    use nix::libc::{EACCES, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM};
    let message = format_args!("{what}: {error}");
    match error.raw_os_error() {
        Some(ENOMEM | ENOBUFS) => Refusal::out_of_memory(message),
        Some(EPERM | EACCES) => Refusal::denied(message),
        Some(EMFILE | ENFILE) => Refusal::busy(message),
        _ => Refusal::internal(message),
    }
}
