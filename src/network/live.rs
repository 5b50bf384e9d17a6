//! Links that come and go while their container runs: its namespace is entered, and everything else goes on.

use std::os::fd::OwnedFd;

use actix::prelude::*;

use super::attach::{self, Rules};
use super::host::Base;
use super::members::{Held, closing};
use super::message::Endpoint;
use super::netns::{LINK, Namespace};
use super::rtnl::Rtnl;
use super::seats::{Refused, Seat, Wish};
use super::{Change, Network, bridge, growth, wrong};
use crate::id::{ContainerId, NetworkName, PublishedPort};
use crate::refusal::Refusal;

/// The container's links as they are now, and whether what was asked for was done.
type Answer = Result<Vec<Endpoint>, Refusal>;

impl Network {
    /// Gives a container a link to one network more.
    pub(super) fn connect(&mut self, id: ContainerId, name: NetworkName) -> Change<Answer> {
        let seat = match self.check_connect(&id, &name) {
            Ok(seat) => seat,
            Err(refusal) => return Box::pin(actix::fut::err(refusal)),
        };
        let (on, changed) = (name.clone(), id.clone());
        let seated = seat.into_actor(self).then(move |seat, network, _| network.widen_for(seat, on));
        let plugged = seated.then(move |seat, network, _| network.plug(changed, &name, seat));
        Box::pin(plugged.then(move |done, network, _| network.put_back(id, done)))
    }

    /// Puts the container aside while it is changed: whoever detaches it meanwhile waits.
    fn take_out(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        if self.closing {
            return Err(closing());
        }
        let busy = || Refusal::wrong_state("its networks are being changed, or it is ending; try again");
        let member = self.members.get_mut(id).ok_or_else(busy)?;
        let held = member.held.as_ref().ok_or_else(busy)?;
        if held.namespace.is_none() || held.attachment.shared.is_some() {
            return Err(Refusal::wrong_state("its network is not its own"));
        }
        member.leads = held.answers_at().map(|to| (held.reserved.ports().to_vec(), to));
        member.changing = member.held.take();
        Ok(())
    }

    /// What a container has that is being changed.
    fn changing(&mut self, id: &ContainerId) -> Result<&mut Held, Refusal> {
        let changing = self.members.get_mut(id).and_then(|member| member.changing.as_mut());
        changing.ok_or_else(|| Refusal::internal("a container that was changed is not in the books"))
    }

    fn check_connect(
        &mut self,
        id: &ContainerId,
        name: &NetworkName,
    ) -> Result<impl Future<Output = Result<Seat, Refused>> + use<>, Refusal> {
        let Some(net) = self.nets.get(name) else { return Err(self.unknown(name)) };
        let leaving = self.leaving.values().any(|leaving| leaving.slot == net.slot);
        let seat = net.seats.take(Wish::Any, leaving);
        if self.members.get(id).is_some_and(|member| member.networks.contains(name)) {
            return Err(Refusal::exists(format_args!("it is on the network {name} already")));
        }
        self.take_out(id)?;
        if let Some(member) = self.members.get_mut(id) {
            // From here on the network cannot be removed.
            member.networks.push(name.clone());
        }
        Ok(seat)
    }

    fn plug(
        &mut self,
        id: ContainerId,
        name: &NetworkName,
        seat: Result<Seat, Refused>,
    ) -> Change<Result<Endpoint, Refusal>> {
        let planned = seat.map_err(|refused| self.no_seat(refused)).and_then(|seat| self.plan(&id, name, seat));
        let (endpoint, base, seat, namespace, leads_out) = match planned {
            Ok(planned) => planned,
            Err(refusal) => return Box::pin(actix::fut::err(refusal)),
        };
        let wanted = endpoint.clone();
        let joined = self.job(move || enter(namespace, &wanted, &base, leads_out));
        Box::pin(joined.into_actor(self).map(move |joined, network, ctx| {
            match joined.and_then(|joined| joined).and_then(|()| network.changing(&id)) {
                Ok(held) => {
                    held.attachment.endpoints.push(endpoint.clone());
                    held.seats.push(seat);
                    Ok(endpoint)
                }
                Err(refusal) => {
                    let link = endpoint.link.clone();
                    network.leave(endpoint, seat, ctx);
                    let expelled = network.expel(link);
                    ctx.spawn(expelled);
                    Err(refusal)
                }
            }
        }))
    }

