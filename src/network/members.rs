//! The books: how a container comes on the network and off it again, as the actor sees it.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use actix::prelude::*;
use futures::FutureExt as _;
use tokio::sync::oneshot;

use super::attach::{self, Failed, Made, Plan};
use super::netns;
use super::ports::{self, Reserved, Unavailable};
use super::rtnl::Rtnl;
use super::seats::Seat;
use super::{Attach, Attachment, BRIDGE, Network, bridge};
use crate::events::Kind;
use crate::id::{ContainerId, HostPorts, Name, Proto, Publish, PublishedPort};
use crate::refusal::Refusal;
use crate::worker::beside;

/// How long a link may take to vanish before it is deleted: some process is still in its namespace then.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// Something that changes the books when it is done.
type Change<T> = std::pin::Pin<Box<dyn ActorFuture<Network, Output = T>>>;

/// What came of making an attachment, and what it was to be made of.
type Outcome = Result<(String, Seat, Result<Made, Failed>), Refusal>;

/// A container that is on the network, or on its way there or off.
pub struct Member {
    name: Name,
    publish: Vec<Publish>,
    /// What it has; nothing while it is on its way.
    held: Option<Held>,
    /// Who waits for it to be gone. Not empty while it is on its way there: it is to leave at once.
    pub waiting: Vec<oneshot::Sender<()>>,
}

struct Held {
    attachment: Attachment,
    namespace: OwnedFd,
    reserved: Reserved,
    seat: Seat,
}

impl Member {
    /// Whether it is on the network, rather than on its way there or off.
    pub fn is_settled(&self) -> bool {
        self.held.is_some()
    }

    fn has(&self, ip: Ipv4Addr, port: u16, proto: Proto) -> bool {
        let meets = |other: Ipv4Addr| other == ip || other.is_unspecified() || ip.is_unspecified();
        if let Some(held) = &self.held {
            let ports = held.reserved.ports().iter();
            return ports.clone().any(|had| had.host == port && had.proto == proto && meets(had.ip));
        }
        let among = |publish: &Publish| match publish.host {
            HostPorts::Free => false,
            HostPorts::From(first) => port.checked_sub(first).is_some_and(|nth| nth < publish.count),
        };
        self.publish.iter().any(|publish| publish.proto == proto && meets(publish.ip) && among(publish))
    }
}

fn closing() -> Refusal {
    Refusal::shutting_down("the network is being taken down")
}

impl Network {
    /// Enters the container in the books, on its way there.
    pub(super) fn admit(&mut self, attach: &Attach) -> Result<(), Refusal> {
        if self.closing {
            return Err(closing());
        }
        if self.members.contains_key(&attach.id) {
            return Err(Refusal::internal(format_args!("{} is on the network already", attach.name)));
        }
        let had: usize = self.members.values().map(|member| ports::count(&member.publish)).sum();
        if had + ports::count(&attach.publish) > self.ports_max {
            return Err(Refusal::busy(format_args!("{had} ports are published, of {} at most", self.ports_max)));
        }
        let (name, publish) = (attach.name.clone(), attach.publish.clone());
        self.members.insert(attach.id.clone(), Member { name, publish, held: None, waiting: Vec::new() });
        self.count();
        Ok(())
    }

    /// Makes the attachment for the one who has this seat.
    pub(super) fn begin(
        &mut self,
        seat: Result<Seat, Refusal>,
        publish: Vec<Publish>,
        before: Vec<PublishedPort>,
        own: Option<OwnedFd>,
    ) -> Change<Outcome> {
        let seat = match seat {
            // The seat may have been waited for.
            Ok(_) if self.closing => return Box::pin(actix::fut::err(closing())),
            Ok(seat) => seat,
            Err(refusal) => return Box::pin(actix::fut::err(refusal)),
        };
        let link = self.names.of(seat.ip(), self.base.subnet.prefix);
        let namespace = if own.is_some() { None } else { self.spares.take() };
        let (base, nfnl) = (self.base.clone(), self.nfnl.clone());
        let plan = Plan { base, nfnl, link: link.clone(), ip: seat.ip(), publish, own, before, namespace };
        let made = self.job(move || plan.make());
        Box::pin(made.map(|made| Ok((link, seat, made?))).into_actor(self))
    }

    /// Enters what came of it, and undoes it where nobody wants it any more.
    pub(super) fn settle(
        &mut self,
        id: ContainerId,
        outcome: Outcome,
        ctx: &mut Context<Self>,
    ) -> Change<Result<Attachment, Refusal>> {
        self.spares.fill();
        let entered = match outcome {
            Ok((link, seat, Ok(made))) => self.enter(&id, link, seat, made),
            Ok((link, seat, Err(failed))) => Err(self.fail(&id, link, seat, failed, ctx)),
            Err(refusal) => Err(refusal),
        };
        let unwanted = self.closing || self.members.get(&id).is_none_or(|member| !member.waiting.is_empty());
        match entered {
            Ok(attachment) if !unwanted => Box::pin(actix::fut::ok(attachment)),
            Ok(_) => {
                let why = Refusal::cancelled("it was taken off the network while it was being attached");
                Box::pin(self.release(id).map(|(), _, _| Err(why)))
            }
            Err(refusal) => {
                self.strike(&id);
                Box::pin(actix::fut::err(refusal))
            }
        }
    }

