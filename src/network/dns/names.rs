//! The names of one network, pure: which container answers to which name, and what an address is called.
//!
//! Names are kept as they stand in messages: labels, each behind its length, closed by an empty one. So nothing is
//! converted when a question is looked up, and a dot within a label is none between two. A length is at most 63, below
//! every capital, so a whole name can be brought to lower case byte by byte.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;

/// The longest name (RFC 1035, 2.3.4).
pub const NAME_MAX: usize = 255;
/// The longest label.
const LABEL_MAX: usize = 63;

/// A container as a network calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name: shared by all tags of it.
    pub name: String,
    /// Its tag.
    pub tag: String,
    /// What else it is called on this network. Such a name is shared like the first.
    pub aliases: Vec<String>,
    /// Its addresses on this network. No other container has one of them.
    pub addresses: Vec<IpAddr>,
    /// The name servers that it is to have in place of the host's.
    pub servers: Vec<IpAddr>,
}

/// All names of one network. Entering and removing one costs the same however many there are.
#[derive(Debug, Default)]
pub struct Names {
    by_name: HashMap<Box<[u8]>, Holders>,
    by_address: HashMap<IpAddr, Known>,
}

/// What is kept of a container for each of its addresses.
#[derive(Debug)]
struct Known {
    entry: std::rc::Rc<Entry>,
    /// `tag.name` as it is spelled; none where that is no name of the DNS.
    exact: Option<Box<[u8]>>,
}

/// Who answers to a name.
#[derive(Debug, Default)]
struct Holders {
    /// Those that are called so.
    by_name: Vec<IpAddr>,
    /// Those of whom it is the name behind the tag.
    by_tag: Vec<IpAddr>,
    /// Who comes first in the next answer, for each [`Family`]: most ask for both at once, and would have the same answers
    /// each time if they had one turn.
    turns: [Cell<usize>; 2],
}

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug)]
pub enum Family {
    /// Those of IPv4.
    V4,
    /// Those of IPv6.
    V6,
}

impl Holders {
    /// A container called `v1.web` is meant by that name, rather than the tag `v1` of `web`.
    fn addresses(&self) -> &[IpAddr] {
        if self.by_name.is_empty() { &self.by_tag } else { &self.by_name }
    }

    fn list(&mut self, how: How) -> &mut Vec<IpAddr> {
        match how {
            How::Name => &mut self.by_name,
            How::Tag => &mut self.by_tag,
        }
    }
}

#[derive(Clone, Copy)]
enum How {
    Name,
    Tag,
}

/// The addresses that a name has: never none.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    addresses: &'a [IpAddr],
    turns: &'a [Cell<usize>; 2],
}

impl<'a> Found<'a> {
    /// Those of `family` that `wanted` picks, each once; at each call another comes first.
    pub fn in_turn<T: 'a>(
        self,
        family: Family,
        wanted: impl Fn(&IpAddr) -> Option<T> + Clone + 'a,
    ) -> impl Iterator<Item = T> + 'a {
        let [v4, v6] = self.turns;
        let turn = match family {
            Family::V4 => v4,
            Family::V6 => v6,
        };
        let count = self.addresses.iter().filter_map(wanted.clone()).count().max(1);
        let first = turn.get() % count;
        turn.set((first + 1) % count);
        self.addresses.iter().filter_map(wanted).cycle().skip(first).take(count)
    }
}

impl Names {
    /// Enters a container. One that has an address of it already is replaced.
    pub fn enter(&mut self, entry: Entry) {
        for address in &entry.addresses {
            self.remove(*address);
        }
        let exact = exact(&entry);
        for (key, how) in keys(&entry) {
            self.by_name.entry(key).or_default().list(how).extend(&entry.addresses);
        }
        let entry = std::rc::Rc::new(entry);
        for address in &entry.addresses {
            self.by_address.insert(*address, Known { entry: entry.clone(), exact: exact.clone() });
        }
    }

