//! The books of containers: how one comes on its networks and off them again, as the actor sees it.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;

use actix::prelude::*;
use futures::FutureExt as _;
use tokio::sync::{oneshot, watch};

use super::attach::{Failed, Made, Plan};
use super::message::{Attach, Attachment, Before, Endpoint, Identity, Shared, Target};
use super::netns::{self, LINK};
use super::ports::{self, Reserved, Unavailable};
use super::seats::{Refused, Seat, Wish};
use super::{Change, Network, dns, growth, leaving};
use crate::fault;
use crate::id::{
    At, ContainerId, HostPorts, Name, NetworkMode, NetworkName, Networking, Proto, Publish, PublishedPort,
};
use crate::refusal::Refusal;

/// What came of making an attachment, and what it was to be made of.
pub type Outcome = Result<(Vec<Endpoint>, Vec<Seat>, Result<Made, Failed>), Refusal>;

/// A container that is on its networks, or on its way there or off.
pub struct Member {
    pub name: Name,
    pub networking: Networking,
    /// The networks that it is on, or is to be on.
    pub networks: Vec<NetworkName>,
    identity: Identity,
    publish: Vec<Publish>,
    dns: Vec<IpAddr>,
    /// What it has; nothing while it is on its way.
    pub held: Option<Held>,
    /// The same while its networks are being changed.
    pub changing: Option<Held>,
    /// What the rules have of it while that is being changed: its ports, and where they lead.
    pub leads: Option<(Vec<PublishedPort>, Target)>,
    /// Who waits for it to be gone. Not empty while it is on its way there: it is to leave at once.
    pub waiting: Vec<oneshot::Sender<()>>,
}

/// What a container on its networks has.
pub struct Held {
    /// As it was told.
    pub attachment: Attachment,
    /// Its namespace, or its part in another's; none where it has the host's.
    pub namespace: Option<OwnedFd>,
    pub reserved: Reserved,
    /// The seats of its own links, in their order.
    pub seats: Vec<Seat>,
    /// Dropped with it: those who share its namespace hear of that.
    lasts: watch::Sender<()>,
}

impl Held {
    /// Its own links: none of those that it shares.
    pub fn own(&self) -> &[Endpoint] {
        if self.attachment.shared.is_some() { &[] } else { &self.attachment.endpoints }
    }

    /// Where its published ports lead.
    pub fn answers_at(&self) -> Option<Target> {
        self.own().iter().find(|endpoint| !endpoint.internal).map(Endpoint::target)
    }
}

impl Member {
    /// Whether it is on its networks, rather than on its way there or off.
    pub fn is_settled(&self) -> bool {
        self.held.is_some()
    }

    /// Its networks are not being changed any more.
    pub fn settle(&mut self) {
        self.held = self.held.take().or_else(|| self.changing.take());
        self.leads = None;
    }

    /// Its link on `network`, where it is there.
    pub fn on(&self, network: &NetworkName) -> Option<&Endpoint> {
        self.held.as_ref()?.own().iter().find(|endpoint| endpoint.network == *network)
    }

    /// What it is called on the network of `endpoint`.
    pub fn names(&self, endpoint: &Endpoint) -> dns::Entry {
        dns::Entry {
            name: self.name.name().to_owned(),
            tag: self.name.tag().to_owned(),
            aliases: self.networking.alias.iter().cloned().collect(),
            addresses: endpoint.addresses().collect(),
            servers: self.dns.clone(),
        }
    }