    fn enter(&mut self, id: &ContainerId, link: String, seat: Seat, made: Made) -> Result<Attachment, Refusal> {
        let Some(member) = self.members.get_mut(id) else {
            return Err(Refusal::internal("an attached container is not in the books"));
        };
        let attachment = Attachment {
            netns: netns::path(&made.namespace),
            link,
            ip: seat.ip(),
            prefix: self.base.subnet.prefix,
            gateway: self.base.gateway,
            ports: made.reserved.ports().to_vec(),
        };
        let held = Held { attachment: attachment.clone(), namespace: made.namespace, reserved: made.reserved, seat };
        member.held = Some(held);
        self.tell(id, "connect", attachment.ip);
        Ok(attachment)
    }

    fn tell(&self, id: &ContainerId, action: &'static str, ip: Ipv4Addr) {
        if let Some(member) = self.members.get(id) {
            let details = vec![("container", member.name.to_string()), ("ip", ip.to_string())];
            self.bus.publish(Kind::Network, BRIDGE, action, details);
        }
    }

    /// Sees to what a failed attempt leaves, and tells why it failed.
    fn fail(&mut self, id: &ContainerId, link: String, seat: Seat, failed: Failed, ctx: &mut Context<Self>) -> Refusal {
        if failed.namespace.is_some() {
            self.leave(link, seat, ctx);
        }
        match failed.why {
            Unavailable::Refused(refusal) => refusal,
            Unavailable::Taken(ip, port, proto) => self.taken(id, ip, port, proto),
        }
    }

    /// Who has the port that `id` wanted: another container, or else a process that is none of ours.
    fn taken(&self, id: &ContainerId, ip: Ipv4Addr, port: u16, proto: Proto) -> Refusal {
        let others = self.members.iter().filter(|(other, member)| *other != id && member.has(ip, port, proto));
        let holder = others.map(|(_, member)| member).max_by_key(|member| member.is_settled());
        let holder = holder.map_or_else(|| "a process of this host".to_owned(), |member| member.name.to_string());
        Refusal::in_use(format_args!("port {ip}:{port}/{} is in use by {holder}", proto.as_str()))
    }

    /// Takes a settled container off the network.
    pub(super) fn release(&mut self, id: ContainerId) -> Change<()> {
        let Some(Held { attachment, namespace, reserved, seat }) =
            self.members.get_mut(&id).and_then(|m| m.held.take())
        else {
            return Box::pin(actix::fut::ready(()));
        };
        let (base, nfnl, ip) = (self.base.clone(), self.nfnl.clone(), attachment.ip);
        let unpublished = self.job(move || attach::unpublish(&base, &nfnl, reserved, ip));
        Box::pin(unpublished.into_actor(self).map(move |_, network, ctx| {
            // In this order: the notice must find the link among those that leave.
            network.leave(attachment.link, seat, ctx);
            drop(namespace);
            network.tell(&id, "disconnect", attachment.ip);
            network.strike(&id);
        }))
    }

    /// Takes all off the network, and lets nobody in any more.
    pub(super) fn release_all(&mut self, ctx: &mut Context<Self>) {
        self.closing = true;
        self.spares.close();
        let settled = self.members.iter().filter(|(_, member)| member.is_settled());
        for id in settled.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            let released = self.release(id);
            ctx.spawn(released);
        }
    }

    /// The link vanished: its seat is free.
    pub(super) fn vanished(&mut self, link: &str) {
        if self.leaving.remove(link).is_some() {
            self.count();
        }
    }

    /// Keeps the seat until its link has vanished, and sees to it that it does.
    fn leave(&mut self, link: String, seat: Seat, ctx: &mut Context<Self>) {
        self.leaving.insert(link.clone(), seat);
        self.count();
        Self::remind(link, ctx);
    }

    fn remind(link: String, ctx: &mut Context<Self>) {
        ctx.run_later(LINGER_MAX, move |network, ctx| {
            if network.leaving.contains_key(&link) {
                let expelled = network.expel(link);
                ctx.spawn(expelled);
            }
        });
    }

    /// Deletes a link that does not vanish by itself.
    fn expel(&mut self, link: String) -> Change<()> {
        let name = link.clone();
        let deleted = self.job(move || Rtnl::open().and_then(|mut host| bridge::delete(&mut host, &name)));
        Box::pin(deleted.into_actor(self).map(move |deleted, network, ctx| match deleted {
            Ok(Ok(())) => network.vanished(&link),
            Ok(Err(error)) => {
                log::warn!("the link {link} cannot be deleted yet: {error}");
                Self::remind(link, ctx);
            }
            Err(refusal) => log::error!("{}", refusal.message()),
        }))
    }

    /// Strikes the container from the books, and tells who waited for that.
    fn strike(&mut self, id: &ContainerId) {
        let Some(member) = self.members.remove(id) else { return };
        for waiting in member.waiting {
            // Who does not wait any more need not be told.
            let _ = waiting.send(());
        }
        self.count();
    }

    fn count(&self) {
        self.open.send_replace(self.members.len() + self.leaving.len());
    }

    /// Runs `work` beside the thread, in its turn.
    fn job<T, W>(&self, work: W) -> impl Future<Output = Result<T, Refusal>> + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let jobs = self.jobs.clone();
        async move {
            // Never closed, so this is always had.
            let _turn = jobs.acquire_owned().await;
            beside(move || Ok(work())).await
        }
    }
}