    /// Removes the container that has `address`, with all its names and addresses, if there is one.
    pub fn remove(&mut self, address: IpAddr) {
        let Some(known) = self.by_address.get(&address) else { return };
        let entry = known.entry.clone();
        for address in &entry.addresses {
            self.by_address.remove(address);
        }
        for (key, how) in keys(&entry) {
            let Some(holders) = self.by_name.get_mut(&key) else { continue };
            holders.list(how).retain(|address| !entry.addresses.contains(address));
            if holders.addresses().is_empty() {
                self.by_name.remove(&key);
            }
        }
    }

    /// Who answers to `name`, which is in lower case.
    pub fn find(&self, name: &[u8]) -> Option<Found<'_>> {
        let holders = self.by_name.get(name)?;
        Some(Found { addresses: holders.addresses(), turns: &holders.turns })
    }

    /// What the container at `address` is called for sure: `tag.name`.
    pub fn called(&self, address: IpAddr) -> Option<&[u8]> {
        self.by_address.get(&address)?.exact.as_deref()
    }

    /// The name servers that the container at `address` has in place of the host's; none where it has the host's.
    pub fn servers(&self, address: IpAddr) -> &[IpAddr] {
        self.by_address.get(&address).map_or(&[], |known| &known.entry.servers)
    }
}

/// Every name of a container, in lower case and each once.
fn keys(entry: &Entry) -> Vec<(Box<[u8]>, How)> {
    let mut own: Vec<Box<[u8]>> =
        std::iter::once(&entry.name).chain(&entry.aliases).filter_map(|name| wire(name).map(lower)).collect();
    own.sort_unstable();
    own.dedup();
    let own = own.into_iter().map(|key| (key, How::Name));
    own.chain(exact(entry).map(|key| (lower(key), How::Tag))).collect()
}

fn exact(entry: &Entry) -> Option<Box<[u8]>> {
    wire(&format!("{}.{}", entry.tag, entry.name))
}

/// `name` as it stands in messages. A name that the DNS cannot say (a label of more than 63 bytes, or of none) is none.
fn wire(name: &str) -> Option<Box<[u8]>> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=LABEL_MAX).contains(&usize::from(*length)))?;
        bytes.push(length);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    (bytes.len() <= NAME_MAX).then(|| bytes.into())
}

