//! IPv6 on links of ours: whether this host has it, its habits on a link, and the messages that give a link its addresses and
//! routes. What the addresses are is `ula.rs`'s.
//!
//! A container's address of IPv6 is its own alone (`IFA_F_NOPREFIXROUTE`): what is for its network goes by the host, as what is
//! for elsewhere does. So containers on further bridges of one network (`growth.rs`) reach each other, for which IPv4 has
//! `proxy_arp`, and IPv6 nothing; and nobody asks a thousand links for a neighbour.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::route::RouteMessage;
use rtnetlink::{AddressMessageBuilder, RouteMessageBuilder};

use super::sysctls::Sysctls;
use super::ula::{self, Ula};

/// Where the sysctls of IPv6 are.
pub const ROOT: &str = "/proc/sys/net/ipv6/conf";

/// Whether networks are to have it: where it is wished for, and this host has it.
pub fn is_on(wished: bool) -> bool {
    wished && read("all", "disable_ipv6").is_some_and(|value| value == "0")
}

/// Where a habit of `link` is told; `all` and `default` are links here too.
pub fn path(link: &str, habit: &str) -> PathBuf {
    [ROOT, link, habit].iter().collect()
}

/// How `link` has a habit; none where it is not there, or the kernel has no IPv6.
pub fn read(link: &str, habit: &str) -> Option<String> {
    Sysctls::HOST.read(&key(link, habit))
}

/// Keeps IPv6 off a link of the calling thread's network namespace. With it every new link asks all others on the bridge
/// whether its link-local address is free, and which groups they are in: noise that grows with their number.
pub fn silence(sysctls: &Sysctls, link: &str) {
    sysctls.write(&key(link, "disable_ipv6"), "1");
}

/// Lets a link have the addresses that it is given, and no others: none of the kernel's making, nor of an advertisement that
/// somebody on the bridge sends, who would be everyone's router then. Before it is up.
pub fn admit(sysctls: &Sysctls, link: &str) {
    for (habit, value) in [("disable_ipv6", "0"), ("addr_gen_mode", "1"), ("accept_ra", "0"), ("accept_redirects", "0")]
    {
        sysctls.set(&key(link, habit), value);
    }
}

/// Keeps the calling thread's network namespace from forwarding.
pub fn stop_forwarding(sysctls: &Sysctls) {
    sysctls.set(&key("all", "forwarding"), "0");
}

fn key(link: &str, habit: &str) -> String {
    format!("ipv6/conf/{link}/{habit}")
}

/// Gives the link `index` an address for good, and at once: nobody else can have it, so nobody is asked
/// (`IFA_F_NODAD`). With a prefix shorter than 128, what that covers is on the link.
pub fn address(index: u32, ip: Ipv6Addr, prefix: u8) -> AddressMessage {
    flagged(index, ip, prefix, AddressFlags::Nodad)
}

/// The same for an address of a container's.
pub fn address_alone(index: u32, ip: Ipv6Addr) -> AddressMessage {
    flagged(index, ip, Ula::PREFIX, AddressFlags::Nodad | AddressFlags::Noprefixroute)
}

fn flagged(index: u32, ip: Ipv6Addr, prefix: u8, flags: AddressFlags) -> AddressMessage {
    let mut address = AddressMessageBuilder::<Ipv6Addr>::new().index(index).address(ip, prefix).build();
    address.attributes.push(AddressAttribute::Flags(flags));
    address
}

/// Leads what is for the network of a container by its link `index` to the host.
pub fn way_about(index: u32, ula: Ula) -> RouteMessage {
    by_the_host(index).destination_prefix(ula.network(), Ula::PREFIX).build()
}

/// Leads what is for elsewhere there too.
pub fn way_out(index: u32) -> RouteMessage {
    by_the_host(index).build()
}

fn by_the_host(index: u32) -> RouteMessageBuilder<Ipv6Addr> {
    RouteMessageBuilder::<Ipv6Addr>::new().gateway(ula::ROUTER).output_interface(index)
}

/// Leads what is for `ip` to the host's link `index`.
pub fn way_to(ip: Ipv6Addr, index: u32) -> RouteMessage {
    RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(ip, 128).output_interface(index).build()
}
