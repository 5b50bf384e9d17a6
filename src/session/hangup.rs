//! Telling that a client has hung up, without reading what it may still have sent.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

use crate::readiness;

/// A watch for the full close of a connection: `POLLHUP`, where a half-close is `POLLRDHUP` alone.
///
/// The runtime tells of readiness to read long before the end; on a descriptor of its own, asked about writing, it
/// wakes only when the client has read something or has gone.
pub struct Hangup(AsyncFd<OwnedFd>);

impl Hangup {
    /// Watches `stream`.
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        Ok(Self(readiness::watch(stream.as_fd().try_clone_to_owned()?, Interest::WRITABLE)?))
    }

    /// Whether it has happened.
    pub fn has_happened(&self) -> bool {
        is_hung_up(self.0.get_ref())
    }

    /// Waits until the client has hung up.
    pub async fn wait(&self) {
        while let Ok(mut ready) = self.0.writable().await {
            // Of a socket that is `POLLHUP`, and a half-close is not.
            if ready.ready().is_write_closed() {
                return;
            }
            ready.clear_ready();
        }
    }
}

fn is_hung_up(fd: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(fd.as_fd(), PollFlags::empty())];
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
    poll(&mut polled, PollTimeout::ZERO).is_ok() && polled[0].revents().is_some_and(|events| events.intersects(gone))
}