fn lower(mut name: Box<[u8]>) -> Box<[u8]> {
    name.make_ascii_lowercase();
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(name: &str, tag: &str, last: u8) -> Entry {
        let addresses = vec![[10, 0, 0, last].into()];
        Entry { name: name.to_owned(), tag: tag.to_owned(), aliases: Vec::new(), addresses, servers: Vec::new() }
    }

    fn found(names: &Names, name: &str) -> Vec<u8> {
        let last = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => Some(ip.octets()[3]),
            IpAddr::V6(_) => None,
        };
        let key = lower(wire(name).unwrap());
        names.find(&key).map(|found| found.in_turn(Family::V4, last).collect()).unwrap_or_default()
    }

    #[test]
    fn a_name_is_every_tag_in_turn_and_a_tag_is_exactly_that() {
        let mut names = Names::default();
        names.enter(entry("web", "v1", 1));
        names.enter(entry("web", "V2", 2));
        assert_eq!([found(&names, "WEB"), found(&names, "web"), found(&names, "web")], [[1, 2], [2, 1], [1, 2]]);
        assert_eq!([found(&names, "v1.web"), found(&names, "v2.Web")], [[1], [2]]);
        assert_eq!(names.called([10, 0, 0, 2].into()), Some(b"\x02V2\x03web\0".as_slice()));
        names.remove([10, 0, 0, 1].into());
        assert_eq!([found(&names, "web"), found(&names, "v2.web")], [[2], [2]]);
        assert!(found(&names, "v1.web").is_empty() && names.called([10, 0, 0, 1].into()).is_none());
        names.remove([10, 0, 0, 2].into());
        assert!(names.by_name.is_empty() && names.by_address.is_empty(), "{names:?}");
    }

    #[test]
    fn who_asks_for_both_families_has_each_in_turn() {
        let mut names = Names::default();
        for last in [1, 2] {
            let mut entry = entry("web", &format!("v{last}"), last);
            entry.addresses.push(IpAddr::from([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]));
            names.enter(entry);
        }
        let six = |ip: &IpAddr| match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some(ip.octets()[15]),
        };
        let found6 = || names.find(b"\x03web\0").unwrap().in_turn(Family::V6, six).collect::<Vec<_>>();
        let both: Vec<_> = (0..3).map(|_| (found(&names, "web"), found6())).collect();
        assert_eq!(both, [[1, 2], [2, 1], [1, 2]].map(|turn| (turn.to_vec(), turn.to_vec())));
    }

    #[test]
    fn an_exact_name_wins() {
        let mut names = Names::default();
        names.enter(entry("web", "v1", 1));
        names.enter(entry("v1.web", "latest", 2));
        assert_eq!([found(&names, "v1.web"), found(&names, "web"), found(&names, "latest.v1.web")], [[2], [1], [2]]);
        names.remove([10, 0, 0, 2].into());
        assert_eq!(found(&names, "v1.web"), [1]);
    }

    #[test]
    fn an_alias_is_shared_like_a_name() {
        let mut names = Names::default();
        let aliases = ["db", "DB", "store.internal"].map(str::to_owned).to_vec();
        names.enter(Entry { aliases, ..entry("one", "latest", 1) });
        names.enter(entry("db", "latest", 2));
        assert_eq!([found(&names, "db"), found(&names, "db")], [[1, 2], [2, 1]]);
        assert_eq!(found(&names, "store.internal"), [1]);
        names.remove([10, 0, 0, 1].into());
        assert_eq!(found(&names, "db"), [2]);
    }

    #[test]
    fn what_the_dns_cannot_say_is_left_out() {
        let mut names = Names::default();
        names.enter(entry("web", &"x".repeat(64), 1));
        names.enter(entry("web", "1..2", 2));
        assert_eq!(found(&names, "web"), [1, 2]);
        assert_eq!(names.called([10, 0, 0, 1].into()), None);
        assert_eq!(names.by_name.len(), 1);
        assert!(wire("").is_none() && wire("a.").is_none() && wire(&["x"; 128].join(".")).is_none());
    }

    proptest! {
        #[test]
        fn all_that_came_and_went_leaves_nothing(
            acts in proptest::collection::vec((0u8..6, 0usize..4, 0usize..3, any::<bool>()), 0..60)
        ) {
            let mut names = Names::default();
            let mut there: HashMap<u8, Entry> = HashMap::new();
            for (ip, name, tag, stays) in acts {
                let entry = entry(["web", "db", "v1.web", "WEB"][name], ["v1", "V1", "latest"][tag], ip);
                if stays {
                    names.enter(entry.clone());
                    there.insert(ip, entry);
                } else {
                    names.remove([10, 0, 0, ip].into());
                    there.remove(&ip);
                }
                for name in ["web", "db", "v1.web"] {
                    let mut expected: Vec<u8> =
                        there.iter().filter(|(_, e)| e.name.eq_ignore_ascii_case(name)).map(|(ip, _)| *ip).collect();
                    if expected.is_empty() {
                        let exact = |e: &Entry| format!("{}.{}", e.tag, e.name).eq_ignore_ascii_case(name);
                        expected = there.iter().filter(|(_, e)| exact(e)).map(|(ip, _)| *ip).collect();
                    }
                    expected.sort_unstable();
                    let mut got = found(&names, name);
                    got.sort_unstable();
                    prop_assert_eq!(got, expected);
                }
            }
            for ip in 0..6 {
                names.remove([10, 0, 0, ip].into());
            }
            prop_assert!(names.by_name.is_empty() && names.by_address.is_empty());
        }
    }
}
