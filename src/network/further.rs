//! Further networks: made and removed while the daemon runs, one at a time. A bridge each, and elements in the sets of the
//! one table; the bridge is in the journal before it is made.

use std::io;

use actix::prelude::*;

use super::host::Base;
use super::lock::Lock;
use super::members::closing;
use super::message::{Create, Row};
use super::nets::Net;
use super::occupied::{free_ula, occupied};
use super::rtnl::Rtnl;
use super::ula::Ula;
use super::{Change, Network, bridge, dns, forwarding, pool, rules, subnet, sweep, wrong};
use crate::config::Subnet;
use crate::events::Kind;
use crate::fault;
use crate::id::NetworkName;
use crate::journal::Step;
use crate::refusal::{Code, Refusal};
use crate::tools::nft;

/// What a further network's bridge is to be.
pub struct Wish {
    pub bridge: String,
    pub alias: String,
    pub subnet: Option<Subnet>,
    pub internal: bool,
    /// Whose addresses of IPv6 it is to have: the daemon's first bridge, and what the network is called.
    pub v6: Option<(String, NetworkName)>,
}

impl Network {
    /// Makes a network, in its turn.
    pub(super) fn make_network(&mut self, create: Create) -> Change<Result<Row, Refusal>> {
        self.make_behind(0, create)
    }

    /// The same at the first free place behind that one.
    fn make_behind(&mut self, place: u8, create: Create) -> Change<Result<Row, Refusal>> {
        let (slot, wish) = match self.claim(&create, place) {
            Ok(claimed) => claimed,
            Err(refusal) => return Box::pin(actix::fut::err(refusal)),
        };
        let internal = create.internal;
        // Questions too are a way out.
        let forwarder = (!internal).then(|| self.forwarder.clone());
        let (tools, table, bridge) = (self.tools.clone(), self.rules.table.clone(), wish.bridge.clone());
        let laid = self.job(move || lay(&wish));
        let made = async move {
            let base = laid.await??;
            fault::point("further-bridge");
            let sockets = dns::Sockets::bind(&base.bridge, base.gateway)?;
            let resolver = dns::Server::start(sockets, base.range(), forwarder)?;
            // Last, for nobody takes them back alone.
            nft::load(&tools, rules::add(&table, &base, internal, resolver.ports())).await?;
            fault::point("further-rules");
            Ok((base, resolver))
        };
        Box::pin(made.into_actor(self).then(move |made: Result<(Base, dns::Server), Refusal>, network, _| match made {
            Ok((base, resolver)) => {
                let name = create.name;
                log::info!("the network {name} is up, {} on the bridge {}", base.subnet, base.bridge);
                let net = Net::new(base, network.links, slot, internal, resolver);
                let row = network.row(&name, &net);
                network.bus.publish(Kind::Network, name.as_str(), "create", Vec::new());
                network.nets.insert(name, net);
                Box::pin(actix::fut::ok(row)) as Change<_>
            }
            Err(refusal) if refusal.code() == Code::Exists => {
                log::warn!("{refusal}");
                network.forget_bridge(bridge);
                network.make_behind(slot, create)
            }
            Err(refusal) => Box::pin(network.take_away(bridge).map(|_, _, _| Err(refusal))),
        }))
    }

    /// Finds a place for a network among the others, behind `place`, and writes down what will be made of it.
    fn claim(&mut self, create: &Create, place: u8) -> Result<(u8, Wish), Refusal> {
        let host = self.host.as_mut().filter(|_| !self.closing).ok_or_else(closing)?;
        if self.nets.contains_key(&create.name) {
            return Err(Refusal::exists(format_args!("a network {} is there already", create.name)));
        }
        let taken = |slot: u8| {
            let mut slots = self.nets.values().map(|net| net.slot).chain(self.leaving.values().map(|l| l.slot));
            slots.any(|other| other == slot)
        };
        let slot = (1..=u8::MAX).skip(place.into()).find(|slot| !taken(*slot));
        let slot =
            slot.ok_or_else(|| Refusal::busy(format_args!("{} networks are there, the most there can be", u8::MAX)))?;
        let bridge = self.names.bridge(slot);
        host.record(Step::Link { name: bridge.clone() })?;
        let v6 = self.v6.then(|| (self.rules.table.clone(), create.name.clone()));
        Ok((slot, Wish { bridge, alias: host.alias.clone(), subnet: create.subnet, internal: create.internal, v6 }))
    }

