//! Published ports as elements of the table's maps, two for each family: one element a port, or one of each family, and all of a
//! container's in one transaction.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::libc;

use super::message::Target;
use super::nfnl::{self, Nfnl, Request, Verb};
use super::rules;
use crate::id::PublishedPort;

/// `NFTA_SET_ELEM_LIST_TABLE`, `_SET` and `_ELEMENTS`.
const LIST: (u16, u16, u16) = (1, 2, 3);
/// `NFTA_LIST_ELEM`.
const ITEM: u16 = 1;
/// `NFTA_SET_ELEM_KEY` and `NFTA_SET_ELEM_DATA`.
const ELEMENT: (u16, u16) = (1, 2);
/// `NFTA_DATA_VALUE`.
const VALUE: u16 = 1;
/// Elements of one message: an attribute ends at 64 KiB, and an element takes some eighty bytes at most.
const CHUNK: usize = 700;

/// Lets the host answer for `ports` with the container at `to`: for all of them or for none. `EEXIST` where one is
/// published already.
pub fn publish(nfnl: &mut Nfnl, table: &str, ports: &[PublishedPort], to: Target) -> io::Result<()> {
    let requests = requests(Verb::AddElements, NLM_F_CREATE | NLM_F_EXCL, table, ports, to);
    if requests.is_empty() { Ok(()) } else { nfnl.commit(&requests) }
}

/// The same as text for nft: part of the transaction that makes the table anew, so that it is never there without them.
pub fn published(table: &str, ports: &[PublishedPort], to: Target) -> String {
    let mut text = String::new();
    for (to, map, ports) in by_map(ports, to) {
        let element = |port: &&PublishedPort| {
            let on = on(port).map_or_else(String::new, |ip| format!("{ip} . "));
            format!("{on}{} . {} : {to} . {}", port.proto.as_str(), port.host, port.container)
        };
        for chunk in ports.chunks(CHUNK) {
            let elements = chunk.iter().map(element).collect::<Vec<_>>().join(", ");
            text += &format!("add element inet {table} {map} {{ {elements} }}\n");
        }
    }
    text
}

/// Takes `ports` of the container at `from` off again. Those that are gone already, with their table or without, are no
/// error.
pub fn unpublish(nfnl: &mut Nfnl, table: &str, ports: &[PublishedPort], from: Target) -> io::Result<()> {
    if ports.is_empty() {
        return Ok(());
    }
    let delete = || requests(Verb::DeleteElements, 0, table, ports, from);
    match nfnl.commit(&delete()) {
        Err(error) if is_missing(&error) => {
            // Somebody took some away. What is added first, where it is missing, can be deleted whole.
            let mut all = requests(Verb::AddElements, NLM_F_CREATE, table, ports, from);
            all.extend(delete());
            match nfnl.commit(&all) {
                Err(error) if is_missing(&error) => Ok(()),
                done => done,
            }
        }
        done => done,
    }
}

/// Whether it says that the table is not there.
pub fn is_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOENT)
}

fn requests(verb: Verb, flags: u16, table: &str, ports: &[PublishedPort], target: Target) -> Vec<Request> {
    let mut requests = Vec::new();
    for (to, map, ports) in by_map(ports, target) {
        requests.extend(ports.chunks(CHUNK).map(|chunk| {
            let attributes = list(table, map, chunk, verb, to);
            Request { verb, family: nfnl::INET, flags, attributes }
        }));
    }
    requests
}

/// Which ports are in which map, and what of the target they lead to there.
fn by_map(ports: &[PublishedPort], target: Target) -> Vec<(IpAddr, &'static str, Vec<&PublishedPort>)> {
    let targets = [Some(target.ip.into()), target.ip6.map(IpAddr::from)];
    let mut all = Vec::new();
    for to in targets.into_iter().flatten() {
        let maps = if to.is_ipv4() {
            [rules::EVERYWHERE, rules::ON_ADDRESS]
        } else {
            [rules::EVERYWHERE6, rules::ON_ADDRESS6]
        };
        // A port that is published on every address of both families is led to by both.
        let ports = ports.iter().filter(|port| port.ip.is_none_or(|ip| ip.is_ipv4() == to.is_ipv4()));
        let (everywhere, on_address): (Vec<_>, Vec<_>) = ports.partition(|port| on(port).is_none());
        all.extend(maps.into_iter().zip([everywhere, on_address]).map(|(map, ports)| (to, map, ports)));
    }
    all
}

/// The one address that a port is published on, if it is one.
fn on(port: &PublishedPort) -> Option<IpAddr> {
    port.ip.filter(|ip| !ip.is_unspecified())
}

