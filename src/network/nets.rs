//! The books of networks: which there are, and who may be connected to them how.

use super::growth::Part;
use super::host::Base;
use super::members::Member;
use super::message::{Endpoint, Resident, Row, Target, V6};
use super::names::LinkNames;
use super::seats::{self, Seat, Seats};
use super::{Network, dns};
use crate::id::{ContainerId, NetworkMode, NetworkName, Networking};
use crate::refusal::Refusal;

/// One network.
pub struct Net {
    /// Its bridge and addresses.
    pub base: Base,
    /// Its further bridges, in the order of their making (`growth.rs`).
    pub more: Vec<Part>,
    /// It has no way out.
    pub internal: bool,
    /// Its number: 0 is the one that is there from the start.
    pub slot: u8,
    /// Its seats.
    pub seats: Seats,
    /// Where the containers on it ask for names, until it is taken down.
    pub resolver: Option<dns::Server>,
}

impl Net {
    /// The network on the bridge of `base`, which takes `links` links.
    pub fn new(base: Base, links: usize, slot: u8, internal: bool, resolver: dns::Server) -> Self {
        Self { seats: Seats::new(base.subnet, links), base, more: Vec::new(), internal, slot, resolver: Some(resolver) }
    }

    /// The bridge on which `seat` is, where it is made.
    pub fn base_of(&self, seat: &Seat) -> Option<&Base> {
        match seat.part() {
            0 => Some(&self.base),
            nth => self.more.get(nth - 1).map(|part| &part.base),
        }
    }

    /// Where whoever has `seat` is.
    pub fn target(&self, seat: &Seat) -> Target {
        Target { ip: seat.ip(), ip6: self.base.ula.map(|ula| ula.of(seat.ip(), self.base.subnet)) }
    }

    /// The link of whoever has `seat`.
    pub fn endpoint(&self, name: &NetworkName, names: &LinkNames, seat: &Seat, interface: String) -> Endpoint {
        let prefix = self.base.subnet.prefix;
        let link = match self.slot {
            0 => names.of(seat.ip(), prefix),
            slot => names.at(slot, seat.port()),
        };
        let (network, gateway, internal) = (name.clone(), self.base.gateway, self.internal);
        let v6 = self.base.ula.map(|ula| V6 { ip: ula.of(seat.ip(), self.base.subnet), ula });
        Endpoint { network, link, interface, ip: seat.ip(), prefix, gateway, v6, internal }
    }
}

impl Network {
    /// Whether a container can be connected so.
    pub(super) fn vet(&self, networking: &Networking, publishes: bool) -> Result<(), Refusal> {
        networking.check(publishes)?;
        let NetworkMode::On(names) = &networking.mode else { return Ok(()) };
        let nets = names.iter().map(|name| self.nets.get(name).ok_or_else(|| self.unknown(name)));
        let nets: Vec<&Net> = nets.collect::<Result<_, _>>()?;
        if let (Some(ip), Some(first)) = (networking.ip, nets.first())
            && !first.seats.holds(ip)
        {
            return Err(seats::outside(ip).within(format_args!("{} ({})", networking.mode, first.base.subnet)));
        }
        if publishes && nets.iter().all(|net| net.internal) {
            return Err(Refusal::bad_option("publish= goes with a network that is not internal"));
        }
        Ok(())
    }

    /// There is no such network.
    pub(super) fn unknown(&self, name: &NetworkName) -> Refusal {
        Refusal::not_found(format_args!("no network {name}; 'network ls' lists those there are"))
    }

    /// Every network, by name.
    pub(super) fn rows(&self) -> Vec<Row> {
        self.nets.iter().map(|(name, net)| self.row(name, net)).collect()
    }

    pub(super) fn row(&self, name: &NetworkName, net: &Net) -> Row {
        Row {
            name: name.clone(),
            subnet: net.base.subnet,
            gateway: net.base.gateway,
            ula: net.base.ula,
            internal: net.internal,
            bridge: net.base.bridge.clone(),
            containers: self.residents(name),
        }
    }

    /// The containers on `network`, or on their way there, by name.
    pub(super) fn residents(&self, network: &NetworkName) -> Vec<Resident> {
        let there = self.members.iter().filter(|(_, member)| member.networks.contains(network));
        let resident = |(id, member): (&ContainerId, &Member)| Resident {
            name: member.name.clone(),
            id: id.clone(),
            aliases: member.networking.alias.iter().cloned().collect(),
            endpoint: member.on(network).cloned(),
        };
        let mut all: Vec<_> = there.map(resident).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}
