//! Addresses of one subnet, pure: which is free, and which is given next. Knows no links and no kernel.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;

use crate::config::Subnet;

/// The addresses of a subnet that containers may have: all but the network's, the broadcast's and the gateway's.
///
/// Giving (any, or a certain one) and taking back are O(1) over many, and memory grows with the addresses that were ever
/// given, not with the subnet. A freed address is given again last, so that whoever still talks to it rarely meets a
/// stranger there.
#[derive(Debug)]
pub struct Pool {
    first: u32,
    /// Below it every address was given once; above `last` when there is none.
    fresh: u32,
    last: u32,
    /// Every address that was ever given.
    known: HashMap<u32, Standing>,
    /// The freed ones, oldest first, each with the number of its freeing: one that was given meanwhile by its name, or
    /// freed again, is stale here.
    freed: VecDeque<(u32, u64)>,
    freeings: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Given,
    Freed(u64),
}

/// Why a certain address cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is none of the subnet's that a container may have.
    Outside,
    /// Somebody has it.
    Given,
}

impl Pool {
    /// All addresses of `subnet`, which has a prefix of at most 29.
    pub fn new(subnet: Subnet) -> Self {
        let broadcast = subnet.network.to_bits() | (u32::MAX >> subnet.prefix);
        let first = gateway(subnet).to_bits() + 1;
        let (known, freed) = (HashMap::new(), VecDeque::new());
        Self { first, fresh: first, last: broadcast - 1, known, freed, freeings: 0 }
    }

    /// How many addresses there are, given or not.
    pub fn capacity(&self) -> usize {
        (self.last + 1 - self.first) as usize
    }

    /// An address that nobody has; none is left when all are given.
    pub fn take(&mut self) -> Option<Ipv4Addr> {
        while self.fresh <= self.last {
            let bits = self.fresh;
            self.fresh += 1;
            // One that was asked for by its name has had its turn.
            if !self.known.contains_key(&bits) {
                return Some(self.give(bits));
            }
        }
        while let Some((bits, freeing)) = self.freed.pop_front() {
            if self.known.get(&bits) == Some(&Standing::Freed(freeing)) {
                return Some(self.give(bits));
            }
        }
        None
    }

    /// This very address.
    pub fn take_this(&mut self, address: Ipv4Addr) -> Result<Ipv4Addr, Unfit> {
        let bits = address.to_bits();
        if !self.holds(address) {
            return Err(Unfit::Outside);
        }
        match self.known.get(&bits) {
            Some(Standing::Given) => Err(Unfit::Given),
            _ => Ok(self.give(bits)),
        }
    }

    /// Whether `address` is one that a container may have.
    pub fn holds(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address.to_bits())
    }

    /// This address where it can be had, else any that nobody has.
    pub fn take_again(&mut self, address: Ipv4Addr) -> Option<Ipv4Addr> {
        self.take_this(address).ok().or_else(|| self.take())
    }

    /// Takes `address` back. One that was not given changes nothing.
    pub fn give_back(&mut self, address: Ipv4Addr) {
        let bits = address.to_bits();
        if self.known.get(&bits) == Some(&Standing::Given) {
            self.freeings += 1;
            self.known.insert(bits, Standing::Freed(self.freeings));
            self.freed.push_back((bits, self.freeings));
            self.forget_the_stale();
        }
    }

    fn give(&mut self, bits: u32) -> Ipv4Addr {
        self.known.insert(bits, Standing::Given);
        Ipv4Addr::from_bits(bits)
    }

    /// An address that is asked for by its name again and again leaves a stale entry each time.
    fn forget_the_stale(&mut self) {
        if self.freed.len() > 2 * self.known.len() {
            let known = &self.known;
            self.freed.retain(|(bits, freeing)| known.get(bits) == Some(&Standing::Freed(*freeing)));
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
        let other = pool.take_again(ip).unwrap();
        assert_ne!(other, ip, "somebody has it");
        pool.give_back(other);
        pool.give_back(ip);
        assert_eq!(pool.take_again(ip), Some(ip));
        assert!(pool.take_again(Ipv4Addr::new(9, 9, 9, 9)).is_some(), "of another subnet");
        while pool.take().is_some() {}
        assert_eq!(pool.take_again(ip), None);
    }

    #[test]
    fn a_certain_address_is_had_by_one() {
        let mut pool = pool("10.0.0.0/29");
        let wanted = Ipv4Addr::new(10, 0, 0, 4);
        for _ in 0..100 {
            assert_eq!(pool.take_this(wanted), Ok(wanted));
            assert_eq!(pool.take_this(wanted), Err(Unfit::Given));
            pool.give_back(wanted);
        }
        assert!(pool.freed.len() <= 3, "what is stale is forgotten");
        for outside in ["10.0.0.0", "10.0.0.1", "10.0.0.7", "10.0.0.8", "9.9.9.9"] {
            assert_eq!(pool.take_this(outside.parse().unwrap()), Err(Unfit::Outside), "{outside}");
        }
        let rest: Vec<_> = std::iter::from_fn(|| pool.take()).map(|ip| ip.octets()[3]).collect();
        assert_eq!(rest, [2, 3, 5, 6, 4], "it comes last, as whatever was freed");
    }

    #[test]
    fn the_largest_subnet_costs_nothing() {
        assert_eq!(pool("10.0.0.0/8").capacity(), (1 << 24) - 3);
        assert_eq!(pool("255.255.255.0/24").capacity(), 253);
    }

    proptest! {
        /// Whatever is taken and given back in whatever order: no address is had by two, and none is a reserved one.
        #[test]
        fn no_address_is_had_by_two(prefix in 24u8..=29, moves in prop::collection::vec((0..4u8, any::<u16>()), 0..400)) {
            let subnet = Subnet { network: Ipv4Addr::new(10, 9, 8, 0), prefix };
            let mut pool = Pool::new(subnet);
            let capacity = pool.capacity();
            let broadcast = subnet.network.to_bits() | (u32::MAX >> prefix);
            let mut held: Vec<Ipv4Addr> = Vec::new();
            for (kind, pick) in moves {
                if kind == 3 {
                    let wanted = Ipv4Addr::from_bits(subnet.network.to_bits() + u32::from(pick % 300));
                    let fits = wanted > gateway(subnet) && wanted.to_bits() < broadcast && !held.contains(&wanted);
                    let had = pool.take_again(wanted);
                    prop_assert_eq!(had.is_some(), held.len() < capacity);
                    prop_assert_eq!(had == Some(wanted), fits);
                    prop_assert!(had.is_none_or(|ip| !held.contains(&ip)));
                    held.extend(had);
                } else if kind == 2 {
                    let wanted = Ipv4Addr::from_bits(subnet.network.to_bits() + u32::from(pick % 300));
                    let fits = wanted > gateway(subnet) && wanted.to_bits() < broadcast && !held.contains(&wanted);
                    prop_assert_eq!(pool.take_this(wanted).is_ok(), fits);
                    held.extend(fits.then_some(wanted));
                } else if kind == 1 {
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
                }
                prop_assert_eq!(pool.capacity(), capacity);
            }
        }
    }
}
