//! Which networks the host has already, by its addresses and routes.

use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};

use super::names::LinkNames;
use super::rtnl::{self, Rtnl};
use super::subnet::{self, Taken};
use super::wrong;
use crate::config::{Config, Subnet};
use crate::refusal::Refusal;

/// The table of the host's own addresses, which are asked for by themselves.
const RT_TABLE_LOCAL: u8 = 255;

/// What the host has already, but for its default route and for what the links `except` bring.
pub fn occupied(host: &mut Rtnl, except: impl Fn(&str) -> bool) -> Result<Vec<Taken>, Refusal> {
    let links = host.links().map_err(|error| wrong("the host's links", &error))?;
    let name = |index: u32| links.iter().find(|link| link.header.index == index).map_or("", rtnl::name);
    let addresses = host.addresses().map_err(|error| wrong("the host's addresses", &error))?;
    let routes = host.routes().map_err(|error| wrong("the host's routes", &error))?;
    let addresses = addresses.iter().filter_map(|address| {
        let network = address_of(address)?;
        Some((network, address.header.prefix_len, "an address", name(address.header.index)))
    });
    let routes = routes.iter().filter(|route| route.header.table != RT_TABLE_LOCAL).filter_map(|route| {
        let (network, link) = destination_of(route)?;
        Some((network, route.header.destination_prefix_length, "a route", name(link)))
    });
    let others = addresses.chain(routes).filter(|(_, prefix, _, link)| *prefix > 0 && !except(link));
    Ok(others.map(|(network, prefix, by, link)| Taken { network, prefix, by: format!("{by} of {link:?}") }).collect())
}

/// An address of IPv4.
pub fn address_of(address: &AddressMessage) -> Option<Ipv4Addr> {
    address.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(IpAddr::V4(ip)) => Some(*ip),
        _ => None,
    })
}

/// Where a route leads, and by the link of which index (0 where it has none, or several).
fn destination_of(route: &RouteMessage) -> Option<(Ipv4Addr, u32)> {
    let network = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(network)) => Some(*network),
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
