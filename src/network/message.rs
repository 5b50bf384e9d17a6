//! What the network can be asked, and what it answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use actix::prelude::*;
use tokio::sync::watch;

use super::Network;
use super::ula::Ula;
use crate::config::Subnet;
use crate::id::{ContainerId, Name, NetworkName, Networking, Publish, PublishedPort};
use crate::link::Post;
use crate::refusal::Refusal;

/// Asks the network's actor, or tells it something.
pub async fn ask<M>(network: &Post<Network>, message: M) -> Result<M::Result, Refusal>
where
    M: Message<Result: Send> + Send + 'static,
    Network: Handler<M>,
{
    network.send(message).await.map_err(|e| Refusal::unanswered("the network", e))
}

/// Joins a container to its networks and publishes its ports: all of it, or nothing. A port that is not free is refused
/// before anything is made.
#[derive(Message, Debug)]
#[rtype(result = "Result<Attachment, Refusal>")]
pub struct Attach {
    /// Which container: one that is not attached.
    pub id: ContainerId,
    /// What to call it when somebody else wants its ports.
    pub name: Name,
    /// How it is to be connected.
    pub networking: Networking,
    /// The ports to publish.
    pub publish: Vec<Publish>,
    /// The name servers that it is to have in place of the host's.
    pub dns: Vec<IpAddr>,
    /// What those see of it that share its namespace.
    pub identity: Identity,
    /// A network namespace that somebody made for it; without one, one of ours.
    pub namespace: Option<OwnedFd>,
    /// What it had when it was last attached: where that is free it has it again, though nobody asked for just that.
    pub before: Option<Before>,
}

/// What an attachment had that another of the same container may have again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// Its address on each of its networks.
    pub addresses: Vec<(NetworkName, Ipv4Addr)>,
    /// What the host answered for, in the order asked for.
    pub ports: Vec<PublishedPort>,
}

impl Before {
    /// What `attachment` has.
    pub fn of(attachment: &Attachment) -> Self {
        Self { addresses: Self::addresses(&attachment.endpoints), ports: attachment.ports.clone() }
    }

    /// The addresses of these links, by network.
    pub fn addresses(endpoints: &[Endpoint]) -> Vec<(NetworkName, Ipv4Addr)> {
        endpoints.iter().map(|endpoint| (endpoint.network.clone(), endpoint.ip)).collect()
    }

    /// The address on that network, where it had one.
    pub fn on(&self, network: &NetworkName) -> Option<Ipv4Addr> {
        self.addresses.iter().find(|(name, _)| name == network).map(|(_, ip)| *ip)
    }
}

/// What those see of a container that share its network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its hostname.
    pub hostname: String,
    /// The directory of the files that are made for its `/etc`.
    pub etc: PathBuf,
}

/// A container's place among the networks.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// The container's network namespace, a descriptor of this process: good until the container is detached. None where
    /// it has the host's.
    pub netns: Option<PathBuf>,
    /// Its links, in the order of its networks; those of the other where it shares another's namespace.
    pub endpoints: Vec<Endpoint>,
    /// What the host answers for, in the order asked for.
    pub ports: Vec<PublishedPort>,
    /// Whose namespace it shares.
    pub shared: Option<Shared>,
}

impl Attachment {
    /// The first of its links.
    pub fn first(&self) -> Option<&Endpoint> {
        self.endpoints.first()
    }
}

/// The container whose namespace another shares.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Its pair.
    pub with: Name,
    /// Its hostname and files.
    pub identity: Identity,
    /// Never changes: its sender is dropped when the other leaves its networks.
    pub lasts: watch::Receiver<()>,
}

/// One link of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// On which network.
    pub network: NetworkName,
    /// The host's end of it.
    pub link: String,
    /// The container's end of it.
    pub interface: String,
    /// The container's address.
    pub ip: Ipv4Addr,
    /// How many leading bits of the address are the network's.
    pub prefix: u8,
    /// The host's address on the network.
    pub gateway: Ipv4Addr,
    /// What it has of IPv6; none where the network has none.
    pub v6: Option<V6>,
    /// The network has no way out.
    pub internal: bool,
}

/// What a link has of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V6 {
    /// The container's address.
    pub ip: Ipv6Addr,
    /// The network's addresses.
    pub ula: Ula,
}

impl Endpoint {
    /// The container's addresses, that of IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let v6 = self.v6.map(|v6| v6.ip.into());
        std::iter::once(self.ip.into()).chain(v6)
    }

    /// Where ports lead that are published for it.
    pub fn target(&self) -> Target {
        Target { ip: self.ip, ip6: self.v6.map(|v6| v6.ip) }
    }
}

/// Where published ports lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// What comes by IPv4.
    pub ip: Ipv4Addr,
    /// What comes by IPv6, where that leads anywhere.
    pub ip6: Option<Ipv6Addr>,
}

/// Takes a container off its networks. When it is answered, addresses and ports are free again. One that is not attached
/// is no error; one that is being attached is detached as soon as that is done, and its `Attach` refused.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct Detach {
    /// Which container.
    pub id: ContainerId,
}

/// Tells whether a container could be connected so, as far as that can be told before it is.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Vet {
    /// How it is to be connected.
    pub networking: Networking,
    /// It is to publish ports.
    pub publishes: bool,
}

/// Every network, by name.
#[derive(Message, Debug)]
#[rtype(result = "Vec<Row>")]
pub struct List;

/// One network, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: NetworkName,
    /// Its addresses.
    pub subnet: Subnet,
    /// The host's address on it.
    pub gateway: Ipv4Addr,
    /// Its addresses of IPv6, where it has any.
    pub ula: Option<Ula>,
    /// It has no way out.
    pub internal: bool,
    /// The bridge it is.
    pub bridge: String,
    /// The containers on it, by name.
    pub containers: Vec<Resident>,
}

/// A container on a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Its pair.
    pub name: Name,
    /// Its id.
    pub id: ContainerId,
    /// Its other names there.
    pub aliases: Vec<String>,
    /// Its link; none while it is on its way there or off.
    pub endpoint: Option<Endpoint>,
}

/// Makes a network. Refused where the name is taken, or its subnet overlaps one of the host's.
#[derive(Message, Debug)]
#[rtype(result = "Result<Row, Refusal>")]
pub struct Create {
    /// What it is to be called.
    pub name: NetworkName,
    /// Its addresses; the first free of a list where none are said.
    pub subnet: Option<Subnet>,
    /// It is to have no way out.
    pub internal: bool,
}

/// Removes a network that no container is on.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Remove(pub NetworkName);

/// Gives an attached container a link to one network more, and answers with all its links.
#[derive(Message, Debug)]
#[rtype(result = "Result<Vec<Endpoint>, Refusal>")]
pub struct Connect {
    /// Which container.
    pub id: ContainerId,
    /// Which network.
    pub network: NetworkName,
}

/// Takes an attached container off one of its networks, and answers with the links that it still has.
#[derive(Message, Debug)]
#[rtype(result = "Result<Vec<Endpoint>, Refusal>")]
pub struct Disconnect {
    /// Which container.
    pub id: ContainerId,
    /// Which network.
    pub network: NetworkName,
}

/// Detaches all, and leaves the host as it was found. Nothing can be attached afterwards.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct Close;
