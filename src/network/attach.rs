//! One container joined to its networks, and taken off them, start to end: host ports, namespace, links, rules. Straight
//! text that blocks; the actor runs it beside its thread.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::host::Base;
use super::message::Endpoint;
use super::netns::Namespace;
use super::nfnl::Nfnl;
use super::ports::{Reserved, Unavailable};
use super::rtnl::Rtnl;
use super::{bridge, elements, wrong};
use crate::id::{Publish, PublishedPort};
use crate::refusal::Refusal;

/// The table and its socket: one for all jobs.
#[derive(Clone)]
pub struct Rules {
    /// The table `inet NAME`.
    pub table: String,
    nfnl: Arc<Mutex<Nfnl>>,
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
        let reserved = Reserved::take(&self.publish, &self.before).map_err(early)?;
        let namespace = match self.own {
            Some(own) => Namespace::adopt(own),
            None => self.namespace.map_or_else(Namespace::create, Ok),
        };
        let mut namespace = namespace.map_err(|error| refused("a network namespace", error))?;
        match join_all(&self.links, &mut namespace).and_then(|()| self.rules.publish(reserved.ports(), &self.links)) {
            Ok(()) => {
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
    bridge::join(host, base.index, link, (namespace, interface), *ip).map_err(on)?;
    let inside = |error: io::Error| wrong(&format!("the address {ip} in the container"), &error);
    namespace.configure(interface, *ip, base.subnet.prefix).map_err(inside)
}

/// Leads what is for elsewhere out by the first of its networks that has a way out, if one has.
pub fn way_out<'a>(
    mut endpoints: impl Iterator<Item = &'a Endpoint>,
    namespace: &mut Namespace,
) -> Result<(), Refusal> {
    let Some(out) = endpoints.find(|endpoint| !endpoint.internal) else { return Ok(()) };
    let failed = |error: io::Error| wrong(&format!("the route by {} in the container", out.gateway), &error);
    namespace.route(&out.interface, out.gateway).map_err(failed)
}

impl Rules {
    /// Those of the table `inet TABLE`.
    pub fn new(table: &str, nfnl: Nfnl) -> Self {
        Self { table: table.to_owned(), nfnl: Arc::new(Mutex::new(nfnl)) }
    }

    fn publish(&self, ports: &[PublishedPort], links: &[(Endpoint, Base)]) -> Result<(), Refusal> {
        let Some((out, _)) = links.iter().find(|(endpoint, _)| !endpoint.internal) else { return Ok(()) };
        self.lead(ports, out.ip)
    }

    /// Lets the host answer for `ports` with the container at `ip`.
    pub fn lead(&self, ports: &[PublishedPort], ip: Ipv4Addr) -> Result<(), Refusal> {
        let done = elements::publish(&mut self.lock(), &self.table, ports, ip);
        done.map_err(|error| wrong(&format!("publishing in the nft table inet {}", self.table), &error))
    }

    /// Takes the ports of the container at `ip` off the rules.
    pub fn unpublish(&self, ports: &[PublishedPort], ip: Ipv4Addr) {
        if let Err(error) = elements::unpublish(&mut self.lock(), &self.table, ports, ip) {
            log::warn!("the ports of {ip} are still in the nft table inet {}: {error}", self.table);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Nfnl> {
        // A socket has no state that a panic could tear.
        self.nfnl.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
