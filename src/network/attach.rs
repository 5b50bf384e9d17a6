//! One container joined to the bridge, and taken off it, start to end: host ports, namespace, links, rules. Straight
//! text that blocks; the actor runs it beside its thread.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::host::Base;
use super::netns::Namespace;
use super::nfnl::Nfnl;
use super::ports::{Reserved, Unavailable};
use super::rtnl::Rtnl;
use super::{bridge, elements, wrong};
use crate::id::{Publish, PublishedPort};
use crate::refusal::Refusal;

/// One socket for all jobs.
pub type Shared = Arc<Mutex<Nfnl>>;

/// What is to be made.
pub struct Plan {
    /// On which bridge.
    pub base: Base,
    /// The rules' socket.
    pub nfnl: Shared,
    /// What the host's end of the link is called.
    pub link: String,
    /// The container's address.
    pub ip: Ipv4Addr,
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

/// Why it was not. Everything is undone, but that the link may need a moment yet to vanish.
pub struct Failed {
    /// Why.
    pub why: Unavailable,
    /// The namespace, if the link was made in it: to be dropped by whoever then waits for the link to vanish.
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
        let mut host = Rtnl::open().map_err(|error| refused("a netlink socket", error))?;
        let joined = join(&mut host, &self.base, &self.link, &mut namespace, self.ip).and_then(|()| {
            let mut nfnl = lock(&self.nfnl);
            let published = elements::publish(&mut nfnl, &self.base.bridge, reserved.ports(), self.ip);
            published.map_err(|error| wrong(&format!("publishing in the nft table inet {}", self.base.bridge), &error))
        });
        match joined {
            Ok(()) => {
                reserved.turn_away_the_early();
                Ok(Made { namespace: namespace.into_descriptor(), reserved })
            }
            Err(refusal) => Err(Failed { why: Unavailable::Refused(refusal), namespace: Some(namespace) }),
        }
    }
}

fn join(host: &mut Rtnl, base: &Base, link: &str, namespace: &mut Namespace, ip: Ipv4Addr) -> Result<(), Refusal> {
    let on = |error: io::Error| wrong(&format!("the link {link} on the bridge {}", base.bridge), &error);
    bridge::join(host, base.index, link, namespace, ip).map_err(on)?;
    let inside = |error: io::Error| wrong(&format!("the address {ip} in the container"), &error);
    namespace.configure(ip, base.subnet.prefix, base.gateway).map_err(inside)
}

/// Takes the ports of the container at `ip` off the rules, then gives them back to the host. In this order: a process
/// that gets a port must get its traffic too.
pub fn unpublish(base: &Base, nfnl: &Shared, reserved: Reserved, ip: Ipv4Addr) {
    if let Err(error) = elements::unpublish(&mut lock(nfnl), &base.bridge, reserved.ports(), ip) {
        log::warn!("the ports of {ip} are still in the nft table inet {}: {error}", base.bridge);
    }
    drop(reserved);
}

fn lock(nfnl: &Shared) -> MutexGuard<'_, Nfnl> {
    // A socket has no state that a panic could tear.
    nfnl.lock().unwrap_or_else(PoisonError::into_inner)
}
