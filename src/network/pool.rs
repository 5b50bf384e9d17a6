//! Addresses of one subnet, pure: which is free, and which is given next. Knows no links and no kernel.

use std::collections::{HashSet, VecDeque};
use std::net::Ipv4Addr;

use crate::config::Subnet;

/// The addresses of a subnet that containers may have: all but the network's, the broadcast's and the gateway's.
///
/// Giving and taking back are O(1), and memory grows with the addresses that were ever given, not with the subnet. A
/// freed address is given again last, so that whoever still talks to it rarely meets a stranger there.
#[derive(Debug)]
pub struct Pool {
    /// The lowest address never given so far; above `last` when there is none.
    fresh: u32,
    last: u32,
    given: HashSet<u32>,
    freed: VecDeque<u32>,
}

impl Pool {
    /// All addresses of `subnet`, which has a prefix of at most 29.
    pub fn new(subnet: Subnet) -> Self {
        let broadcast = subnet.network.to_bits() | (u32::MAX >> subnet.prefix);
        let fresh = gateway(subnet).to_bits() + 1;
        Self { fresh, last: broadcast - 1, given: HashSet::new(), freed: VecDeque::new() }
    }

    /// How many addresses there are, given or not.
    pub fn capacity(&self) -> usize {
        (self.last + 1 - self.fresh) as usize + self.given.len() + self.freed.len()
    }

    /// An address that nobody has; none is left when all are given.
    pub fn take(&mut self) -> Option<Ipv4Addr> {
        let bits = if self.fresh <= self.last {
            self.fresh += 1;
            self.fresh - 1
        } else {
            self.freed.pop_front()?
        };
        self.given.insert(bits);
        Some(Ipv4Addr::from_bits(bits))
    }

    /// Takes `address`, where it was given before and is free now.
    pub fn take_again(&mut self, address: Ipv4Addr) -> bool {
        let bits = address.to_bits();
        let Some(at) = self.freed.iter().position(|freed| *freed == bits) else { return false };
        self.freed.remove(at);
        self.given.insert(bits)
    }

    /// Takes `address` back. One that was not given changes nothing.
    pub fn give_back(&mut self, address: Ipv4Addr) {
        if self.given.remove(&address.to_bits()) {
            self.freed.push_back(address.to_bits());
        }
    }
}

/// The bridge's own address: the first of the subnet.
pub fn gateway(subnet: Subnet) -> Ipv4Addr {
    Ipv4Addr::from_bits(subnet.network.to_bits() + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pool(text: &str) -> Pool {
        Pool::new(text.parse().unwrap())
    }

    #[test]
    fn the_smallest_subnet_has_five() {
        let mut pool = pool("10.0.0.8/29");
        assert_eq!(pool.capacity(), 5);
        let all: Vec<_> = std::iter::from_fn(|| pool.take()).map(|ip| ip.octets()[3]).collect();
        assert_eq!(all, [10, 11, 12, 13, 14]);
    }

    #[test]
    fn the_freed_come_last_and_oldest_first() {
        let mut pool = pool("10.0.0.0/29");
        let first: Vec<_> = (0..3).filter_map(|_| pool.take()).collect();
        pool.give_back(first[1]);
        pool.give_back(first[0]);
        pool.give_back(first[0]);
        let rest: Vec<_> = std::iter::from_fn(|| pool.take()).map(|ip| ip.octets()[3]).collect();
        assert_eq!(rest, [5, 6, 3, 2]);
    }

    #[test]
    fn what_is_free_can_be_had_again() {
        let mut pool = pool("10.0.0.0/29");
        let ip = pool.take().unwrap();
        assert!(!pool.take_again(ip), "somebody has it");
        pool.give_back(ip);
        assert!(pool.take_again(ip) && !pool.take_again(ip));
        assert!(!pool.take_again(Ipv4Addr::new(10, 0, 0, 5)), "it was never given");
    }

    #[test]
    fn the_largest_subnet_costs_nothing() {
        assert_eq!(pool("10.0.0.0/8").capacity(), (1 << 24) - 3);
        assert_eq!(pool("255.255.255.0/24").capacity(), 253);
    }

    proptest! {
        /// Whatever is taken and given back in whatever order: no address is had by two, and none is a reserved one.
        #[test]
        fn no_address_is_had_by_two(prefix in 24u8..=29, moves in prop::collection::vec((any::<bool>(), any::<u16>()), 0..400)) {
            let subnet = Subnet { network: Ipv4Addr::new(10, 9, 8, 0), prefix };
            let mut pool = Pool::new(subnet);
            let capacity = pool.capacity();
            let broadcast = subnet.network.to_bits() | (u32::MAX >> prefix);
            let mut held: Vec<Ipv4Addr> = Vec::new();
            let mut last = None;
            for (take, pick) in moves {
                if let Some(ip) = last.filter(|_| take && pick % 3 == 0)
                    && pool.take_again(ip)
                {
                    prop_assert!(!held.contains(&ip));
                    held.push(ip);
                } else if take {
                    let Some(ip) = pool.take() else {
                        prop_assert_eq!(held.len(), capacity);
                        continue;
                    };
                    prop_assert!(!held.contains(&ip));
                    prop_assert!(ip > gateway(subnet) && ip.to_bits() < broadcast);
                    held.push(ip);
                } else if !held.is_empty() {
                    let ip = held.swap_remove(usize::from(pick) % held.len());
                    pool.give_back(ip);
                    last = Some(ip);
                }
                prop_assert_eq!(pool.capacity(), capacity);
            }
        }
    }
}
