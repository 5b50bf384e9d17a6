//! The bridge and the links on it, by route netlink. Knows how a link is made, not when; blocks like `rtnl.rs`.

use std::io;
use std::net::Ipv4Addr;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::RouteScope;
use nix::libc;
use rtnetlink::{
    AddressMessageBuilder, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};

use super::netns::{self, Namespace};
use super::rtnl::{self, Rtnl};
use crate::config::Subnet;

/// What our hardware addresses begin with: locally administered, and what Docker's begin with.
const VENDOR: [u8; 2] = [0x02, 0x42];

/// Bytes that went through a container's link, as the container sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Received by the container.
    pub rx_bytes: u64,
    /// Sent by the container.
    pub tx_bytes: u64,
}

/// Makes the bridge `name`, marked by `alias`, with `gateway` for its address, and answers its index.
pub fn create(host: &mut Rtnl, name: &str, alias: &str, gateway: Ipv4Addr, subnet: Subnet) -> io::Result<u32> {
    // An address of its own: the kernel would give it the lowest of its ports', and change it under the containers'
    // feet as ports come and go.
    host.add_link(LinkBridge::new(name).address(hardware_address(gateway)).build())?;
    host.set_link(LinkUnspec::new_with_name(name).alias(alias).build())?;
    netns::silence_ipv6(name);
    let index = index(host, name)?;
    host.add_address(AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(gateway, subnet.prefix).build())?;
    host.set_link(LinkUnspec::new_with_index(index).up().build())?;
    Ok(index)
}

/// Whether `link` is a bridge as [`create`] makes one, but without its alias yet.
pub fn is_unmarked(link: &LinkMessage) -> bool {
    let made_here =
        |attribute: &LinkAttribute| matches!(attribute, LinkAttribute::Address(a) if a.starts_with(&VENDOR));
    rtnl::is_kind(link, &InfoKind::Bridge) && rtnl::alias(link).is_empty() && link.attributes.iter().any(made_here)
}

/// Joins `namespace` to the bridge by a pair of links: `name` here, `interface` with the hardware address of `ip` there.
pub fn join(
    host: &mut Rtnl,
    bridge: u32,
    name: &str,
    (namespace, interface): (&Namespace, &str),
    ip: Ipv4Addr,
) -> io::Result<()> {
    // Not `.up()` on the peer: the kernel says ENOTCONN.
    let peer = LinkUnspec::new_with_name(interface).setns_by_fd(namespace.raw()).address(hardware_address(ip)).build();
    let pair = LinkVeth::new(name, interface).controller(bridge);
    host.add_link(pair.set_info_data(InfoData::Veth(InfoVeth::Peer(peer))).build())?;
    netns::silence_ipv6(name);
    // Hairpin: a container that asks for a port it publishes itself is answered through the link it asked on.
    let port = InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)]);
    let port = LinkMessageBuilder::<LinkBridgePort>::default()
        .name(name)
        .set_port_kind(InfoPortKind::Bridge)
        .set_port_data(port)
        .up();
    host.set_link(port.build())
}

/// Deletes the link `name`, if there is one.
pub fn delete(host: &mut Rtnl, name: &str) -> io::Result<()> {
    let Some(link) = host.link(name)? else { return Ok(()) };
    match host.delete_link(link.header.index) {
        Err(error) if rtnl::is_missing(&error) => Ok(()),
        done => done,
    }
}

/// What went through the container's link whose end here is `name`.
pub fn counters(host: &mut Rtnl, name: &str) -> io::Result<Counters> {
    let link = host.link(name)?.ok_or_else(|| io::Error::from_raw_os_error(nix::libc::ENODEV))?;
    let stats = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Stats64(stats) => Some(stats),
        _ => None,
    });
    // What our end received is what the container sent.
    Ok(stats.map_or_else(Counters::default, |stats| Counters { rx_bytes: stats.tx_bytes, tx_bytes: stats.rx_bytes }))
}

/// Whether the bridge `name` is the link `index` still: somebody may have deleted or renamed it.
pub fn stands(host: &mut Rtnl, name: &str, index: u32) -> io::Result<bool> {
    Ok(host.link(name)?.is_some_and(|link| link.header.index == index))
}

/// Makes known which hardware address `ip` has on the link `index`, for good: so nobody asks for it, which on a bridge of a
/// thousand links is a packet to each; and such entries do not count where the kernel bounds those of all namespaces
/// together (`net.ipv4.neigh.default.gc_thresh3`).
pub fn introduce(socket: &mut Rtnl, index: u32, ip: Ipv4Addr) -> io::Result<()> {
    let mut neighbour = neighbour(index, ip);
    neighbour.header.state = NeighbourState::Permanent;
    neighbour.attributes.push(NeighbourAttribute::LinkLayerAddress(hardware_address(ip)));
    socket.set_neighbour(neighbour)
}

/// Leads what is for `ip` to the link `index`, where the rest of its network is elsewhere.
pub fn lead(host: &mut Rtnl, index: u32, ip: Ipv4Addr, gateway: Ipv4Addr) -> io::Result<()> {
    let route = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(ip, 32).output_interface(index);
    host.set_route(route.scope(RouteScope::Link).pref_source(gateway).build())
}

/// Takes back what [`introduce`] and [`lead`] made, as far as it is there.
pub fn forget(host: &mut Rtnl, index: u32, ip: Ipv4Addr) -> io::Result<()> {
    let route = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(ip, 32).output_interface(index);
    let done = [host.delete_neighbour(neighbour(index, ip)), host.delete_route(route.scope(RouteScope::Link).build())];
    let is_gone = |error: &io::Error| matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH | libc::ENODEV));
    done.into_iter().try_for_each(|done| done.or_else(|error| if is_gone(&error) { Ok(()) } else { Err(error) }))
}

fn neighbour(index: u32, ip: Ipv4Addr) -> NeighbourMessage {
    let mut neighbour = NeighbourMessage::default();
    neighbour.header.family = AddressFamily::Inet;
    neighbour.header.ifindex = index;
    neighbour.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)));
    neighbour
}

fn index(host: &mut Rtnl, name: &str) -> io::Result<u32> {
    let link = host.link(name)?.ok_or_else(|| io::Error::from_raw_os_error(nix::libc::ENODEV))?;
    Ok(link.header.index)
}

/// A hardware address made of `ip`: whoever gets a freed address gets the hardware address with
/// it, so that no neighbour has a stale entry.
fn hardware_address(ip: Ipv4Addr) -> Vec<u8> {
    [VENDOR.as_slice(), ip.octets().as_slice()].concat()
}