fn list(table: &str, map: &str, ports: &[&PublishedPort], verb: Verb, to: IpAddr) -> Vec<u8> {
    let mut elements = Vec::new();
    for port in ports {
        let mut element = Vec::new();
        nest(&mut element, ELEMENT.0, &key(port));
        if verb == Verb::AddElements {
            nest(&mut element, ELEMENT.1, &[octets(to), padded(port.container).to_vec()].concat());
        }
        nfnl::nest(&mut elements, ITEM, &element);
    }
    let mut attributes = Vec::new();
    nfnl::text(&mut attributes, LIST.0, table);
    nfnl::text(&mut attributes, LIST.1, map);
    nfnl::nest(&mut attributes, LIST.2, &elements);
    attributes
}

fn nest(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let mut inner = Vec::new();
    nfnl::attribute(&mut inner, VALUE, value);
    nfnl::nest(to, kind, &inner);
}

/// `[ip .] proto . port`, each part padded to four bytes as in every concatenation.
fn key(port: &PublishedPort) -> Vec<u8> {
    let mut key = on(port).map(octets).unwrap_or_default();
    key.extend([port.proto.number(), 0, 0, 0]);
    key.extend(padded(port.host));
    key
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::id::Proto;

    fn port(ip: Option<&str>, host: u16) -> PublishedPort {
        let ip = ip.map(|ip| ip.parse().unwrap());
        PublishedPort { ip, host, container: 80, proto: Proto::Tcp }
    }

    fn target(v6: bool) -> Target {
        Target { ip: Ipv4Addr::new(10, 67, 0, 2), ip6: v6.then_some(Ipv6Addr::LOCALHOST) }
    }

    #[test]
    fn keys_are_concatenations_of_four_byte_parts() {
        for everywhere in [None, Some("0.0.0.0"), Some("::")] {
            assert_eq!(key(&port(everywhere, 0x1f90)), [6, 0, 0, 0, 0x1f, 0x90, 0, 0]);
        }
        assert_eq!(key(&port(Some("127.0.0.1"), 1)), [127, 0, 0, 1, 6, 0, 0, 0, 0, 1, 0, 0]);
        let v6 = key(&port(Some("fd00::1"), 1));
        assert_eq!((v6.len(), &v6[..2], &v6[14..]), (24, &[0xfd, 0][..], &[0, 1, 6, 0, 0, 0, 0, 1, 0, 0][..]));
    }

    #[test]
    fn a_port_is_in_the_maps_of_its_families() {
        let maps = |ip: Option<&str>, v6| -> Vec<String> {
            let requests = requests(Verb::AddElements, 0, "t", &[port(ip, 1)], target(v6));
            let name = |request: &Request| {
                let text = super::super::nfread::find(&request.attributes, LIST.1).unwrap();
                String::from_utf8_lossy(text).trim_end_matches('\0').to_owned()
            };
            requests.iter().map(name).collect()
        };
        assert_eq!(maps(None, true), [rules::EVERYWHERE, rules::EVERYWHERE6]);
        assert_eq!(maps(None, false), [rules::EVERYWHERE]);
        assert_eq!(maps(Some("0.0.0.0"), true), [rules::EVERYWHERE]);
        assert_eq!(maps(Some("::"), true), [rules::EVERYWHERE6]);
        assert_eq!(maps(Some("10.0.0.1"), true), [rules::ON_ADDRESS]);
        assert_eq!(maps(Some("fd00::1"), true), [rules::ON_ADDRESS6]);
    }

    #[test]
    fn the_text_says_the_same() {
        let ports = [port(None, 8080), port(Some("127.0.0.1"), 8081), port(Some("fd00::1"), 8082)];
        let text = published("t", &ports, target(true));
        let lines = [
            "published { tcp . 8080 : 10.67.0.2 . 80 }",
            "published_on { 127.0.0.1 . tcp . 8081 : 10.67.0.2 . 80 }",
            "published6 { tcp . 8080 : ::1 . 80 }",
            "published6_on { fd00::1 . tcp . 8082 : ::1 . 80 }",
        ];
        assert_eq!(text, lines.map(|line| format!("add element inet t {line}\n")).concat());
    }

    #[test]
    fn many_ports_are_few_messages_and_none_is_too_long() {
        for ip in [Some("127.0.0.1"), Some("fd00::1")] {
            let ports: Vec<_> = (1..=u16::MAX).map(|host| port(ip, host)).collect();
            let requests = requests(Verb::AddElements, 0, "fifteen-letters", &ports, target(true));
            assert_eq!(requests.len(), 94);
            assert!(requests.iter().all(|request| request.attributes.len() < usize::from(u16::MAX)));
        }
    }
}
