//! A network of IPv4 addresses, as the configuration and requests write it.

use std::net::Ipv4Addr;

/// An IPv4 network in CIDR form, between /8 and /29.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet {
    /// The network's address, host bits zero.
    pub network: Ipv4Addr,
    /// How many leading bits belong to the network.
    pub prefix: u8,
}

impl Subnet {
    /// Whether `ip` is one of its addresses.
    pub fn contains(self, ip: Ipv4Addr) -> bool {
        (ip.to_bits() ^ self.network.to_bits()).leading_zeros() >= u32::from(self.prefix)
    }
}

impl std::str::FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a network like 10.67.0.0/16, with a prefix from 8 to 29");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        if !(8..=29).contains(&prefix) {
            return Err(wrong());
        }
        Ok(Self { network: Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << (32 - prefix))), prefix })
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_has_no_host_bits() {
        let subnet: Subnet = "10.67.3.9/16".parse().unwrap();
        assert_eq!(subnet.to_string(), "10.67.0.0/16");
        let within = |ip: &str| subnet.contains(ip.parse().unwrap());
        assert!(within("10.67.0.0") && within("10.67.255.255") && !within("10.68.0.0") && !within("11.67.0.1"));
    }
}
