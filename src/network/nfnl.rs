//! Raw nfnetlink: batches of nf_tables messages, and the one look at a table's comment. The few messages that we need
//! are written down here byte by byte; starting `nft` for them would cost a thousand times as much.
//!
//! The kernel carries a batch out within the system call that sends it, and may wait there for whoever else changes
//! rules. So none of this runs on the daemon's thread.

use std::io::{self, Error};

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`.
const BATCH: (u16, u16) = (0x10, 0x11);
/// `NFPROTO_INET`.
const INET: u8 = 1;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// `NFTA_TABLE_NAME` and `NFTA_TABLE_USERDATA`.
const TABLE_ATTRIBUTES: (u16, u16) = (1, 6);
/// Bytes of a netlink header, and of the nfnetlink header behind it.
const HEADERS: usize = 16 + 4;
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
    /// `NFT_MSG_NEWSETELEM`.
    AddElements = 12,
    /// `NFT_MSG_DELSETELEM`.
    DeleteElements = 14,
}

/// One message of a batch: what is asked, its flags beside `NLM_F_REQUEST`, its attributes.
pub struct Request {
    /// What is asked.
    pub verb: Verb,
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
        self.message(&mut bytes, BATCH.0, 0, SUBSYSTEM, &[]);
        for (left, request) in (0..requests.len()).rev().zip(requests) {
            // One acknowledgement is enough; what fails is told in any case.
            let flags = if left == 0 { request.flags | NLM_F_ACK } else { request.flags };
            self.message(&mut bytes, (SUBSYSTEM << 8) | request.verb as u16, flags, 0, &request.attributes);
        }
        let acknowledged = self.sequence;
        self.message(&mut bytes, BATCH.1, 0, SUBSYSTEM, &[]);
        if bytes.len() > SEND_BUFFER {
            setsockopt(&self.socket, sockopt::SndBufForce, &(2 * bytes.len()))?;
        }
        self.socket.send(&bytes, 0)?;
        self.outcome(acknowledged)
    }

    /// The comment of the table `inet NAME`; empty where it has none, nothing where there is no such table.
    pub fn table_comment(&mut self, name: &str) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        let mut attributes = Vec::new();
        text(&mut attributes, TABLE_ATTRIBUTES.0, name);
        self.message(&mut bytes, (SUBSYSTEM << 8) | Verb::GetTable as u16, 0, 0, &attributes);
        self.socket.send(&bytes, 0)?;
        let answer = self.receive()?;
        match error_of(&answer) {
            Some(libc::ENOENT) => Ok(None),
            Some(code) => Err(Error::from_raw_os_error(code)),
            None => Ok(Some(comment_of(answer.get(HEADERS..).unwrap_or_default()))),
        }
    }

    /// Deletes the table `inet NAME` with all within, if there is one.
    pub fn delete_table(&mut self, name: &str) -> io::Result<()> {
        let mut attributes = Vec::new();
        text(&mut attributes, TABLE_ATTRIBUTES.0, name);
        match self.commit(&[Request { verb: Verb::DeleteTable, flags: 0, attributes }]) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            done => done,
        }
    }

    /// Adds a message to a batch. `resource` is 0, or the subsystem that a batch is for.
    fn message(&mut self, to: &mut Vec<u8>, kind: u16, flags: u16, resource: u16, attributes: &[u8]) {
        self.sequence = self.sequence.wrapping_add(1);
        let family = if resource == 0 { INET } else { 0 };
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

fn sequence_of(answer: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(answer.get(8..12)?.try_into().ok()?))
}

/// The errno that an `NLMSG_ERROR` carries, 0 for an acknowledgement; none where the message is another.
fn error_of(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let code = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (i32::from(kind) == libc::NLMSG_ERROR).then_some(code.saturating_neg())
}

/// The comment among a table's attributes: user data is a list of (type, length, value), type 0 the comment.
fn comment_of(attributes: &[u8]) -> String {
    let user_data = find(attributes, TABLE_ATTRIBUTES.1).unwrap_or_default();
    let comment = match user_data {
        [0, length, rest @ ..] => rest.get(..usize::from(*length)).unwrap_or_default(),
        _ => &[],
    };
    String::from_utf8_lossy(comment.strip_suffix(&[0]).unwrap_or(comment)).into_owned()
}

fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(attributes.get(0..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?);
        let value = attributes.get(4..length)?;
        if kind & !NESTED == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_found() {
        let mut bytes = Vec::new();
        text(&mut bytes, 1, "gantry0");
        attribute(&mut bytes, 6, &[0, 7, b'g', b'a', b'n', b't', b'r', b'y', 0]);
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(find(&bytes, 1), Some(b"gantry0\0".as_slice()));
        assert_eq!(comment_of(&bytes), "gantry");
        assert_eq!(find(&bytes, 9), None);
    }

    #[test]
    fn torn_answers_are_no_panic() {
        for bytes in [&[][..], &[4, 0], &[0, 0, 0, 0], &[3, 0, 6, 0], &[9, 0, 6, 0, 0]] {
            assert_eq!(comment_of(bytes), "");
            assert_eq!(error_of(bytes), None);
        }
    }
}
