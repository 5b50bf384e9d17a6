//! The addresses of IPv6 that a network has beside those of IPv4, pure: a /64 of unique local ones (RFC 4193), and in it for
//! each container the one that follows from its address of IPv4. So there is one pool, and nothing more to remember.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sha2::{Digest, Sha256};

use crate::config::Subnet;

/// The link-local address of every bridge of ours: what a container sends elsewhere goes there.
pub const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// How many networks are tried where the first is taken.
const TRIES: u8 = 64;

/// A network that the host has already: its first address, and how many leading bits are fixed.
pub type Taken = (Ipv6Addr, u8);

/// A network of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ula {
    network: Ipv6Addr,
}

impl Ula {
    /// How many leading bits of an address are its network's.
    pub const PREFIX: u8 = 64;

    /// The network called `network` of the daemon whose first bridge is `bridge`, on the host that `machine` tells from all
    /// others: the same at each start, unless the host has `taken` it meanwhile. None where it has taken all there are.
    ///
    /// Its global ID is a hash and so as good as random (RFC 4193, 3.2.2); its subnet ID is one too.
    pub fn choose(machine: &str, bridge: &str, network: &str, taken: &[Taken]) -> Option<Self> {
        let global = digest(&[machine.as_bytes(), bridge.as_bytes()]) & 0xff_ffff_ffff;
        let candidates = (0..TRIES).map(|nth| {
            let subnet = digest(&[network.as_bytes(), &[nth]]) & 0xffff;
            Self { network: Ipv6Addr::from_bits(u128::from(0xfd << 56 | global << 16 | subnet) << 64) }
        });
        let is_free = |ula: &Self| taken.iter().all(|(other, prefix)| !ula.overlaps(*other, *prefix));
        candidates.into_iter().find(is_free)
    }

    /// The bridge's own address.
    pub fn gateway(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.network.to_bits() | 1)
    }

    /// The address of whoever has `ip` of `subnet`.
    pub fn of(self, ip: Ipv4Addr, subnet: Subnet) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.network.to_bits() | host_part(ip, subnet.prefix))
    }

    /// Its first address.
    pub fn network(self) -> Ipv6Addr {
        self.network
    }

    /// Whether `ip` is one of its addresses.
    pub fn contains(self, ip: Ipv6Addr) -> bool {
        self.overlaps(ip, Self::PREFIX)
    }

    fn overlaps(self, other: Ipv6Addr, prefix: u8) -> bool {
        let differing = self.network.to_bits() ^ other.to_bits();
        differing.leading_zeros() >= u32::from(prefix.min(Self::PREFIX))
    }
}

/// The link-local address of whoever has `ip`. It ends as the other does, so that both are asked for in one multicast group
/// (RFC 4291, 2.7.1).
pub fn link_local(ip: Ipv4Addr, prefix: u8) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xfe80 << 112 | host_part(ip, prefix))
}

fn host_part(ip: Ipv4Addr, prefix: u8) -> u128 {
    u128::from(ip.to_bits() & u32::MAX.checked_shr(prefix.into()).unwrap_or(0))
}

fn digest(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

impl fmt::Display for Ula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, Self::PREFIX)
    }
}

/// All addresses of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Those of IPv4.
    pub subnet: Subnet,
    /// Those of IPv6, where it has any.
    pub ula: Option<Ula>,
}

impl Range {
    /// Whether `ip` is one of them.
    pub fn contains(self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.subnet.contains(ip),
            IpAddr::V6(ip) => self.ula.is_some_and(|ula| ula.contains(ip)),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.subnet.fmt(f)?;
        self.ula.map_or(Ok(()), |ula| write!(f, " {ula}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(network: &str, taken: &[Taken]) -> Option<Ula> {
        Ula::choose("0123", "gantry0", network, taken)
    }

    #[test]
    fn a_network_is_the_same_each_time_and_nobody_elses() {
        let ula = choose("bridge", &[]).unwrap();
        assert_eq!(Some(ula), choose("bridge", &[]));
        let others = [
            choose("front", &[]),
            Ula::choose("4567", "gantry0", "bridge", &[]),
            Ula::choose("0123", "gantry01", "bridge", &[]),
        ];
        assert!(others.iter().flatten().all(|other| *other != ula));
        assert_eq!(ula.network.octets()[0], 0xfd);
        assert_eq!(ula.network.octets()[8..], [0; 8]);
        assert_eq!(ula.network.octets()[..6], choose("front", &[]).unwrap().network.octets()[..6], "one site");
    }

    #[test]
    fn what_is_taken_is_passed_over() {
        let ula = choose("bridge", &[]).unwrap();
        for prefix in [64, 128] {
            let other = choose("bridge", &[(ula.of(Ipv4Addr::new(10, 0, 0, 9), ANY), prefix)]).unwrap();
            assert_ne!(other, ula);
        }
        assert_eq!(choose("bridge", &[("2001:db8::".parse().unwrap(), 32)]), Some(ula));
        assert_eq!(choose("bridge", &[("fc00::".parse().unwrap(), 7)]), None);
    }

    const ANY: Subnet = Subnet { network: Ipv4Addr::new(10, 67, 0, 0), prefix: 16 };

    #[test]
    fn an_address_ends_as_that_of_ipv4_does() {
        let ula = choose("bridge", &[]).unwrap();
        let ip = ula.of(Ipv4Addr::new(10, 67, 1, 2), ANY);
        assert!(ip.to_string().ends_with("::102") && ula.contains(ip) && ula.contains(ula.gateway()), "{ip}");
        assert_eq!(ula.of(Ipv4Addr::new(10, 67, 0, 1), ANY), ula.gateway());
        assert_eq!(link_local(Ipv4Addr::new(10, 67, 1, 2), 16).to_string(), "fe80::102");
        assert_eq!(link_local(Ipv4Addr::new(10, 67, 0, 1), 16), ROUTER);
        assert!(!ula.contains(ROUTER));
        assert!(ula.to_string().ends_with("::/64"));
    }
}
