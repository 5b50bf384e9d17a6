//! The actor's beginning and succession. One that panics leaves its books to the next: descriptors of namespaces, sockets of
//! ports and name servers are in them, so that what is attached notices nothing. What it was in the middle of is known to
//! nobody any more, and is taken off the host before the next one begins.

use std::collections::BTreeSet;

use actix::prelude::*;
use futures::{Stream, StreamExt};
use netlink_packet_route::link::InfoKind;
use tokio::sync::{mpsc, watch};

use super::foreign::Others;
use super::leaving::{Place, forget};
use super::members::{Held, Member};
use super::mend::Mending;
use super::names::LinkNames;
use super::notices::{self, Heard};
use super::rtnl::{self, Rtnl};
use super::{JOBS_MAX, Network, Notice, bridge, sweep};
use crate::events::Kind;
use crate::journal::Step;
use crate::link::{self, Post};
use crate::worker::look;

impl Network {
    /// Starts the actor, and its successors.
    pub(super) fn reign(
        mut self,
        links: impl Stream<Item = Heard> + 'static,
        changes: impl Stream<Item = Heard> + 'static,
    ) -> Post<Self> {
        let (fallen, falls) = mpsc::unbounded_channel();
        self.fallen = Some(fallen);
        let first = Self::create(|ctx| {
            ctx.add_stream(links.map(Notice::OfLinks));
            ctx.add_stream(changes.map(Notice::OfRules));
            self.look_at_others(ctx);
            self
        });
        let (office, post) = Post::of(first);
        actix_rt::spawn(link::succeed(falls, office, async |mut next: Self, teller| {
            next.fallen = Some(teller);
            next.succeed().await
        }));
        post
    }

    /// Goes on with the books of one that panicked.
    async fn succeed(mut self) -> Addr<Self> {
        // Heard from here on, and before it is looked.
        let (links, changes) = (notices::of(notices::LINKS), notices::of(notices::RULES));
        self.take_stock().await;
        self.bus.publish(Kind::Daemon, "network", "recovered", Vec::new());
        Self::create(|ctx| {
            match links {
                Ok(links) => drop(ctx.add_stream(links.map(Notice::OfLinks))),
                Err(e) => log::error!("what becomes of links is seen late, or not: {e}"),
            }
            match changes {
                Ok(changes) => drop(ctx.add_stream(changes.map(Notice::OfRules))),
                Err(e) => log::error!("what others do to rules is seen late, or not: {e}"),
            }
            self.renew(ctx);
            self.look_at_others(ctx);
            self
        })
    }

    /// Holds the books against the host: who is in them for good stays, and what nobody in them has goes.
    async fn take_stock(&mut self) {
        // Of what was under way nothing is left by then but what it made.
        let quiet = self.jobs.clone().acquire_many_owned(JOBS_MAX as u32).await;
        self.members.values_mut().for_each(Member::settle);
        let half: Vec<_> = self.members.iter().filter(|(_, m)| !m.is_settled()).map(|(id, _)| id.clone()).collect();
        half.iter().for_each(|id| self.strike(id));
        for member in self.members.values_mut() {
            let own = member.held.iter().flat_map(Held::own);
            member.networks = own.map(|endpoint| endpoint.network.clone()).collect();
        }
        let links = self.members.values().filter_map(|m| m.held.as_ref()).flat_map(Held::own);
        let bridges =
            self.nets.values().flat_map(|net| std::iter::once(&net.base).chain(net.more.iter().map(|p| &p.base)));
        let kept: BTreeSet<String> =
            links.map(|endpoint| endpoint.link.clone()).chain(bridges.map(|base| base.bridge.clone())).collect();
        let places: Vec<Place> = self.leaving.values().filter_map(|leaving| self.place_left(leaving)).collect();
        let names = self.names.clone();
        let cleared = look(move || clear(&names, &kept, &places)).await;
        for bridge in cleared.unwrap_or_default() {
            if let Some(host) = &mut self.host {
                host.forget(&Step::Link { name: bridge });
            }
        }
        self.leaving.clear();
        self.count();
        drop(quiet);
    }
}

/// Deletes what is called as ours is and is not `kept`; the bridges of it come back. Blocks.
fn clear(names: &LinkNames, kept: &BTreeSet<String>, places: &[Place]) -> Vec<String> {
    let links = Rtnl::open().and_then(|mut host| Ok((host.links()?, host)));
    let (links, mut host) = match links {
        Ok(found) => found,
        Err(e) => {
            log::error!("what an actor that panicked left on the host is not known: {e}");
            return Vec::new();
        }
    };
    let mut bridges = Vec::new();
    for link in links.iter().filter(|link| !kept.contains(rtnl::name(link))) {
        let name = rtnl::name(link);
        if names.owns(name) && rtnl::is_kind(link, &InfoKind::Veth) {
            // One that vanished by itself meanwhile is gone as well.
            let _ = bridge::delete(&mut host, name);
        } else if names.owns_bridge(name) && sweep::delete_bridge(name, true).is_ok() {
            bridges.push(name.to_owned());
        }
    }
    forget(places);
    bridges
}

impl Drop for Network {
    fn drop(&mut self) {
        let Some(fallen) = self.fallen.take().filter(|_| std::thread::panicking()) else {
            return self.spares.close();
        };
        let next = Self {
            nets: std::mem::take(&mut self.nets),
            turn: self.turn.clone(),
            tools: self.tools.clone(),
            rules: self.rules.clone(),
            host: self.host.take(),
            names: self.names.clone(),
            spares: self.spares.clone(),
            members: std::mem::take(&mut self.members),
            leaving: std::mem::take(&mut self.leaving),
            ports_max: self.ports_max,
            jobs: self.jobs.clone(),
            open: watch::Sender::new(0),
            closing: self.closing,
            bus: self.bus.clone(),
            mending: Mending::of(&self.rules.table, self.mending.quiet),
            others: Others::new(self.others.cooperate),
            v6: self.v6,
            links: self.links,
            forwarder: self.forwarder.clone(),
            fallen: None,
        };
        link::fall(&fallen, next);
    }
}
