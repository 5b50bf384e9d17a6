//! Raw nfnetlink: batches of nf_tables messages, and looks at what is there. The few messages that we need are written
//! down here byte by byte (and read in `nfread.rs`); starting `nft` for them would cost a thousand times as much.
//!
//! The kernel carries a batch out within the system call that sends it, and may wait there for whoever else changes
//! rules. So none of this runs on the daemon's thread.

use std::io::{self, Error};

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

use super::nfread::{HEADERS, Message, comment_of, end_of, error_of, messages_of, sequence_of};

/// `NFNL_SUBSYS_NFTABLES`.
pub const SUBSYSTEM: u16 = 10;
/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`.
const BATCH: (u16, u16) = (0x10, 0x11);
/// `NFPROTO_INET`.
pub const INET: u8 = 1;
/// `NFPROTO_BRIDGE`.
pub const BRIDGE: u8 = 7;
/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
pub const IP: [u8; 2] = [2, 10];
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// `NFTA_TABLE_NAME`.
const TABLE_NAME: u16 = 1;
/// A batch longer than this needs a longer send buffer than a socket is born with.
const SEND_BUFFER: usize = 64 << 10;
/// An answer is an acknowledgement, or one table.
const ANSWER_MAX: usize = 16 << 10;

/// What is asked of nf_tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Verb {
    /// `NFT_MSG_GETTABLE`.
    GetTable = 1,
    /// `NFT_MSG_DELTABLE`.
    DeleteTable = 2,
    /// `NFT_MSG_GETCHAIN`.
    GetChain = 4,
    /// `NFT_MSG_GETRULE`.
    GetRule = 7,
    /// `NFT_MSG_DELRULE`.
    DeleteRule = 8,
    /// `NFT_MSG_NEWSETELEM`.
    AddElements = 12,
    /// `NFT_MSG_DELSETELEM`.
    DeleteElements = 14,
}

impl Verb {
    /// The message's type.
    pub fn kind(self) -> u16 {
        (SUBSYSTEM << 8) | self as u16
    }
}

/// One message of a batch: what is asked, its flags beside `NLM_F_REQUEST`, its attributes.
pub struct Request {
    /// What is asked.
    pub verb: Verb,
    /// Of which family: [`INET`], [`BRIDGE`], or one of [`IP`].
    pub family: u8,
    /// Flags such as `NLM_F_CREATE`.
    pub flags: u16,
    /// Its attributes, as [`attribute`] writes them.
    pub attributes: Vec<u8>,
}

/// Adds one attribute to `to`; `value` is shorter than 64 KiB.
pub fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    to.extend(length.to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// Adds one attribute that holds others.
pub fn nest(to: &mut Vec<u8>, kind: u16, inner: &[u8]) {
    attribute(to, kind | NESTED, inner);
}

/// Adds one attribute that is a text ended by NUL.
pub fn text(to: &mut Vec<u8>, kind: u16, value: &str) {
    attribute(to, kind, &[value.as_bytes(), &[0]].concat());
}

/// A socket to nf_tables. It acts in the network namespace of the thread that opened it, from whatever thread.
///
/// Keep it: closing one waits in the kernel for the end of deletions under way, some 10 ms.
pub struct Nfnl {
    socket: Socket,
    sequence: u32,
}

impl Nfnl {
    /// A socket in the calling thread's network namespace.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_cap_ack(true)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Carries `requests` out as one transaction: all of them or none.
    pub fn commit(&mut self, requests: &[Request]) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.message(&mut bytes, BATCH.0, 0, (0, SUBSYSTEM), &[]);
        for (left, request) in (0..requests.len()).rev().zip(requests) {
            // One acknowledgement is enough; what fails is told in any case.
            let flags = if left == 0 { request.flags | NLM_F_ACK } else { request.flags };
            self.message(&mut bytes, request.verb.kind(), flags, (request.family, 0), &request.attributes);
        }
        let acknowledged = self.sequence;
        self.message(&mut bytes, BATCH.1, 0, (0, SUBSYSTEM), &[]);
        if bytes.len() > SEND_BUFFER {
            setsockopt(&self.socket, sockopt::SndBufForce, &(2 * bytes.len()))?;
        }
        self.socket.send(&bytes, 0)?;
        self.outcome(acknowledged)
    }

    /// The comment of the table NAME of `family`; empty where it has none, nothing where there is no such table.
    pub fn table_comment(&mut self, family: u8, name: &str) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        let mut attributes = Vec::new();
        text(&mut attributes, TABLE_NAME, name);
        self.message(&mut bytes, Verb::GetTable.kind(), 0, (family, 0), &attributes);
        self.socket.send(&bytes, 0)?;
        let answer = self.receive()?;
        match error_of(&answer) {
            Some(libc::ENOENT) => Ok(None),
            Some(code) => Err(Error::from_raw_os_error(code)),
            None => Ok(Some(comment_of(answer.get(HEADERS..).unwrap_or_default()))),
        }
    }

    /// Deletes the table NAME of `family` with all within, if there is one.
    pub fn delete_table(&mut self, family: u8, name: &str) -> io::Result<()> {
        let mut attributes = Vec::new();
        text(&mut attributes, TABLE_NAME, name);
        match self.commit(&[Request { verb: Verb::DeleteTable, family, flags: 0, attributes }]) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            done => done,
        }
    }

    /// Everything that a dump of `kind` gives, one message after the other. Others may be changing it meanwhile.
    pub fn dump(
        &mut self,
        kind: u16,
        family: u8,
        attributes: &[u8],
        mut each: impl FnMut(&Message<'_>),
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.message(&mut bytes, kind, NLM_F_DUMP, (family, 0), attributes);
        self.socket.send(&bytes, 0)?;
        loop {
            // The next part of a dump is there when the one before it is read.
            let answer = self.receive()?;
            for message in messages_of(&answer) {
                match end_of(message.whole) {
                    Some(0) => return Ok(()),
                    Some(code) => return Err(Error::from_raw_os_error(code)),
                    None => each(&message),
                }
            }
        }
    }

    /// Carries out one change that is no batch's.
    pub fn change(&mut self, kind: u16, family: u8, attributes: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.message(&mut bytes, kind, NLM_F_ACK, (family, 0), attributes);
        self.socket.send(&bytes, 0)?;
        match error_of(&self.receive()?) {
            Some(0) => Ok(()),
            Some(code) => Err(Error::from_raw_os_error(code)),
            None => Err(Error::other("the kernel did not answer")),
        }
    }

    /// Adds a message to a batch. `resource` is 0, or the subsystem that a batch is for.
    fn message(&mut self, to: &mut Vec<u8>, kind: u16, flags: u16, (family, resource): (u8, u16), attributes: &[u8]) {
        self.sequence = self.sequence.wrapping_add(1);
        to.extend(((HEADERS + attributes.len()) as u32).to_ne_bytes());
        to.extend(kind.to_ne_bytes());
        to.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        to.extend(self.sequence.to_ne_bytes());
        to.extend(0u32.to_ne_bytes());
        to.extend([family, 0]);
        to.extend(resource.to_be_bytes());
        to.extend(attributes);
    }

    /// Reads what became of a batch: the first failure told, or else the acknowledgement. All of it is there when `send`
    /// is back, and all of it is read, so that nothing is left for the next.
    fn outcome(&mut self, acknowledged: u32) -> io::Result<()> {
        let mut outcome = Err(Error::other("nf_tables did not answer"));
        let mut failed = false;
        loop {
            match self.receive() {
                Ok(answer) => match error_of(&answer) {
                    Some(0) if !failed && sequence_of(&answer) == Some(acknowledged) => outcome = Ok(()),
                    Some(code) if !failed && code != 0 => {
                        failed = true;
                        outcome = Err(Error::from_raw_os_error(code));
                    }
                    _ => {}
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return outcome,
                Err(error) => return Err(error),
            }
        }
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; ANSWER_MAX];
        let length = self.socket.recv(&mut buffer.as_mut_slice(), libc::MSG_DONTWAIT)?;
        buffer.truncate(length);
        Ok(buffer)
    }
}
