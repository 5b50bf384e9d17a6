//! What the kernel tells unasked: a netlink socket in a multicast group, read as a stream of datagrams.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use futures::Stream;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::readiness::watch;

/// `RTNLGRP_LINK`: links that come, change and go.
pub const LINKS: (SockProtocol, u32) = (SockProtocol::NetlinkRoute, 1);
/// `NFNLGRP_NFTABLES`: every change of rules, transaction by transaction.
pub const RULES: (SockProtocol, u32) = (SockProtocol::NetlinkNetFilter, 7);
/// How many bytes of notices wait for us at most: a few thousand links. Taken only when they are there; more than a
/// socket is born with (`net.core.rmem_default`), which a hundred containers that start at once overflow.
const WAITING_MAX: usize = 4 << 20;
/// More than the kernel puts into one notice (`NLMSG_GOODSIZE` is a page or two).
const NOTICE_MAX: usize = 32 << 10;

/// How long after a failure the kernel is asked anew.
const PAUSE: Duration = Duration::from_secs(1);

/// One thing heard.
#[derive(Debug)]
pub enum Heard {
    /// A datagram: one netlink message, or several.
    Told(Vec<u8>),
    /// More came than there was room for, and some of it is lost: whoever needs to know looks for himself.
    Lost,
}

/// The notices of a group, in the calling thread's network namespace, without an end.
pub fn of(group: (SockProtocol, u32)) -> io::Result<impl Stream<Item = Heard>> {
    heard_of(move || open(group))
}

fn open((protocol, group): (SockProtocol, u32)) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    // In a user namespace there is no more than everybody may have (`net.core.rmem_max`).
    let forced = setsockopt(&socket, sockopt::RcvBufForce, &WAITING_MAX);
    forced.or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &WAITING_MAX))?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 1 << (group - 1)))?;
    Ok(socket)
}

/// What is heard on the socket that `open` gives, and on the next one where that fails.
fn heard_of(open: impl Fn() -> io::Result<OwnedFd>) -> io::Result<impl Stream<Item = Heard>> {
    let open = move || watch(open()?, Interest::READABLE);
    let begun = (open()?, vec![0; NOTICE_MAX], open);
    Ok(futures::stream::unfold(begun, |(mut socket, mut buffer, open)| async move {
        let heard = match next(&socket, &mut buffer).await {
            Ok(heard) => heard,
            Err(error) => {
                log::warn!("the kernel's notices: {error}; they are asked for anew");
                socket = loop {
                    tokio::time::sleep(PAUSE).await;
                    match open() {
                        Ok(socket) => break socket,
                        Err(error) => log::debug!("the kernel's notices: {error}"),
                    }
                };
                Heard::Lost
            }
        };
        Some((heard, (socket, buffer, open)))
    }))
}

async fn next(socket: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> io::Result<Heard> {
    loop {
        let mut ready = socket.readable().await?;
        let read = recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC);
        return match read {
            Err(Errno::EAGAIN) => {
                ready.clear_ready();
                continue;
            }
            Err(Errno::EINTR) => continue,
            Err(Errno::ENOBUFS) => Ok(Heard::Lost),
            Err(errno) => Err(errno.into()),
            // With MSG_TRUNC it is the length that the datagram had.
            Ok(length) => Ok(buffer.get(..length).map_or(Heard::Lost, |told| Heard::Told(told.to_vec()))),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::UdpSocket;

    use futures::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_socket_that_fails_is_followed_by_another() {
        let opened = Cell::new(0);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let open = || {
            opened.set(opened.get() + 1);
            if opened.get() == 1 {
                // Of one that is not connected nothing can be read.
                return Ok(socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_NONBLOCK, None)?);
            }
            let receiver = UdpSocket::bind("127.0.0.1:0")?;
            receiver.set_nonblocking(true)?;
            sender.send_to(b"news", receiver.local_addr()?)?;
            Ok(receiver.into())
        };
        let mut heard = Box::pin(heard_of(open).unwrap());
        assert!(matches!(heard.next().await, Some(Heard::Lost)));
        assert!(matches!(heard.next().await, Some(Heard::Told(told)) if told == b"news"));
    }
}
