//! A network that outgrows its bridge, which takes a thousand links: it has further bridges, made when they are needed.
//!
//! To the containers it is one network. What is for a container on a further bridge is routed there, by a route of its
//! own; and whoever asks, on one bridge, for the hardware address of somebody on another is told the host's
//! (`proxy_arp`, in the kernel's `Documentation/networking/ip-sysctl.rst`). Of IPv6 nobody asks: all of it goes by the host
//! (`v6.rs`). What is sent to everybody stays on its bridge.

use actix::prelude::*;

use super::further::{Wish, unmade};
use super::host::Base;
use super::members::closing;
use super::nets::Net;
use super::rtnl::Rtnl;
use super::seats::{Refused, Seat};
use super::{Change, Network, bridge, dns, forwarding, rules, wrong};
use crate::config::Subnet;
use crate::id::NetworkName;
use crate::journal::Step;
use crate::refusal::{Code, Refusal};
use crate::tools::nft;

/// How many bridges a network has at most.
pub const BRIDGES_MAX: usize = 8;
/// How many links in all: their names (`names.rs`) have room for three digits of sixteen.
pub const LINKS_MAX: usize = 1 << 12;

/// A further bridge of a network.
pub struct Part {
    /// The bridge.
    pub base: Base,
    /// Where the containers on it ask for names: the same as all of the network.
    pub resolver: dns::Server,
}

/// Its bridge was there when the seat was given.
pub fn missing(network: &NetworkName) -> Refusal {
    Refusal::internal(format_args!("the network {network} lacks a bridge that it had"))
}

impl Net {
    /// The rules of its further bridges, by which they are added or deleted.
    pub fn parts(&self, verb: &str, table: &str) -> String {
        let part = |(nth, part): (usize, &Part)| {
            let before = self.more.iter().take(nth).map(|part| part.base.bridge.as_str());
            let others: Vec<&str> = std::iter::once(self.base.bridge.as_str()).chain(before).collect();
            rules::part(verb, table, &part.base, &others, self.internal, part.resolver.ports())
        };
        self.more.iter().enumerate().map(part).collect()
    }
}

impl Network {
    /// Sees to it that each of `seats`, which are on the networks `names`, has its bridge.
    pub(super) fn widen(
        &mut self,
        seats: Result<Vec<Seat>, Refusal>,
        names: Vec<NetworkName>,
    ) -> Change<Result<Vec<Seat>, Refusal>> {
        let seats = match seats {
            Ok(seats) => seats,
            Err(refusal) => return Box::pin(actix::fut::err(refusal)),
        };
        let lacking = names.iter().zip(&seats).find(|(name, seat)| self.lacks(name, seat.part()));
        let Some((name, nth)) = lacking.map(|(name, seat)| (name.clone(), seat.part())) else {
            return Box::pin(actix::fut::ok(seats));
        };
        // Whoever makes networks has the turn, and by then it may have been made for somebody else.
        let turn = self.turn.clone().lock_owned().into_actor(self);
        let grown = turn.then(move |turn, network, _| network.grow(name, nth).map(move |grown, _, _| (turn, grown).1));
        Box::pin(grown.then(move |grown, network, _| network.widen(grown.map(|()| seats), names)))
    }

    /// The same for one seat that may not have been had.
    pub(super) fn widen_for(
        &mut self,
        seat: Result<Seat, Refused>,
        name: NetworkName,
    ) -> Change<Result<Seat, Refused>> {
        let seat = match seat {
            Ok(seat) => seat,
            Err(refused) => return Box::pin(actix::fut::err(refused)),
        };
        let widened = self.widen(Ok(vec![seat]), vec![name]);
        Box::pin(widened.map(|seats, _, _| {
            let one = seats.map_err(Refused::Otherwise)?.pop();
            one.ok_or_else(|| Refused::Otherwise(Refusal::internal("a seat was lost")))
        }))
    }

    /// A network that was removed meanwhile lacks nothing: its absence is told elsewhere.
    fn lacks(&self, name: &NetworkName, nth: usize) -> bool {
        self.nets.get(name).is_some_and(|net| net.more.len() < nth)
    }

