//! Names of the links we make, pure. A link is known for ours by its name, so one daemon's names are never another's.

use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};

/// The longest name that a link may have (`IFNAMSIZ` less its NUL).
const NAME_MAX: usize = 15;
/// The host part of an address of the largest subnet (/8), in hexadecimal.
const DIGITS: usize = 6;

/// How the links of one daemon are called on the host: `BRIDGE.N`, or `g.HASH.N` where the bridge's name is too long
/// for that. N is the host part of the container's address, so two links are never called the same. With a letter before
/// the number it is the bridge of a further network (`n`), a further bridge of any (`m`), or a link on such a network (`v`).
///
/// No daemon's own bridge has a dot in its name, and what follows the prefix is digits alone: so `gantry0` never takes a link
/// of `gantry01` for its own, nor `g` one of a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkNames {
    prefix: String,
}

impl LinkNames {
    /// The names for the links of `bridge`.
    pub fn new(bridge: &str) -> Self {
        if bridge.len() + 1 + DIGITS <= NAME_MAX {
            return Self { prefix: format!("{bridge}.") };
        }
        let hash = Sha256::digest(bridge.as_bytes());
        let hex: String = hash.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
        Self { prefix: format!("g.{hex}.") }
    }

    /// The name for the link of the container at `ip`, in a network of `prefix` leading bits.
    pub fn of(&self, ip: Ipv4Addr, prefix: u8) -> String {
        format!("{}{:x}", self.prefix, ip.to_bits() & (u32::MAX >> prefix))
    }

    /// The name for the bridge of the `slot`th further network: `BRIDGE.nSLOT`.
    pub fn bridge(&self, slot: u8) -> String {
        format!("{}n{slot:x}", self.prefix)
    }

    /// The name for the `nth` further bridge of the network `slot`: `BRIDGE.mSSN`.
    pub fn part(&self, slot: u8, nth: usize) -> String {
        format!("{}m{slot:02x}{nth:x}", self.prefix)
    }

    /// What all of them begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name for a link at `port` of that bridge: `BRIDGE.vSSPPP`. The address does not fit beside the slot, the port
    /// does.
    pub fn at(&self, slot: u8, port: u16) -> String {
        format!("{}v{slot:02x}{port:03x}", self.prefix)
    }

    /// Whether `link` is called as a further bridge of the first network is.
    pub fn owns_part(&self, link: &str) -> bool {
        link.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix("m00")).is_some_and(is_number)
    }

    /// Whether `link` is called as the bridge of a further network is, or as a further bridge.
    pub fn owns_bridge(&self, link: &str) -> bool {
        link.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix(['n', 'm'])).is_some_and(is_number)
    }

    /// Whether `link` is called as ours are.
    pub fn owns(&self, link: &str) -> bool {
        let rest = link.strip_prefix(&self.prefix).map(|rest| rest.strip_prefix('v').unwrap_or(rest));
        rest.is_some_and(is_number)
    }
}

fn is_number(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_are_recognised_by_their_maker_alone() {
        let bridges =
            ["gantry0", "gantry01", "gantry", "g", "gantry0-0", "g12345", "fifteen-letters", "fifteen-lettert"];
        for bridge in bridges {
            let names = LinkNames::new(bridge);
            for name in [names.of(Ipv4Addr::new(10, 255, 255, 254), 8), names.at(255, 4095), names.at(1, 0)] {
                assert!(name.len() <= NAME_MAX, "{name}");
                for other in bridges {
                    assert_eq!(LinkNames::new(other).owns(&name), other == bridge, "{other} {name}");
                    assert!(!LinkNames::new(other).owns_bridge(&name), "{other} {name}");
                }
            }
            for further in [names.bridge(255), names.part(255, 7)] {
                assert!(further.len() <= NAME_MAX, "{further}");
                for other in bridges {
                    assert_eq!(LinkNames::new(other).owns_bridge(&further), other == bridge, "{other} {further}");
                    assert!(!LinkNames::new(other).owns(&further), "{other} {further}");
                }
            }
            assert!(names.owns_part(&names.part(0, 1)) && !names.owns_part(&names.part(1, 0)));
        }
        assert!(!LinkNames::new("g").owns("g.") && !LinkNames::new("g").owns("g"));
    }

    #[test]
    fn a_name_tells_the_address() {
        assert_eq!(LinkNames::new("gantry0").of(Ipv4Addr::new(10, 67, 1, 2), 16), "gantry0.102");
    }
}
