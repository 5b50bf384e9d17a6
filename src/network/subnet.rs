//! Which subnet the bridge gets, pure: the one asked for, or the first candidate that nothing on the host overlaps.

use std::net::Ipv4Addr;

use crate::config::Subnet;
use crate::refusal::Refusal;

/// A network that the host has already, by an address or a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its first address.
    pub network: Ipv4Addr,
    /// How many leading bits are fixed, at least one.
    pub prefix: u8,
    /// By what it is taken, for a person.
    pub by: String,
}

/// The default, and what is tried where that is taken.
fn candidates() -> impl Iterator<Item = Subnet> {
    let ten = (67..=99).map(|n| (Ipv4Addr::new(10, n, 0, 0), 16));
    let private = (20..=31).map(|n| (Ipv4Addr::new(172, n, 0, 0), 16));
    let small = (100..=250).map(|n| (Ipv4Addr::new(192, 168, n, 0), 24));
    ten.chain(private).chain(small).map(|(network, prefix)| Subnet { network, prefix })
}

/// The bridge's subnet: `wanted`, or the first candidate, that overlaps nothing in `taken`.
pub fn choose(wanted: Option<Subnet>, taken: &[Taken]) -> Result<Subnet, Refusal> {
    let conflict = |subnet: Subnet| taken.iter().find(|taken| overlap(subnet, taken));
    if let Some(subnet) = wanted {
        return match conflict(subnet) {
            None => Ok(subnet),
            Some(taken) => Err(Refusal::in_use(format_args!(
                "the subnet {subnet} overlaps {}/{}, which this host has by {}",
                taken.network, taken.prefix, taken.by
            ))),
        };
    }
    candidates().find(|subnet| conflict(*subnet).is_none()).ok_or_else(|| {
        Refusal::in_use("this host's routes cover every subnet that gantry would take; give one by --subnet")
    })
}

fn overlap(subnet: Subnet, taken: &Taken) -> bool {
    let shared = subnet.prefix.min(taken.prefix).min(32);
    let differing = subnet.network.to_bits() ^ taken.network.to_bits();
    differing.leading_zeros() >= u32::from(shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;

    fn taken(network: &str) -> Taken {
        let (ip, prefix) = network.split_once('/').unwrap();
        Taken { network: ip.parse().unwrap(), prefix: prefix.parse().unwrap(), by: "eth0".to_owned() }
    }

    #[test]
    fn the_default_is_taken_where_it_is_free() {
        assert_eq!(choose(None, &[taken("10.66.0.0/16"), taken("192.0.2.0/24")]).unwrap().to_string(), "10.67.0.0/16");
    }

    #[test]
    fn what_is_taken_is_passed_over() {
        let routes = [taken("10.67.9.0/24"), taken("10.68.0.0/14")];
        assert_eq!(choose(None, &routes).unwrap().to_string(), "10.72.0.0/16");
        assert_eq!(choose(None, &[taken("10.0.0.0/8")]).unwrap().to_string(), "172.20.0.0/16");
        assert!(choose(None, &[taken("0.0.0.0/1"), taken("128.0.0.0/1")]).is_err());
    }

    #[test]
    fn a_subnet_asked_for_is_had_or_refused() {
        let wanted = Some("10.1.2.0/24".parse().unwrap());
        assert_eq!(choose(wanted, &[taken("10.1.3.0/24")]).unwrap().to_string(), "10.1.2.0/24");
        let refusal = choose(wanted, &[taken("10.1.2.77/32")]).unwrap_err();
        assert_eq!(refusal.code(), Code::InUse);
        assert!(refusal.message().contains("10.1.2.77/32") && refusal.message().contains("eth0"));
    }
}