    /// Makes the next bridge of the network, unless it has `nth` already.
    fn grow(&mut self, name: NetworkName, nth: usize) -> Change<Result<(), Refusal>> {
        if !self.lacks(&name, nth) {
            return Box::pin(actix::fut::ok(()));
        }
        let (wish, first, others, internal) = match self.claim_part(&name) {
            Ok(claimed) => claimed,
            Err(refusal) => return Box::pin(actix::fut::err(refusal)),
        };
        let (tools, table, bridge) = (self.tools.clone(), self.rules.table.clone(), wish.bridge.clone());
        let laid = self.job(move || lay(&wish, &first));
        let made = async move {
            let base = laid.await??;
            let sockets = dns::Sockets::bind(&base.bridge, base.gateway)?;
            let others: Vec<&str> = others.iter().map(String::as_str).collect();
            nft::load(&tools, rules::part("add", &table, &base, &others, internal, sockets.ports()?)).await?;
            Ok((base, sockets))
        };
        Box::pin(made.into_actor(self).then(move |made: Result<_, Refusal>, network, ctx| {
            let entered = made.and_then(|(base, sockets)| {
                // Its rules are there by now, and would be in the way of the next try.
                network.enter_part(&name, base, sockets).inspect_err(|_| network.renew(ctx))
            });
            match entered {
                Ok(()) => Box::pin(actix::fut::ok(())) as Change<_>,
                Err(refusal) if refusal.code() == Code::Exists => {
                    network.forget_bridge(bridge);
                    Box::pin(actix::fut::err(refusal))
                }
                Err(refusal) => Box::pin(network.take_away(bridge).map(|_, _, _| Err(refusal))),
            }
        }))
    }

    /// What the next bridge is to be, written down; the network's first, and all that it has.
    fn claim_part(&mut self, name: &NetworkName) -> Result<(Wish, Base, Vec<String>, bool), Refusal> {
        let host = self.host.as_mut().filter(|_| !self.closing).ok_or_else(closing)?;
        let net = self.nets.get(name).ok_or_else(|| missing(name))?;
        let bridge = self.names.part(net.slot, net.more.len() + 1);
        host.record(Step::Link { name: bridge.clone() })?;
        let more = net.more.iter().map(|part| part.base.bridge.clone());
        let others = std::iter::once(net.base.bridge.clone()).chain(more).collect();
        let wish =
            Wish { bridge, alias: host.alias.clone(), subnet: Some(net.base.subnet), internal: net.internal, v6: None };
        Ok((wish, net.base.clone(), others, net.internal))
    }

    fn enter_part(&mut self, name: &NetworkName, base: Base, sockets: dns::Sockets) -> Result<(), Refusal> {
        let forwarder = self.forwarder.clone();
        let net = self.nets.get_mut(name).ok_or_else(|| missing(name))?;
        let resolver = net.resolver.as_ref().ok_or_else(closing)?;
        let resolver = resolver.also_on(sockets, (!net.internal).then_some(forwarder))?;
        log::info!("the network {name} has the bridge {} too", base.bridge);
        net.more.push(Part { base, resolver });
        Ok(())
    }
}

/// Makes a further bridge of the network whose `first` is. Blocks.
fn lay(wish: &Wish, first: &Base) -> Result<Base, Refusal> {
    let mut host = Rtnl::open().map_err(|error| wrong("a netlink socket", &error))?;
    // The gateway's address alone, for its network is the first one's but for those who are on this one.
    let alone = Subnet { prefix: 32, ..first.subnet };
    let gateway6 = first.ula.map(|ula| (ula.gateway(), 128));
    let index = bridge::create(&mut host, &wish.bridge, &wish.alias, (first.gateway, alone), gateway6);
    let index = index.map_err(|error| unmade(&wish.bridge, &error))?;
    for bridge in [&wish.bridge, &first.bridge] {
        forwarding::answer_for_others(bridge)?;
    }
    if !wish.internal {
        forwarding::open_loopback(&wish.bridge)?;
    }
    Ok(Base { bridge: wish.bridge.clone(), index, routed: true, ..first.clone() })
}
