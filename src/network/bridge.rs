//! The bridge and the links on it, by route netlink. Knows how a link is made, not when; blocks like `rtnl.rs`.

use std::io;
use std::net::Ipv4Addr;

use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkMessage,
};
use rtnetlink::{AddressMessageBuilder, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::netns::{self, Namespace};
use super::rtnl::{self, Rtnl};
use crate::config::Subnet;

/// What our hardware addresses begin with: locally administered, and what Docker's begin with.
const VENDOR: [u8; 2] = [0x02, 0x42];
/// How many links one bridge takes: `BR_MAX_PORTS` of the kernel less one.
pub const PORTS_MAX: usize = 1023;

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

fn index(host: &mut Rtnl, name: &str) -> io::Result<u32> {
    let link = host.link(name)?.ok_or_else(|| io::Error::from_raw_os_error(nix::libc::ENODEV))?;
    Ok(link.header.index)
}

/// A hardware address made of `ip`: whoever gets a freed address gets the hardware address with
/// it, so that no neighbour has a stale entry.
fn hardware_address(ip: Ipv4Addr) -> Vec<u8> {
    [VENDOR.as_slice(), ip.octets().as_slice()].concat()
}
