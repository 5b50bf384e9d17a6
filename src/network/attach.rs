//! One container joined to its networks, and taken off them, start to end: host ports, namespace, links, rules. Straight
//! text that blocks; the actor runs it beside its thread.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use netlink_packet_route::AddressFamily;

use super::host::Base;
use super::message::{Endpoint, Target};
use super::netns::{Mould, Namespace};
use super::nfnl::{self, Nfnl};
use super::occupied::address_of;
use super::ports::{Reserved, Unavailable};
use super::rtnl::Rtnl;
use super::{bridge, elements, flows, wrong};
use crate::fault;
use crate::id::{Publish, PublishedPort};
use crate::refusal::Refusal;

/// The table and its socket: one for all jobs.
#[derive(Clone)]
pub struct Rules {
    /// The table `inet NAME`.
    pub table: String,
    nfnl: Arc<Mutex<Nfnl>>,
    /// For the kernel's memory of flows, which is long, and in whose reading nobody else is to wait for the rules.
    flows: Arc<Mutex<Nfnl>>,
}

/// What is to be made.
pub struct Plan {
    /// Its links, in order, and the bridge that each is on.
    pub links: Vec<(Endpoint, Base)>,
    /// Where ports are published.
    pub rules: Rules,
    /// The ports asked for.
    pub publish: Vec<Publish>,
    /// The namespace that somebody made for it, if he did.
    pub own: Option<OwnedFd>,
    /// What it had the last time: of those, the ones that are free and were not asked for by number are had again.
    pub before: Vec<PublishedPort>,
    /// A namespace made ahead, if there was one.
    pub namespace: Option<Namespace>,
    /// What else makes one.
    pub mould: Mould,
    /// Networks have IPv6.
    pub v6: bool,
}

/// What was made.
pub struct Made {
    /// The namespace, configured.
    pub namespace: OwnedFd,
    /// The host's ports.
    pub reserved: Reserved,
}

/// Why it was not. Everything is undone, but that a link may need a moment yet to vanish.
pub struct Failed {
    /// Why.
    pub why: Unavailable,
    /// The namespace, if a link was made in it: to be dropped by whoever then waits for the link to vanish.
    pub namespace: Option<Namespace>,
}

impl Plan {
    /// Makes it: ports first, so that a conflict is told before there is anything to undo.
    pub fn make(self) -> Result<Made, Failed> {
        let early = |why| Failed { why, namespace: None };
        let refused = |what: &str, error: io::Error| early(Unavailable::Refused(wrong(what, &error)));
        let reserved = Reserved::take(&self.publish, &self.before, self.v6).map_err(early)?;
        fault::point("ports");
        let namespace = match self.own {
            Some(own) => self.mould.adopt(own),
            None => self.namespace.map_or_else(|| self.mould.create(), Ok),
        };
        let mut namespace = namespace.map_err(|error| refused("a network namespace", error))?;
        fault::point("namespace");
        match join_all(&self.links, &mut namespace).and_then(|()| self.rules.publish(reserved.ports(), &self.links)) {
            Ok(()) => {
                fault::point("published");
                reserved.turn_away_the_early();
                Ok(Made { namespace: namespace.into_descriptor(), reserved })
            }
            Err(refusal) => Err(Failed { why: Unavailable::Refused(refusal), namespace: Some(namespace) }),
        }
    }
}

fn join_all(links: &[(Endpoint, Base)], namespace: &mut Namespace) -> Result<(), Refusal> {
    if links.is_empty() {
        return Ok(());
    }
    let mut host = Rtnl::open().map_err(|error| wrong("a netlink socket", &error))?;
    for (endpoint, base) in links {
        join(&mut host, endpoint, base, namespace)?;
    }
    way_out(links.iter().map(|(endpoint, _)| endpoint), namespace)
}

/// Gives the container a link.
pub fn join(host: &mut Rtnl, endpoint: &Endpoint, base: &Base, namespace: &mut Namespace) -> Result<(), Refusal> {
    let Endpoint { link, interface, ip, .. } = endpoint;
    let on = |error: io::Error| wrong(&format!("the link {link} on the bridge {}", base.bridge), &error);
    if !bridge::stands(host, &base.bridge, base.index).map_err(on)? {
        let bridge = &base.bridge;
        return Err(Refusal::wrong_state(format_args!(
            "the bridge {bridge} was deleted or renamed by somebody; make its network anew ('network rm', 'network create'; the \
             first one by starting the daemon anew)"
        )));
    }
    bridge::join(host, base.index, link, (namespace, interface), *ip).map_err(on)?;
    bridge::introduce(host, base.index, endpoint.target(), base.routed.then_some(base.gateway)).map_err(on)?;
    fault::point("link");
    let inside = |error: io::Error| wrong(&format!("the address {ip} in the container"), &error);
    namespace.configure(endpoint).map_err(inside)?;
    fault::point("address");
    Ok(())
}