    /// The link to be made, the bridge it is on, and whether it is to lead out.
    fn plan(
        &mut self,
        id: &ContainerId,
        name: &NetworkName,
        seat: Seat,
    ) -> Result<(Endpoint, Base, Seat, OwnedFd, bool), Refusal> {
        let held = self.changing(id)?;
        let (interface, namespace) = (free_interface(&held.attachment.endpoints), part(held)?);
        let leads_out = held.answers_at().is_none();
        let net = self.nets.get(name).ok_or_else(|| self.unknown(name))?;
        let endpoint = net.endpoint(name, &self.names, &seat, interface);
        let base = net.base_of(&seat).ok_or_else(|| growth::missing(name))?.clone();
        Ok((endpoint, base, seat, namespace, leads_out))
    }

    fn no_seat(&self, refused: Refused) -> Refusal {
        match refused {
            Refused::Otherwise(refusal) => refusal,
            Refused::Held => Refusal::internal("an address is held that nobody asked for"),
        }
    }

    /// Takes a container off one of its networks.
    pub(super) fn disconnect(
        &mut self,
        id: ContainerId,
        name: &NetworkName,
        ctx: &mut Context<Self>,
    ) -> Change<Answer> {
        let (unplug, gone) = match self.check_disconnect(&id, name, ctx) {
            Ok(checked) => checked,
            Err(refusal) => return Box::pin(actix::fut::err(refusal)),
        };
        let unplugged = self.job(move || unplug.carry_out());
        Box::pin(unplugged.into_actor(self).then(move |unplugged, network, ctx| {
            // The link is gone all the same, or will be: what is wrong beyond that is told in the log, and the rules are
            // made as the books will have it.
            if let Err(refusal) = unplugged.and_then(|unplugged| unplugged) {
                log::warn!("the link {} was taken off: {refusal}", gone.link);
                network.renew(ctx);
            }
            if let Some(member) = network.members.get_mut(&id) {
                member.networks.retain(|on| *on != gone.network);
            }
            if let Some(member) = network.members.get(&id) {
                network.tell(member, "disconnect", &gone);
            }
            network.restore(id)
        }))
    }

    fn check_disconnect(
        &mut self,
        id: &ContainerId,
        name: &NetworkName,
        ctx: &mut Context<Self>,
    ) -> Result<(Unplug, Endpoint), Refusal> {
        self.take_out(id)?;
        let rules = self.rules.clone();
        let taken = self.changing(id).and_then(|held| {
            let (unplug, nth) = unplug(held, name, &rules)?;
            Ok((unplug, held.attachment.endpoints.remove(nth), held.seats.remove(nth)))
        });
        let (unplug, gone, seat) = match taken {
            Ok(taken) => taken,
            Err(refusal) => {
                if let Some(member) = self.members.get_mut(id) {
                    member.settle();
                }
                return Err(refusal);
            }
        };
        self.withdraw(&gone);
        // Before it is deleted: the notice must find it among those that leave.
        self.leave(gone.clone(), seat, ctx);
        Ok((unplug, gone))
    }

    /// Enters what came of a connection.
    fn put_back(&mut self, id: ContainerId, done: Result<Endpoint, Refusal>) -> Change<Answer> {
        let endpoints = self.changing(&id).map(|held| held.attachment.endpoints.clone()).unwrap_or_default();
        if let Some(member) = self.members.get_mut(&id) {
            member.networks = endpoints.iter().map(|endpoint| endpoint.network.clone()).collect();
        }
        if let (Ok(endpoint), Some(member)) = (&done, self.members.get(&id)) {
            self.announce(member, endpoint);
        }
        Box::pin(self.restore(id).map(move |restored, _, _| {
            let endpoints = restored?;
            done.map(|_| endpoints)
        }))
    }

