//! The books of links that are about to vanish: the kernel takes them away with their namespace, and tells us.

use std::net::Ipv4Addr;
use std::time::Duration;

use actix::prelude::*;

use super::message::{Endpoint, Target};
use super::notices::Heard;
use super::rtnl::{self, Rtnl};
use super::seats::Seat;
use super::{Change, Network, bridge};

/// How long a link may take to vanish before it is deleted: some process is still in its namespace then.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// A bridge, and who is behind it.
pub type Place = (u32, Target);

/// Has the host forget who was where. Blocks.
pub fn forget(places: &[Place]) {
    if places.is_empty() {
        return;
    }
    let mut host = Rtnl::open();
    for (index, target) in places {
        let done = match &mut host {
            Ok(host) => bridge::forget(host, *index, *target),
            Err(error) => Err(std::io::Error::other(error.to_string())),
        };
        done.unwrap_or_else(|error| log::warn!("the host still knows where {} was: {error}", target.ip));
    }
}

/// A link that is about to vanish.
pub struct Leaving {
    /// Of which network.
    pub slot: u8,
    /// The link is gone, and so is what leads to it: two that come in any order.
    vanished: bool,
    forgotten: bool,
    /// Free when it is dropped.
    seat: Seat,
}

impl Leaving {
    /// Whether that address is free when it has vanished.
    pub fn had(&self, slot: u8, ip: Ipv4Addr) -> bool {
        self.slot == slot && self.seat.ip() == ip
    }
}

impl Network {
    /// The kernel tells of every link that comes, changes or goes.
    pub(super) fn links_changed(&mut self, heard: &Heard, ctx: &mut Context<Self>) {
        match heard {
            Heard::Told(datagram) => rtnl::gone(datagram).iter().for_each(|link| self.vanished(link)),
            // Those that went unheard are found out: the seats of links that are not there are free.
            Heard::Lost => {
                log::debug!("notices of links were lost; the links that are about to vanish are looked for");
                let there = self.job(|| Rtnl::open().and_then(|mut host| host.links())).into_actor(self);
                let leaving: Vec<String> = self.leaving.keys().cloned().collect();
                ctx.spawn(there.map(move |there, network, _| {
                    let Ok(Ok(there)) = there else { return };
                    let gone = |link: &&String| there.iter().all(|other| rtnl::name(other) != *link);
                    leaving.iter().filter(gone).for_each(|link| network.vanished(link));
                }));
            }
        }
    }

    /// The link vanished.
    pub(super) fn vanished(&mut self, link: &str) {
        self.has_left(link, |leaving| leaving.vanished = true);
    }

    /// One of two things came to pass; with both, the seat is free.
    fn has_left(&mut self, link: &str, note: impl FnOnce(&mut Leaving)) {
        let Some(leaving) = self.leaving.get_mut(link) else { return };
        note(leaving);
        if leaving.vanished && leaving.forgotten {
            self.leaving.remove(link);
            self.count();
        }
    }

    /// Keeps the seat until its link has vanished, and sees to it that it does.
    pub(super) fn leave(&mut self, endpoint: Endpoint, seat: Seat, ctx: &mut Context<Self>) {
        let slot = self.nets.get(&endpoint.network).map_or(0, |net| net.slot);
        let place = self.place(&endpoint, &seat);
        let leaving = Leaving { slot, vanished: false, forgotten: false, seat };
        self.leaving.insert(endpoint.link.clone(), leaving);
        self.count();
        let link = endpoint.link.clone();
        let forgotten = self.job(move || forget(place.as_slice()));
        ctx.spawn(forgotten.into_actor(self).map(move |_, network, _| {
            network.has_left(&link, |leaving| leaving.forgotten = true);
        }));
        Self::remind(endpoint.link, ctx);
    }

    /// The same for a link whose place was forgotten before.
    pub(super) fn leave_forgotten(&mut self, endpoint: Endpoint, seat: Seat, ctx: &mut Context<Self>) {
        let slot = self.nets.get(&endpoint.network).map_or(0, |net| net.slot);
        let leaving = Leaving { slot, vanished: false, forgotten: true, seat };
        self.leaving.insert(endpoint.link.clone(), leaving);
        self.count();
        Self::remind(endpoint.link, ctx);
    }

    /// What the host knows of whoever has the seat.
    pub(super) fn place(&self, endpoint: &Endpoint, seat: &Seat) -> Option<Place> {
        let base = self.nets.get(&endpoint.network)?.base_of(seat)?;
        Some((base.index, endpoint.target()))
    }

    /// The same for one that is about to vanish.
    pub(super) fn place_left(&self, leaving: &Leaving) -> Option<Place> {
        let net = self.nets.values().find(|net| net.slot == leaving.slot)?;
        Some((net.base_of(&leaving.seat)?.index, net.target(&leaving.seat)))
    }

    fn remind(link: String, ctx: &mut Context<Self>) {
        ctx.run_later(LINGER_MAX, move |network, ctx| {
            if network.leaving.get(&link).is_some_and(|leaving| !leaving.vanished) {
                let expelled = network.expel(link);
                ctx.spawn(expelled);
            }
        });
    }

    /// Deletes a link that does not vanish by itself.
    pub(super) fn expel(&mut self, link: String) -> Change<()> {
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

    pub(super) fn count(&self) {
        self.open.send_replace(self.members.len() + self.leaving.len());
    }
}
