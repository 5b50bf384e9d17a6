//! The bridge and the links on it, by route netlink. Knows how a link is made, not when; blocks like `rtnl.rs`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::RouteScope;
use nix::libc;
use rtnetlink::{
    AddressMessageBuilder, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};

use super::message::Target;
use super::netns::Namespace;
use super::rtnl::{self, Changes, Rtnl};
use super::sysctls::Sysctls;
use super::ula::{self, Ula};
use super::v6;
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

/// Makes the bridge `name`, marked by `alias`, with `gateway` for its address, and with `gateway6`, of so many leading bits,
/// where it is to have IPv6. Answers its index.
pub fn create(
    host: &mut Rtnl,
    name: &str,
    alias: &str,
    (gateway, subnet): (Ipv4Addr, Subnet),
    gateway6: Option<(Ipv6Addr, u8)>,
) -> io::Result<u32> {
    // An address of its own: the kernel would give it the lowest of its ports', and change it under the containers'
    // feet as ports come and go.
    let bridge = LinkBridge::new(name).address(hardware_address(gateway));
    // What is for a group goes to all, as it does where nobody asks who is in it. With snooping, the kernel gets ready to ask,
    // on every port, whenever one comes or goes.
    host.add_link(bridge.append_info_data(InfoBridge::MulticastSnooping(false)).build())?;
    host.set_link(LinkUnspec::new_with_name(name).alias(alias).build())?;
    match gateway6 {
        Some(_) => v6::admit(&Sysctls::HOST, name),
        None => v6::silence(&Sysctls::HOST, name),
    }
    let index = index(host, name)?;
    let mut changes = Changes::default();
    changes.add_address(AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(gateway, subnet.prefix).build());
    if let Some((gateway6, prefix)) = gateway6 {
        changes.add_address(v6::address(index, gateway6, prefix));
        changes.add_address(v6::address(index, ula::ROUTER, Ula::PREFIX));
    }
    changes.set_link(LinkUnspec::new_with_index(index).up().build());
    host.carry_out(changes)?;
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
    v6::silence(&Sysctls::HOST, name);
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

/// Makes known which hardware address the container at `target` has on the link `index`, for good: so nobody asks for it, which
/// on a bridge of a thousand links is a packet to each; and such entries do not count where the kernel bounds those of all
/// namespaces together (`net.ipv4.neigh.default.gc_thresh3`). With `by`, the host's address, it also leads what is for the
/// container there: the rest of its network is elsewhere.
pub fn introduce(host: &mut Rtnl, index: u32, target: Target, by: Option<Ipv4Addr>) -> io::Result<()> {
    let mut changes = Changes::default();
    for ip in addresses(target) {
        let mut neighbour = neighbour(index, ip);
        neighbour.header.state = NeighbourState::Permanent;
        neighbour.attributes.push(NeighbourAttribute::LinkLayerAddress(hardware_address(target.ip)));
        changes.set_neighbour(neighbour);
    }
    if let Some(gateway) = by {
        changes.set_route(way_to(index, target.ip).pref_source(gateway).build());
        target.ip6.iter().for_each(|ip| changes.set_route(v6::way_to(*ip, index)));
    }
    host.carry_out(changes)
}

/// Takes back what [`introduce`] made, as far as it is there.
pub fn forget(host: &mut Rtnl, index: u32, target: Target) -> io::Result<()> {
    let mut done = vec![host.delete_route(way_to(index, target.ip).build())];
    done.extend(target.ip6.map(|ip| host.delete_route(v6::way_to(ip, index))));
    done.extend(addresses(target).map(|ip| host.delete_neighbour(neighbour(index, ip))));
    let is_gone = |error: &io::Error| matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH | libc::ENODEV));
    done.into_iter().try_for_each(|done| done.or_else(|error| if is_gone(&error) { Ok(()) } else { Err(error) }))
}

fn addresses(target: Target) -> impl Iterator<Item = IpAddr> {
    std::iter::once(target.ip.into()).chain(target.ip6.map(IpAddr::from))
}

fn way_to(index: u32, ip: Ipv4Addr) -> RouteMessageBuilder<Ipv4Addr> {
    RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(ip, 32).output_interface(index).scope(RouteScope::Link)
}

fn neighbour(index: u32, ip: IpAddr) -> NeighbourMessage {
    let mut neighbour = NeighbourMessage::default();
    neighbour.header.ifindex = index;
    (neighbour.header.family, neighbour.attributes) = match ip {
        IpAddr::V4(ip) => (AddressFamily::Inet, vec![NeighbourAttribute::Destination(NeighbourAddress::Inet(ip))]),
        IpAddr::V6(ip) => (AddressFamily::Inet6, vec![NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip))]),
    };
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