    /// Removes a network that nobody is on, in its turn.
    pub(super) fn remove_network(&mut self, name: NetworkName) -> Change<Result<(), Refusal>> {
        let net = match self.give_up(&name) {
            Ok(net) => net,
            Err(refusal) => return Box::pin(actix::fut::err(refusal)),
        };
        let (tools, table) = (self.tools.clone(), &self.rules.table);
        let ruleset = net.parts("delete", table) + &rules::remove(table, &net.base, net.internal);
        Box::pin(self.take_down(net).then(move |gone, network, ctx| match gone {
            Ok(()) => {
                fault::point("further-gone");
                network.bus.publish(Kind::Network, name.as_str(), "remove", Vec::new());
                let unruled = async move { nft::load(&tools, ruleset).await };
                Box::pin(unruled.into_actor(network).map(move |unruled, network, ctx| {
                    // The bridge is gone: what is left of it in the rules fits nothing, but is in the way of the next.
                    if let Err(refusal) = unruled {
                        log::warn!("the rules of the network {name}: {refusal}");
                        network.renew(ctx);
                    }
                    fault::point("further-unruled");
                    Ok(())
                })) as Change<_>
            }
            Err((net, refusal)) => {
                network.nets.insert(name, net);
                // Those of bridges that are gone are in the way of the next ones.
                network.renew(ctx);
                Box::pin(actix::fut::err(refusal))
            }
        }))
    }

    /// Deletes the bridges of a network, its first one last. Where one cannot be deleted, what is left of the network comes
    /// back.
    fn take_down(&mut self, mut net: Net) -> Change<Result<(), (Net, Refusal)>> {
        let last = net.more.last().map_or(&net.base, |part| &part.base);
        Box::pin(self.take_away(last.bridge.clone()).then(|gone, network, _| match gone {
            Err(refusal) => Box::pin(actix::fut::err((net, refusal))) as Change<_>,
            Ok(()) if net.more.pop().is_some() => network.take_down(net),
            Ok(()) => Box::pin(actix::fut::ok(())),
        }))
    }

    /// Strikes a network from the books, so that nobody comes on it any more.
    fn give_up(&mut self, name: &NetworkName) -> Result<Net, Refusal> {
        if self.closing {
            return Err(closing());
        }
        if *name == NetworkName::bridge() {
            return Err(Refusal::denied(format_args!("the network {name} is there from the start, and stays")));
        }
        let there = self.residents(name);
        if !there.is_empty() {
            let there = there.iter().map(|resident| resident.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Refusal::in_use(format_args!("on the network {name} there are {there}")));
        }
        self.nets.remove(name).ok_or_else(|| self.unknown(name))
    }

    /// Deletes the bridge of a further network, made whole or half, and strikes it from the journal.
    pub(super) fn take_away(&mut self, bridge: String) -> Change<Result<(), Refusal>> {
        let name = bridge.clone();
        let deleted = self.job(move || sweep::delete_bridge(&name, true).map(drop));
        Box::pin(deleted.into_actor(self).map(move |deleted, network, _| {
            let deleted = deleted.and_then(|deleted| deleted);
            match &deleted {
                Ok(()) => network.forget_bridge(bridge),
                Err(refusal) => log::warn!("not undone: {refusal}"),
            }
            deleted
        }))
    }

    /// Strikes from the journal a bridge that is gone, or is not ours.
    pub(super) fn forget_bridge(&mut self, bridge: String) {
        if let Some(host) = &mut self.host {
            host.forget(&Step::Link { name: bridge });
        }
    }
}

/// Why there is no bridge of that name: `exists` where it is somebody else's, who was there before us.
pub fn unmade(bridge: &str, error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Refusal::exists(format_args!("the link {bridge} is there and is not gantry's")),
        _ => wrong(&format!("the bridge {bridge}"), error),
    }
}

/// Makes the bridge of a further network. What it leaves where it fails is the asker's to take away. Blocks.
fn lay(wish: &Wish) -> Result<Base, Refusal> {
    let _turn = Lock::turn()?;
    let mut host = Rtnl::open().map_err(|error| wrong("a netlink socket", &error))?;
    let subnet = subnet::choose(wish.subnet, &occupied(&mut host, |_| false)?)?;
    let gateway = pool::gateway(subnet);
    let ula = match &wish.v6 {
        Some((bridge, name)) => free_ula(&mut host, bridge, name.as_str())?,
        None => None,
    };
    let gateway6 = ula.map(|ula| (ula.gateway(), Ula::PREFIX));
    let index = bridge::create(&mut host, &wish.bridge, &wish.alias, (gateway, subnet), gateway6);
    let index = index.map_err(|error| unmade(&wish.bridge, &error))?;
    if !wish.internal {
        forwarding::open_loopback(&wish.bridge)?;
    }
    Ok(Base { bridge: wish.bridge.clone(), index, subnet, gateway, ula, routed: false })
}