    fn has(&self, ip: Option<IpAddr>, port: u16, proto: Proto) -> bool {
        let meet = |one: IpAddr, other: IpAddr| {
            one.is_ipv4() == other.is_ipv4() && (one == other || one.is_unspecified() || other.is_unspecified())
        };
        // None is every address of both families.
        let meets = |other: Option<IpAddr>| ip.zip(other).is_none_or(|(ip, other)| meet(ip, other));
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

/// Nothing new is made any more.
pub fn closing() -> Refusal {
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
        self.vet(&attach.networking, !attach.publish.is_empty())?;
        let networks = match &attach.networking.mode {
            NetworkMode::On(names) => names.clone(),
            _ => Vec::new(),
        };
        let (name, networking, publish) = (attach.name.clone(), attach.networking.clone(), attach.publish.clone());
        let (identity, waiting) = (attach.identity.clone(), Vec::new());
        let dns = attach.dns.clone();
        let member = Member {
            name,
            networking,
            networks,
            identity,
            publish,
            dns,
            held: None,
            changing: None,
            leads: None,
            waiting,
        };
        self.members.insert(attach.id.clone(), member);
        self.count();
        Ok(())
    }

    /// A seat on each of its networks: with the address asked for on the first, and else with the one it had before.
    pub(super) fn seat(&mut self, networking: &Networking, before: &Before) -> Change<Result<Vec<Seat>, Refusal>> {
        let NetworkMode::On(names) = &networking.mode else { return Box::pin(actix::fut::ok(Vec::new())) };
        let mut wanted = networking.ip;
        let mut turns = Vec::new();
        for name in names {
            let Some(net) = self.nets.get(name) else { return Box::pin(actix::fut::err(self.unknown(name))) };
            let leaving = self.leaving.values().any(|leaving| leaving.slot == net.slot);
            // Its own last link may not have vanished yet.
            let again = before.on(name).map_or(Wish::Any, |ip| {
                let awaited = self.leaving.values().any(|leaving| leaving.had(net.slot, ip));
                if awaited { Wish::Awaited(ip) } else { Wish::Again(ip) }
            });
            turns.push((name.clone(), net.seats.take(wanted.take().map_or(again, Wish::This), leaving)));
        }
        let taken = async {
            let mut seats = Vec::new();
            for (name, turn) in turns {
                seats.push(turn.await.map_err(|refused| (name, refused))?);
            }
            Ok(seats)
        };
        let ip = networking.ip;
        Box::pin(taken.into_actor(self).map(move |taken, network, _| {
            taken.map_err(|(name, refused)| match refused {
                Refused::Otherwise(refusal) => refusal.within(name),
                Refused::Held => network.held_by(&name, ip),
            })
        }))
    }

    /// Who has the address that somebody else asked for.
    fn held_by(&self, network: &NetworkName, ip: Option<Ipv4Addr>) -> Refusal {
        let ip = ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let has = |member: &&Member| member.on(network).is_some_and(|endpoint| endpoint.ip == ip);
        let holder = self.members.values().find(has).map_or("a container on its way", |member| member.name.as_str());
        Refusal::in_use(format_args!("the address {ip} of the network {network} is in use by {holder}"))
    }

    /// Makes the attachment for the one who has these seats.
    pub(super) fn begin(
        &mut self,
        seats: Result<Vec<Seat>, Refusal>,
        networking: &Networking,
        publish: Vec<Publish>,
        before: Vec<PublishedPort>,
        own: Option<OwnedFd>,
    ) -> Change<Outcome> {
        let seats = match seats {
            // The seats may have been waited for.
            Ok(_) if self.closing => return Box::pin(actix::fut::err(closing())),
            Ok(seats) => seats,
            Err(refusal) => return Box::pin(actix::fut::err(refusal)),
        };
        let namespace = if own.is_some() { None } else { self.spares.take() };
        let (rules, mould, v6) = (self.rules.clone(), self.spares.mould(), self.v6);
        let mut plan = Plan { links: Vec::new(), rules, publish, own, before, namespace, mould, v6 };
        let mut endpoints = Vec::new();
        let none = Vec::new();
        let names = if let NetworkMode::On(names) = &networking.mode { names } else { &none };
        for (nth, (name, seat)) in names.iter().zip(&seats).enumerate() {
            // Removed while the seats were waited for.
            let Some(net) = self.nets.get(name) else { return Box::pin(actix::fut::err(self.unknown(name))) };
            let endpoint = net.endpoint(name, &self.names, seat, format!("{LINK}{nth}"));
            endpoints.push(endpoint.clone());
            let Some(base) = net.base_of(seat) else { return Box::pin(actix::fut::err(growth::missing(name))) };
            plan.links.push((endpoint, base.clone()));
        }
        let made = self.job(move || plan.make());
        Box::pin(made.map(|made| Ok((endpoints, seats, made?))).into_actor(self))
    }

    /// Enters what came of it, and undoes it where nobody wants it any more.
    pub(super) fn settle(
        &mut self,
        id: ContainerId,
        outcome: Outcome,
        ctx: &mut Context<Self>,
    ) -> Change<Result<Attachment, Refusal>> {
        fault::panic_at("network-attached");
        self.spares.fill();
        let entered = match outcome {
            Ok((endpoints, seats, Ok(made))) => {
                let (namespace, reserved) = (Some(made.namespace), made.reserved);
                self.enter(&id, (endpoints, seats), namespace, reserved, None)
            }
            Ok((endpoints, seats, Err(failed))) => Err(self.fail(&id, endpoints, seats, failed, ctx)),
            Err(refusal) => Err(refusal),
        };
        self.conclude(id, entered)
    }

    /// Answers whoever asked for an attachment; takes it back where nobody wants it any more.
    pub(super) fn conclude(
        &mut self,
        id: ContainerId,
        entered: Result<Attachment, Refusal>,
    ) -> Change<Result<Attachment, Refusal>> {
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

    /// Gives `id` a part in the namespace of the container called `other`, or in the host's.
    pub(super) fn share(&mut self, id: &ContainerId, mode: &NetworkMode) -> Result<Attachment, Refusal> {
        let NetworkMode::Container(other) = mode else {
            return self.enter(id, Default::default(), None, Reserved::default(), None);
        };
        let wanted: Name = other.parse()?;
        let absent =
            || Refusal::wrong_state(format_args!("the container {wanted}, whose network it shares, does not run"));
        let member = self.members.values().find(|member| member.name == wanted).ok_or_else(absent)?;
        let held = member.held.as_ref().filter(|_| member.waiting.is_empty()).ok_or_else(absent)?;
        let shared = Shared {
            with: member.name.clone(),
            identity: match &held.attachment.shared {
                Some(further) => further.identity.clone(),
                None => member.identity.clone(),
            },
            lasts: held.lasts.subscribe(),
        };
        // A descriptor of its own: the other's may be closed, and its number be another's, before this one is started.
        let namespace = held.namespace.as_ref().map(OwnedFd::try_clone).transpose();
        let namespace = namespace.map_err(|error| super::wrong("a descriptor of the namespace", &error))?;
        let endpoints = held.attachment.endpoints.clone();
        self.enter(id, (endpoints, Vec::new()), namespace, Reserved::default(), Some(shared))
    }

    fn enter(
        &mut self,
        id: &ContainerId,
        (endpoints, seats): (Vec<Endpoint>, Vec<Seat>),
        namespace: Option<OwnedFd>,
        reserved: Reserved,
        shared: Option<Shared>,
    ) -> Result<Attachment, Refusal> {
        let Some(member) = self.members.get_mut(id) else {
            return Err(Refusal::internal("an attached container is not in the books"));
        };
        let netns = namespace.as_ref().map(netns::path);
        let attachment = Attachment { netns, endpoints, ports: reserved.ports().to_vec(), shared };
        let held = Held { attachment: attachment.clone(), namespace, reserved, seats, lasts: watch::Sender::new(()) };
        member.held = Some(held);
        if let Some(member) = self.members.get(id) {
            member.held.iter().flat_map(Held::own).for_each(|endpoint| self.announce(member, endpoint));
        }
        self.introduce(&attachment);
        Ok(attachment)
    }

    /// Sees to what a failed attempt leaves, and tells why it failed.
    fn fail(
        &mut self,
        id: &ContainerId,
        endpoints: Vec<Endpoint>,
        seats: Vec<Seat>,
        failed: Failed,
        ctx: &mut Context<Self>,
    ) -> Refusal {
        if failed.namespace.is_some() {
            for (endpoint, seat) in endpoints.into_iter().zip(seats) {
                self.leave(endpoint, seat, ctx);
            }
        }
        match failed.why {
            Unavailable::Refused(refusal) => refusal,
            Unavailable::Taken(ip, port, proto) => self.taken(id, ip, port, proto),
        }
    }

    /// Who has the port that `id` wanted: another container, or else a process that is none of ours.
    fn taken(&self, id: &ContainerId, ip: Option<IpAddr>, port: u16, proto: Proto) -> Refusal {
        let others = self.members.iter().filter(|(other, member)| *other != id && member.has(ip, port, proto));
        let holder = others.map(|(_, member)| member).max_by_key(|member| member.is_settled());
        let holder = holder.map_or_else(|| "a process of this host".to_owned(), |member| member.name.to_string());
        Refusal::in_use(format_args!("port {}/{} is in use by {holder}", At(ip, port), proto.as_str()))
    }

    /// Takes a settled container off its networks.
    pub(super) fn release(&mut self, id: ContainerId) -> Change<()> {
        let Some(held) = self.members.get_mut(&id).and_then(|m| m.held.take()) else {
            return Box::pin(actix::fut::ready(()));
        };
        let (rules, answers_at, own) = (self.rules.clone(), held.answers_at(), held.own().to_vec());
        own.iter().for_each(|endpoint| self.withdraw(endpoint));
        let Held { attachment, namespace, reserved, seats, lasts } = held;
        let places: Vec<_> = own.iter().zip(&seats).filter_map(|(endpoint, seat)| self.place(endpoint, seat)).collect();
        // In this order: a process that gets a port must get its traffic too.
        let unpublished = self.job(move || {
            answers_at.into_iter().for_each(|from| rules.unpublish(reserved.ports(), from));
            fault::point("unpublished");
            drop(reserved);
            fault::point("ports-freed");
            leaving::forget(&places);
        });
        Box::pin(unpublished.into_actor(self).map(move |_, network, ctx| {
            if let Some(member) = network.members.get(&id) {
                own.iter().for_each(|endpoint| network.tell(member, "disconnect", endpoint));
            }
            // In this order: the notice must find the links among those that leave.
            for (endpoint, seat) in attachment.endpoints.into_iter().zip(seats) {
                network.leave_forgotten(endpoint, seat, ctx);
            }
            drop((namespace, lasts));
            fault::point("namespace-dropped");
            network.strike(&id);
        }))
    }

    /// Takes all off their networks, and lets nobody in any more.
    pub(super) fn release_all(&mut self, ctx: &mut Context<Self>) {
        self.closing = true;
        self.spares.close();
        let settled = self.members.iter().filter(|(_, member)| member.is_settled());
        for id in settled.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            let released = self.release(id);
            ctx.spawn(released);
        }
    }

    /// Strikes the container from the books, and tells who waited for that.
    pub(super) fn strike(&mut self, id: &ContainerId) {
        let Some(member) = self.members.remove(id) else { return };
        for waiting in member.waiting {
            // Who does not wait any more need not be told.
            let _ = waiting.send(());
        }
        self.count();
    }
}