    /// Puts a container back in the books, and gives the links that it has; takes it off its networks where that was asked
    /// for meanwhile.
    fn restore(&mut self, id: ContainerId) -> Change<Answer> {
        let attachment = match self.changing(&id) {
            Ok(held) => held.attachment.clone(),
            Err(refusal) => return Box::pin(actix::fut::err(refusal)),
        };
        self.introduce(&attachment);
        let is_wanted = self.members.get_mut(&id).is_some_and(|member| {
            member.settle();
            member.waiting.is_empty()
        });
        if !self.closing && is_wanted {
            return Box::pin(actix::fut::ok(attachment.endpoints));
        }
        let why = Refusal::cancelled("it ended while its networks were being changed");
        Box::pin(self.release(id).map(|(), _, _| Err(why)))
    }
}

/// The lowest `ethN` that it does not have.
fn free_interface(endpoints: &[Endpoint]) -> String {
    let taken = |name: &String| endpoints.iter().any(|endpoint| endpoint.interface == *name);
    let mut names = (0..=endpoints.len()).map(|nth| format!("{LINK}{nth}"));
    names.find(|name| !taken(name)).unwrap_or_else(|| format!("{LINK}{}", endpoints.len()))
}

/// A descriptor of its namespace, for a job.
fn part(held: &Held) -> Result<OwnedFd, Refusal> {
    let own = held.namespace.as_ref().ok_or_else(|| Refusal::wrong_state("its network is not its own"))?;
    own.try_clone().map_err(|error| wrong("a descriptor of the namespace", &error))
}

/// Makes the link, and lets it lead out where none does yet. Blocks.
fn enter(namespace: OwnedFd, endpoint: &Endpoint, base: &Base, leads_out: bool) -> Result<(), Refusal> {
    let mut namespace = Namespace::of(namespace).map_err(|error| wrong("the container's namespace", &error))?;
    let mut host = Rtnl::open().map_err(|error| wrong("a netlink socket", &error))?;
    attach::join(&mut host, endpoint, base, &mut namespace)?;
    if leads_out { attach::way_out(std::iter::once(endpoint), &mut namespace) } else { Ok(()) }
}

/// A link to be taken away.
struct Unplug {
    namespace: OwnedFd,
    gone: Endpoint,
    /// Those that stay.
    rest: Vec<Endpoint>,
    /// What led out, and to it, was this link.
    led_out: bool,
    ports: Vec<PublishedPort>,
    rules: Rules,
}

/// What is to be done to take the link to `name` away, and which of the links it is.
fn unplug(held: &Held, name: &NetworkName, rules: &Rules) -> Result<(Unplug, usize), Refusal> {
    let endpoints = &held.attachment.endpoints;
    let nth = endpoints.iter().position(|endpoint| endpoint.network == *name);
    let nth = nth.ok_or_else(|| Refusal::not_found(format_args!("it is not on the network {name}")))?;
    let (gone, rest): (Vec<_>, Vec<_>) = endpoints.iter().cloned().partition(|endpoint| endpoint.network == *name);
    let gone = gone.into_iter().next().ok_or_else(|| Refusal::internal("a link that was found is gone"))?;
    let ports = held.reserved.ports().to_vec();
    let led_out = held.answers_at() == Some(gone.target());
    if led_out && !ports.is_empty() && rest.iter().all(|endpoint| endpoint.internal) {
        return Err(Refusal::in_use(format_args!("its published ports lead to it by the network {name} alone")));
    }
    Ok((Unplug { namespace: part(held)?, gone, rest, led_out, ports, rules: rules.clone() }, nth))
}

impl Unplug {
    /// Takes it away; its ports, and what it leads out, go by the next. Blocks.
    fn carry_out(self) -> Result<(), Refusal> {
        if self.led_out {
            self.rules.unpublish(&self.ports, self.gone.target());
        }
        let deleted = Rtnl::open().and_then(|mut host| bridge::delete(&mut host, &self.gone.link));
        let deleted = deleted.map_err(|error| wrong(&format!("the link {}", self.gone.link), &error));
        let Some(next) = self.rest.iter().find(|endpoint| self.led_out && !endpoint.internal) else { return deleted };
        // One that fails keeps none of the others from being done.
        let led = self.rules.lead(&self.ports, next.target());
        let namespace = Namespace::of(self.namespace).map_err(|error| wrong("the container's namespace", &error));
        let out = namespace.and_then(|mut namespace| attach::way_out(std::iter::once(next), &mut namespace));
        deleted.and(led).and(out)
    }
}