/// Leads what is for elsewhere out by the first of its networks that has a way out, if one has.
pub fn way_out<'a>(
    mut endpoints: impl Iterator<Item = &'a Endpoint>,
    namespace: &mut Namespace,
) -> Result<(), Refusal> {
    let Some(out) = endpoints.find(|endpoint| !endpoint.internal) else { return Ok(()) };
    let failed = |error: io::Error| wrong(&format!("the route by {} in the container", out.gateway), &error);
    namespace.route(out).map_err(failed)?;
    fault::point("route");
    Ok(())
}

impl Rules {
    /// Those of the table `inet TABLE`.
    pub fn open(table: &str) -> io::Result<Self> {
        let socket = || Ok::<_, io::Error>(Arc::new(Mutex::new(Nfnl::open()?)));
        Ok(Self { table: table.to_owned(), nfnl: socket()?, flows: socket()? })
    }

    fn publish(&self, ports: &[PublishedPort], links: &[(Endpoint, Base)]) -> Result<(), Refusal> {
        let Some((out, _)) = links.iter().find(|(endpoint, _)| !endpoint.internal) else { return Ok(()) };
        self.lead(ports, out.target())
    }

    /// Lets the host answer for `ports` with the container at `to`.
    pub fn lead(&self, ports: &[PublishedPort], to: Target) -> Result<(), Refusal> {
        match elements::publish(&mut lock(&self.nfnl), &self.table, ports, to) {
            // Somebody took the table away: when it is put back (`mend.rs`) this container is in the books, and its
            // ports are published with the others'.
            Err(error) if elements::is_missing(&error) => log::warn!("the nft table inet {} is not there", self.table),
            done => done.map_err(|error| self.unpublishable(&error))?,
        }
        self.forget_early(ports);
        Ok(())
    }

    /// Forgets what came to `ports` when nothing led on.
    pub fn forget_early(&self, ports: &[PublishedPort]) {
        self.forget(ports, |nfnl| flows::forget_early(nfnl, ports, &own_addresses()));
    }

    fn unpublishable(&self, error: &io::Error) -> Refusal {
        wrong(&format!("publishing in the nft table inet {}", self.table), error)
    }

    /// Takes the ports of the container at `from` off the rules, and what was led to it by them.
    pub fn unpublish(&self, ports: &[PublishedPort], from: Target) {
        if let Err(error) = elements::unpublish(&mut lock(&self.nfnl), &self.table, ports, from) {
            let ip = from.ip;
            log::warn!("the ports of {ip} are still in the nft table inet {}: {error}", self.table);
        }
        self.forget(ports, |nfnl| flows::forget_led(nfnl, ports, from));
    }

    /// What cannot be forgotten ends by itself when no packet came for a while.
    fn forget(&self, ports: &[PublishedPort], forget: impl FnOnce(&mut Nfnl) -> io::Result<usize>) {
        if !flows::concern(ports) {
            return;
        }
        match forget(&mut lock(&self.flows)) {
            Ok(0) => {}
            Ok(count) => log::debug!("{count} flows of UDP to published ports are forgotten"),
            Err(error) => log::warn!("old flows of UDP to published ports stay: {error}"),
        }
    }

    /// The comment of the table; none where there is no table.
    pub fn comment(&self) -> io::Result<Option<String>> {
        lock(&self.nfnl).table_comment(nfnl::INET, &self.table)
    }
}

fn lock(socket: &Mutex<Nfnl>) -> MutexGuard<'_, Nfnl> {
    // A socket has no state that a panic could tear.
    socket.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The host's own addresses, as far as they can be told.
fn own_addresses() -> Vec<IpAddr> {
    let addresses = Rtnl::open().and_then(|mut host| host.addresses(AddressFamily::Unspec)).unwrap_or_default();
    addresses.iter().filter_map(address_of).collect()
}
