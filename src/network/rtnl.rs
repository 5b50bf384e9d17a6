//! Route netlink, one request at a time: links, addresses and routes of the network namespace that a socket was opened
//! in. Knows the messages, not what they are for.
//!
//! The kernel carries a request out within the system call that sends it, and may wait there for its one lock on all
//! links of the host: 20 ms are usual while somebody deletes a link. So none of this runs on the daemon's thread, and
//! an asynchronous connection would not help: this belongs into `spawn_blocking`.

use std::io::{self, Error, ErrorKind};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkHeader, LinkInfo, LinkMessage};
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::time::{TimeVal, TimeValLike};

/// More than the kernel puts into one datagram of a dump (32 KiB).
const DATAGRAM_MAX: usize = 64 << 10;
/// How many seconds an answer may take.
const ANSWER_MAX: i64 = 10;
/// The kernel's mark on a dump that a change cut through.
const NLM_F_DUMP_INTR: u16 = 0x10;
/// How often a dump that the host's changes cut through is begun again.
const DUMP_TRIES: usize = 8;

/// A route socket. It acts in the network namespace of the thread that opened it, from whatever thread.
pub struct Rtnl {
    socket: Socket,
    sequence: u32,
}

impl Rtnl {
    /// A socket in the calling thread's network namespace.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Answers are there when `send` returns; this is for the answer that the crate cannot read.
        nix::sys::socket::setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(ANSWER_MAX))?;
        // An acknowledgement need not carry the whole request back.
        socket.set_cap_ack(true)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Carries out `changes` in their order, by one call. Those behind one that fails are carried out too; its error is told.
    pub fn carry_out(&mut self, changes: Changes) -> io::Result<()> {
        let mut bytes = Vec::new();
        let first = self.sequence.wrapping_add(1);
        let count = changes.0.len();
        for (message, flags) in changes.0 {
            self.write(message, flags | NLM_F_ACK, &mut bytes);
        }
        self.socket.send(&bytes, 0)?;
        let mut outcome = Ok(());
        for nth in 0..count as u32 {
            // Each answer is read, so that nothing is left for the next.
            let answered = self.answer(first.wrapping_add(nth), false).map(drop);
            outcome = outcome.and(answered);
        }
        outcome
    }

    /// Makes a link; `EEXIST` where there is one of that name.
    pub fn add_link(&mut self, link: LinkMessage) -> io::Result<()> {
        self.change(Message::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Changes a link that is there, found by its index or its name.
    pub fn set_link(&mut self, link: LinkMessage) -> io::Result<()> {
        self.change(Message::NewLink(link), 0)
    }

    /// Deletes a link; `ENODEV` where there is none.
    pub fn delete_link(&mut self, index: u32) -> io::Result<()> {
        let header = LinkHeader { index, ..LinkHeader::default() };
        let mut link = LinkMessage::default();
        link.header = header;
        self.change(Message::DelLink(link), 0)
    }

    /// Deletes a route; `ESRCH` where there is none.
    pub fn delete_route(&mut self, route: RouteMessage) -> io::Result<()> {
        self.change(Message::DelRoute(route), 0)
    }

    /// Forgets it; `ENOENT` where nothing is known.
    pub fn delete_neighbour(&mut self, neighbour: NeighbourMessage) -> io::Result<()> {
        self.change(Message::DelNeighbour(neighbour), 0)
    }

    /// The link called `name`; none where there is none.
    pub fn link(&mut self, name: &str) -> io::Result<Option<LinkMessage>> {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let answer = self.exchange(Message::GetLink(link), 0);
        match answer {
            Ok(answer) => Ok(answer.into_iter().find_map(as_link)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every link.
    pub fn links(&mut self) -> io::Result<Vec<LinkMessage>> {
        let answer = self.dump(&Message::GetLink(LinkMessage::default()))?;
        Ok(answer.into_iter().filter_map(as_link).collect())
    }

    /// Every address of `family`.
    pub fn addresses(&mut self, family: AddressFamily) -> io::Result<Vec<AddressMessage>> {
        let mut request = AddressMessage::default();
        request.header.family = family;
        let answer = self.dump(&Message::GetAddress(request))?;
        let address = |message| if let Message::NewAddress(address) = message { Some(address) } else { None };
        Ok(answer.into_iter().filter_map(address).collect())
    }

    /// Every route of `family`, of all tables.
    pub fn routes(&mut self, family: AddressFamily) -> io::Result<Vec<RouteMessage>> {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        let answer = self.dump(&Message::GetRoute(request))?;
        let route = |message| if let Message::NewRoute(route) = message { Some(route) } else { None };
        Ok(answer.into_iter().filter_map(route).collect())
    }

    fn change(&mut self, message: Message, flags: u16) -> io::Result<()> {
        self.exchange(message, flags | NLM_F_ACK).map(drop)
    }

    fn dump(&mut self, message: &Message) -> io::Result<Vec<Message>> {
        let mut tries = 0;
        loop {
            match self.exchange(message.clone(), NLM_F_DUMP) {
                Err(error) if error.kind() == ErrorKind::Interrupted && tries < DUMP_TRIES => tries += 1,
                answer => return answer,
            }
        }
    }

    /// Sends a request and reads its whole answer.
    fn exchange(&mut self, message: Message, flags: u16) -> io::Result<Vec<Message>> {
        let mut bytes = Vec::new();
        self.write(message, flags, &mut bytes);
        self.socket.send(&bytes, 0)?;
        self.answer(self.sequence, flags & NLM_F_DUMP == NLM_F_DUMP)
    }

    /// Adds a request to what is about to be sent, with the next sequence number.
    fn write(&mut self, message: Message, flags: u16, to: &mut Vec<u8>) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        to.extend(bytes);
        to.resize(to.len().next_multiple_of(4), 0);
    }

    fn answer(&mut self, awaited: u32, dump: bool) -> io::Result<Vec<Message>> {
        let mut all = Vec::new();
        let mut torn = false;
        let mut buffer = vec![0; DATAGRAM_MAX];
        loop {
            let length = self.socket.recv(&mut &mut buffer[..], 0)?.min(buffer.len());
            let mut rest = &buffer[..length];
            while let Some((one, behind)) = cut(rest) {
                rest = behind;
                let Some((sequence, flags, payload)) = decode(one) else { continue };
                if sequence != awaited {
                    continue;
                }
                torn |= flags & NLM_F_DUMP_INTR != 0;
                match payload {
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                    NetlinkPayload::Error(_) => return Ok(all),
                    NetlinkPayload::Done(_) if torn => return Err(ErrorKind::Interrupted.into()),
                    NetlinkPayload::Done(_) => return Ok(all),
                    NetlinkPayload::InnerMessage(message) => all.push(message),
                    _ => {}
                }
            }
            if !dump && !all.is_empty() {
                return Ok(all);
            }
        }
    }
}

/// What is to be changed, one after the other.
#[derive(Default)]
pub struct Changes(Vec<(Message, u16)>);

impl Changes {
    /// As [`Rtnl::set_link`].
    pub fn set_link(&mut self, link: LinkMessage) {
        self.0.push((Message::NewLink(link), 0));
    }

    /// Gives a link an address; `EEXIST` where it has it.
    pub fn add_address(&mut self, address: AddressMessage) {
        self.0.push((Message::NewAddress(address), NLM_F_CREATE | NLM_F_EXCL));
    }

    /// Adds a route; `EEXIST` where there is one to the same destination.
    pub fn add_route(&mut self, route: RouteMessage) {
        self.0.push((Message::NewRoute(route), NLM_F_CREATE | NLM_F_EXCL));
    }

    /// Adds a route, in place of one to the same destination.
    pub fn set_route(&mut self, route: RouteMessage) {
        self.0.push((Message::NewRoute(route), NLM_F_CREATE | NLM_F_REPLACE));
    }

    /// Makes known which hardware address an address has, in place of what is known of it.
    pub fn set_neighbour(&mut self, neighbour: NeighbourMessage) {
        self.0.push((Message::NewNeighbour(neighbour), NLM_F_CREATE | NLM_F_REPLACE));
    }
}

/// Cuts the first message off a datagram.
fn cut(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = NetlinkBuffer::new_checked(datagram).ok()?.length() as usize;
    let one = datagram.get(..length).filter(|one| !one.is_empty())?;
    Some((one, datagram.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// One message; none where the kernel says something (of somebody else's odd link) that the crate cannot read.
fn decode(bytes: &[u8]) -> Option<(u32, u16, NetlinkPayload<Message>)> {
    match NetlinkMessage::<Message>::deserialize(bytes) {
        Ok(message) => Some((message.header.sequence_number, message.header.flags, message.payload)),
        Err(error) => {
            log::debug!("a netlink message is passed over: {error}");
            None
        }
    }
}

/// The names of the links of which a datagram of notices says that they are gone.
pub fn gone(mut datagram: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let Some((one, rest)) = cut(datagram) {
        datagram = rest;
        if let Some((_, _, NetlinkPayload::InnerMessage(Message::DelLink(link)))) = decode(one)
            // The same of another family says that a link is no port of a bridge any more.
            && link.header.interface_family == AddressFamily::Unspec
        {
            names.push(name(&link).to_owned());
        }
    }
    names
}

fn as_link(message: Message) -> Option<LinkMessage> {
    if let Message::NewLink(link) = message { Some(link) } else { None }
}

/// Whether `error` says that there is no such link.
pub fn is_missing(error: &Error) -> bool {
    error.raw_os_error() == Some(nix::libc::ENODEV)
}

/// A link's name.
pub fn name(link: &LinkMessage) -> &str {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.as_str()),
            _ => None,
        })
        .unwrap_or_default()
}

/// A link's alias, empty where it has none.
pub fn alias(link: &LinkMessage) -> &str {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfAlias(alias) => Some(alias.as_str()),
            _ => None,
        })
        .unwrap_or_default()
}

/// Whether a link is up.
pub fn is_up(link: &LinkMessage) -> bool {
    link.header.flags.contains(LinkFlags::Up)
}

/// The index of the link that a link is a port of, if it is.
pub fn master(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Controller(index) => Some(*index),
        _ => None,
    })
}

/// Whether `link` is of `kind`.
pub fn is_kind(link: &LinkMessage, kind: &InfoKind) -> bool {
    let infos = link.attributes.iter().filter_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    infos.flatten().any(|info| matches!(info, LinkInfo::Kind(is) if is == kind))
}
