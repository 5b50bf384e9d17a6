//! What the kernel remembers of flows (conntrack), as far as UDP to published ports is concerned: how a flow is led is
//! decided at its first packet, and holds as long as packets come. So a port that is given to another container, or was
//! nobody's before, has its old flows forgotten, by netlink (`linux/netfilter/nfnetlink_conntrack.h`).
//!
//! Of TCP nothing needs forgetting: whoever is not answered as before begins anew.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use nix::libc;

use super::message::Target;
use super::nfnl::{self, Nfnl};
use super::nfread::{self, Message};
use crate::id::{Proto, PublishedPort};

/// `NFNL_SUBSYS_CTNETLINK` with `IPCTNL_MSG_CT_GET` and with `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = (1 << 8) | 1;
const DELETE: u16 = (1 << 8) | 2;
/// `CTA_TUPLE_ORIG` and `CTA_TUPLE_REPLY`: a flow as it came, and as it is answered.
const TUPLES: (u16, u16) = (1, 2);
/// `CTA_ID` and `CTA_ZONE`: with the first tuple they say which flow is meant.
const IDENTITY: [u16; 3] = [TUPLES.0, 12, 18];
/// `CTA_FILTER`, and in it `CTA_FILTER_ORIG_FLAGS`.
const FILTER: (u16, u16) = (25, 1);
/// What the filter compares: the protocol's number alone. A kernel before 5.8 knows no filter, and tells all.
const BY_PROTOCOL: u32 = 1 << 3;
/// `CTA_TUPLE_IP` and `CTA_TUPLE_PROTO`; `CTA_IP_V4_SRC` and `_DST`, and `CTA_IP_V6_SRC` and `_DST`; `CTA_PROTO_NUM`, `_SRC_PORT` and `_DST_PORT`.
const PARTS: (u16, u16) = (1, 2);
const ADDRESSES: [(u16, u16); 2] = [(1, 2), (3, 4)];
const PORTS: (u16, u16, u16) = (1, 2, 3);

/// One direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tuple {
    from: (IpAddr, u16),
    to: (IpAddr, u16),
}

/// Forgets what was led to the container at `target` by `ports`, and tells how much that was.
pub fn forget_led(nfnl: &mut Nfnl, ports: &[PublishedPort], target: Target) -> io::Result<usize> {
    let is_there = |ip: IpAddr| ip == target.ip || target.ip6.is_some_and(|ip6| ip == ip6);
    forget(nfnl, ports, |port, _, answered| is_there(answered.from.0) && answered.from.1 == port.container)
}

/// Forgets what came to `ports` of this host, whose addresses are `own`, when nobody was there.
pub fn forget_early(nfnl: &mut Nfnl, ports: &[PublishedPort], own: &[IpAddr]) -> io::Result<usize> {
    let early = |port: &PublishedPort, came: Tuple, answered: Tuple| {
        let ip = came.to.0;
        let meant = match port.ip {
            Some(on) if !on.is_unspecified() => ip == on,
            family => family.is_none_or(|any| any.is_ipv4() == ip.is_ipv4()) && (own.contains(&ip) || ip.is_loopback()),
        };
        meant && answered.from == came.to
    };
    forget(nfnl, ports, early)
}

/// Whether there is anything to be forgotten.
pub fn concern(ports: &[PublishedPort]) -> bool {
    ports.iter().any(|port| port.proto == Proto::Udp)
}

fn forget(
    nfnl: &mut Nfnl,
    ports: &[PublishedPort],
    // Of flows that came to the port's number.
    meant: impl Fn(&PublishedPort, Tuple, Tuple) -> bool,
) -> io::Result<usize> {
    let mut by_number: HashMap<u16, Vec<&PublishedPort>> = HashMap::new();
    for port in ports.iter().filter(|port| port.proto == Proto::Udp) {
        by_number.entry(port.host).or_default().push(port);
    }
    let count = nfnl::IP.into_iter().map(|family| {
        let mut stale = Vec::new();
        nfnl.dump(GET, family, &of_udp(), |flow| {
            let Some((came, answered)) = tuple(flow, TUPLES.0).zip(tuple(flow, TUPLES.1)) else { return };
            let mut there = by_number.get(&came.to.1).into_iter().flatten();
            if there.any(|port| meant(port, came, answered)) {
                stale.push(identity(flow));
            }
        })?;
        for flow in &stale {
            match nfnl.change(DELETE, family, flow) {
                // It went by itself.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                done => done?,
            }
        }
        Ok(stale.len())
    });
    count.sum()
}

/// Asks for the flows of UDP alone.
fn of_udp() -> Vec<u8> {
    let (mut proto, mut tuple, mut filter, mut attributes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    nfnl::attribute(&mut proto, PORTS.0, &[Proto::Udp.number()]);
    nfnl::nest(&mut tuple, PARTS.1, &proto);
    nfnl::nest(&mut attributes, TUPLES.0, &tuple);
    nfnl::attribute(&mut filter, FILTER.1, &BY_PROTOCOL.to_ne_bytes());
    nfnl::nest(&mut attributes, FILTER.0, &filter);
    attributes
}

/// A direction of a flow, where it is one of UDP.
fn tuple(flow: &Message<'_>, which: u16) -> Option<Tuple> {
    let tuple = flow.attribute(which)?;
    let (ip, proto) = (nfread::find(tuple, PARTS.0)?, nfread::find(tuple, PARTS.1)?);
    let address = |[v4, v6]: [u16; 2]| match nfread::find(ip, v4) {
        Some(bytes) => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        None => Some(IpAddr::from(<[u8; 16]>::try_from(nfread::find(ip, v6)?).ok()?)),
    };
    let port = |kind| Some(u16::from_be_bytes(nfread::find(proto, kind)?.try_into().ok()?));
    let number = nfread::find(proto, PORTS.0)?;
    let udp = number == [Proto::Udp.number()];
    let (from, to) = (address(ADDRESSES.map(|kinds| kinds.0))?, address(ADDRESSES.map(|kinds| kinds.1))?);
    let (from, to) = ((from, port(PORTS.1)?), (to, port(PORTS.2)?));
    udp.then_some(Tuple { from, to })
}

/// What names this flow and no other.
fn identity(flow: &Message<'_>) -> Vec<u8> {
    let mut attributes = Vec::new();
    for (kind, value) in nfread::each(flow.attributes) {
        match kind {
            kind if kind == TUPLES.0 => nfnl::nest(&mut attributes, kind, value),
            kind if IDENTITY.contains(&kind) => nfnl::attribute(&mut attributes, kind, value),
            _ => {}
        }
    }
    attributes
}
