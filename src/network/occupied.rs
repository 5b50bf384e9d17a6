//! Which networks the host has already, by its addresses and routes.

use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};

use super::names::LinkNames;
use super::rtnl::{self, Rtnl};
use super::subnet::{self, Taken};
use super::ula::{self, Ula};
use super::wrong;
use crate::config::{Config, Subnet};
use crate::refusal::Refusal;

/// The table of the host's own addresses, which are asked for by themselves.
const RT_TABLE_LOCAL: u8 = 255;
/// What tells this host from all others (machine-id(5)).
const MACHINE: &str = "/etc/machine-id";

/// What the host has of IPv4 already, but for its default route and for what the links `except` bring.
pub fn occupied(host: &mut Rtnl, except: impl Fn(&str) -> bool) -> Result<Vec<Taken>, Refusal> {
    let links = host.links().map_err(|error| wrong("the host's links", &error))?;
    let name = |index: u32| links.iter().find(|link| link.header.index == index).map_or("", rtnl::name);
    let (addresses, routes) = all(host, AddressFamily::Inet)?;
    let addresses = addresses.iter().filter_map(|address| {
        let IpAddr::V4(network) = address_of(address)? else { return None };
        Some((network, address.header.prefix_len, "an address", name(address.header.index)))
    });
    let routes = routes.iter().filter_map(|route| {
        let (IpAddr::V4(network), link) = destination_of(route)? else { return None };
        Some((network, route.header.destination_prefix_length, "a route", name(link)))
    });
    let others = addresses.chain(routes).filter(|(_, prefix, _, link)| *prefix > 0 && !except(link));
    Ok(others.map(|(network, prefix, by, link)| Taken { network, prefix, by: format!("{by} of {link:?}") }).collect())
}

/// The same of IPv6.
fn occupied6(host: &mut Rtnl) -> Result<Vec<ula::Taken>, Refusal> {
    let v6 = |ip: IpAddr| if let IpAddr::V6(ip) = ip { Some(ip) } else { None };
    let (addresses, routes) = all(host, AddressFamily::Inet6)?;
    let addresses =
        addresses.iter().filter_map(|address| Some((address_of(address).and_then(v6)?, address.header.prefix_len)));
    let routes = routes.iter().filter_map(|route| {
        let (network, _) = destination_of(route)?;
        Some((v6(network)?, route.header.destination_prefix_length))
    });
    Ok(addresses.chain(routes).filter(|(_, prefix): &(Ipv6Addr, u8)| *prefix > 0).collect())
}

fn all(host: &mut Rtnl, family: AddressFamily) -> Result<(Vec<AddressMessage>, Vec<RouteMessage>), Refusal> {
    let addresses = host.addresses(family).map_err(|error| wrong("the host's addresses", &error))?;
    let mut routes = host.routes(family).map_err(|error| wrong("the host's routes", &error))?;
    routes.retain(|route| route.header.table != RT_TABLE_LOCAL);
    Ok((addresses, routes))
}

/// The addresses of IPv6 for the network called `name` of the daemon of `bridge`; none where the host has taken all there are.
pub fn free_ula(host: &mut Rtnl, bridge: &str, name: &str) -> Result<Option<Ula>, Refusal> {
    let machine = std::fs::read_to_string(MACHINE).unwrap_or_default();
    // Two hosts that nothing tells apart have the same: each behind its own.
    let ula = Ula::choose(machine.trim(), bridge, name, &occupied6(host)?);
    if ula.is_none() {
        log::warn!("the network {name} has no IPv6: this host's routes cover all addresses that it could have");
    }
    Ok(ula)
}

/// An address.
pub fn address_of(address: &AddressMessage) -> Option<IpAddr> {
    address.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(ip) => Some(*ip),
        _ => None,
    })
}

/// Where a route leads, and by the link of which index (0 where it has none, or several).
fn destination_of(route: &RouteMessage) -> Option<(IpAddr, u32)> {
    let network = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(network)) => Some(IpAddr::from(*network)),
        RouteAttribute::Destination(RouteAddress::Inet6(network)) => Some(IpAddr::from(*network)),
        _ => None,
    })?;
    let link = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    Some((network, link.unwrap_or(0)))
}

/// The subnet that would be had now, or is had already by the bridge of a running daemon.
pub fn free_subnet(config: &Config) -> Result<Subnet, Refusal> {
    let mut host = Rtnl::open().map_err(|error| wrong("a netlink socket", &error))?;
    let names = LinkNames::new(&config.bridge);
    let own = |link: &str| link == config.bridge || names.owns_part(link);
    subnet::choose(config.subnet, &occupied(&mut host, own)?)
}
