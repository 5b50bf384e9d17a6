//! Who is told to the name servers: each network's knows the containers on it, and shows each of them the names of its other
//! networks too.

use super::members::Member;
use super::message::{Attachment, Endpoint};
use super::{Network, dns};
use crate::events::Kind;

impl Network {
    /// From now on the container is found by its names, and this is told.
    pub(super) fn announce(&self, member: &Member, endpoint: &Endpoint) {
        if let Some(resolver) = self.resolver(endpoint) {
            resolver.enter(member.names(endpoint));
        }
        self.tell(member, "connect", endpoint);
    }

    /// From now on whoever has this link is not found any more, and is shown nothing.
    pub(super) fn withdraw(&self, endpoint: &Endpoint) {
        if let Some(resolver) = self.resolver(endpoint) {
            resolver.remove(endpoint.ip.into());
            resolver.show(endpoint.ip, Vec::new());
        }
    }

    /// Shows a container, whichever of its name servers it asks, the names of all its networks.
    pub(super) fn introduce(&self, attachment: &Attachment) {
        if attachment.shared.is_some() {
            return;
        }
        for endpoint in &attachment.endpoints {
            let others = attachment.endpoints.iter().filter(|other| other.network != endpoint.network);
            let seen = others.filter_map(|other| self.resolver(other)).map(dns::Server::seen).collect();
            if let Some(resolver) = self.resolver(endpoint) {
                resolver.show(endpoint.ip, seen);
            }
        }
    }

    /// Tells whoever hears events that the container came or went.
    pub(super) fn tell(&self, member: &Member, action: &'static str, endpoint: &Endpoint) {
        let details = vec![("container", member.name.to_string()), ("ip", endpoint.ip.to_string())];
        self.bus.publish(Kind::Network, endpoint.network.as_str(), action, details);
    }

    fn resolver(&self, endpoint: &Endpoint) -> Option<&dns::Server> {
        self.nets.get(&endpoint.network)?.resolver.as_ref()
    }
}
