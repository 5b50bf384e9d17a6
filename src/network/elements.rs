//! Published ports as elements of the table's two maps: one element a port, and all of a container's in one
//! transaction.

use std::io;
use std::net::Ipv4Addr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::libc;

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
/// Elements of one message: an attribute ends at 64 KiB, and an element takes some fifty bytes.
const CHUNK: usize = 1000;

/// Lets the host answer for `ports` with the container at `ip`: for all of them or for none. `EEXIST` where one is
/// published already.
pub fn publish(nfnl: &mut Nfnl, table: &str, ports: &[PublishedPort], ip: Ipv4Addr) -> io::Result<()> {
    let requests = requests(Verb::AddElements, NLM_F_CREATE | NLM_F_EXCL, table, ports, ip);
    if requests.is_empty() { Ok(()) } else { nfnl.commit(&requests) }
}

/// The same where some of them may be there already.
pub fn publish_again(nfnl: &mut Nfnl, table: &str, ports: &[PublishedPort], ip: Ipv4Addr) -> io::Result<()> {
    let requests = requests(Verb::AddElements, NLM_F_CREATE, table, ports, ip);
    if requests.is_empty() { Ok(()) } else { nfnl.commit(&requests) }
}

/// Takes `ports` of the container at `ip` off again. Those that are gone already, with their table or without, are no
/// error.
pub fn unpublish(nfnl: &mut Nfnl, table: &str, ports: &[PublishedPort], ip: Ipv4Addr) -> io::Result<()> {
    if ports.is_empty() {
        return Ok(());
    }
    let delete = || requests(Verb::DeleteElements, 0, table, ports, ip);
    match nfnl.commit(&delete()) {
        Err(error) if is_missing(&error) => {
            // Somebody took some away. What is added first, where it is missing, can be deleted whole.
            let mut all = requests(Verb::AddElements, NLM_F_CREATE, table, ports, ip);
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

fn requests(verb: Verb, flags: u16, table: &str, ports: &[PublishedPort], ip: Ipv4Addr) -> Vec<Request> {
    let (everywhere, on_address): (Vec<_>, Vec<_>) = ports.iter().partition(|port| port.ip.is_unspecified());
    let maps = [(rules::EVERYWHERE, everywhere), (rules::ON_ADDRESS, on_address)];
    let chunks = maps.iter().flat_map(|(map, ports)| ports.chunks(CHUNK).map(move |chunk| (*map, chunk)));
    chunks
        .map(|(map, chunk)| Request { verb, family: nfnl::INET, flags, attributes: list(table, map, chunk, verb, ip) })
        .collect()
}

fn list(table: &str, map: &str, ports: &[&PublishedPort], verb: Verb, ip: Ipv4Addr) -> Vec<u8> {
    let mut elements = Vec::new();
    for port in ports {
        let mut element = Vec::new();
        nest(&mut element, ELEMENT.0, &key(port));
        if verb == Verb::AddElements {
            nest(&mut element, ELEMENT.1, &[ip.octets().as_slice(), &padded(port.container)].concat());
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
    let mut key = if port.ip.is_unspecified() { Vec::new() } else { port.ip.octets().to_vec() };
    key.extend([port.proto.number(), 0, 0, 0]);
    key.extend(padded(port.host));
    key
}

fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Proto;

    fn port(ip: Ipv4Addr, host: u16) -> PublishedPort {
        PublishedPort { ip, host, container: 80, proto: Proto::Tcp }
    }

    #[test]
    fn keys_are_concatenations_of_four_byte_parts() {
        assert_eq!(key(&port(Ipv4Addr::UNSPECIFIED, 0x1f90)), [6, 0, 0, 0, 0x1f, 0x90, 0, 0]);
        assert_eq!(key(&port(Ipv4Addr::LOCALHOST, 1)), [127, 0, 0, 1, 6, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn many_ports_are_few_messages_and_none_is_too_long() {
        let ports: Vec<_> = (1..=u16::MAX).map(|host| port(Ipv4Addr::LOCALHOST, host)).collect();
        let requests = requests(Verb::AddElements, 0, "fifteen-letters", &ports, Ipv4Addr::BROADCAST);
        assert_eq!(requests.len(), 66);
        assert!(requests.iter().all(|request| request.attributes.len() < usize::from(u16::MAX)));
    }
}
