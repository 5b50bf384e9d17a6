//! Who may change what: locks that are names of abstract sockets. Like links and sysctls they belong to a network
//! namespace, and the kernel frees them with the process.
//!
//! Any local user can take such a name; the refusal tells who has it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, socket, sockopt,
};

use crate::refusal::Refusal;

/// How long the turn is waited for: others start or end in far less.
const TURN_MAX: Duration = Duration::from_secs(20);

/// Held as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _socket: OwnedFd,
}

impl Lock {
    /// The right to the bridge `name`, for the life of a daemon.
    pub fn on_bridge(name: &str) -> Result<Self, Refusal> {
        let key = format!("gantry/bridge/{name}");
        let fail = |errno| Refusal::errno(format_args!("the lock on the bridge {name}"), errno);
        take(&key).map_err(fail)?.ok_or_else(|| {
            Refusal::in_use(format_args!("the bridge {name} is in use by {}; give another by --bridge", holder(&key)))
        })
    }

    /// The turn to change what all daemons of a host share: its sysctls, and the choice of a subnet. Blocks until
    /// whoever has it is done.
    pub fn turn() -> Result<Self, Refusal> {
        const KEY: &str = "gantry/turn";
        let fail = |errno| Refusal::errno("the lock on the host's sysctls", errno);
        let deadline = Instant::now() + TURN_MAX;
        loop {
            if let Some(lock) = take(KEY).map_err(fail)? {
                return Ok(lock);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Refusal::timeout(format_args!("{} does not let go of the host's sysctls", holder(KEY))));
            }
            await_end(KEY, left).map_err(fail)?;
        }
    }
}

fn take(key: &str) -> Result<Option<Lock>, Errno> {
    let socket = open()?;
    match bind(socket.as_raw_fd(), &UnixAddr::new_abstract(key.as_bytes())?) {
        Err(Errno::EADDRINUSE) => Ok(None),
        Err(errno) => Err(errno),
        // Nothing is accepted; who waits for the end of this lock is a connection in the queue.
        Ok(()) => listen(&socket, Backlog::MAXCONN).map(|()| Some(Lock { _socket: socket })),
    }
}

/// Returns when the holder of `key` has let go of it, or after `limit`.
fn await_end(key: &str, limit: Duration) -> Result<(), Errno> {
    let Some(socket) = visit(key)? else { return Ok(()) };
    // A connection that was never accepted is hung up on when its listener is closed.
    let mut hangup = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    match poll(&mut hangup, limit) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Who has `key`, for a person.
fn holder(key: &str) -> String {
    let credentials = visit(key).ok().flatten().and_then(|socket| getsockopt(&socket, sockopt::PeerCredentials).ok());
    credentials.map_or_else(
        || "another process".to_owned(),
        |who| format!("another daemon (process {}, user {})", who.pid(), who.uid()),
    )
}

/// A connection to the holder of `key`; none where it has just let go.
fn visit(key: &str) -> Result<Option<OwnedFd>, Errno> {
    let socket = open()?;
    match connect(socket.as_raw_fd(), &UnixAddr::new_abstract(key.as_bytes())?) {
        Ok(()) => Ok(Some(socket)),
        Err(Errno::ECONNREFUSED) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn open() -> Result<OwnedFd, Errno> {
    socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;

    #[test]
    fn a_bridge_has_one_daemon_and_the_refusal_tells_which() {
        let name = format!("lock-test-{}", std::process::id());
        let lock = Lock::on_bridge(&name).unwrap();
        let refusal = Lock::on_bridge(&name).unwrap_err();
        assert_eq!(refusal.code(), Code::InUse);
        assert!(refusal.message().contains(&format!("process {}", std::process::id())), "{refusal}");
        drop(lock);
        // A process that another test is just starting may have a copy.
        let deadline = Instant::now() + TURN_MAX;
        while let Err(refusal) = Lock::on_bridge(&name) {
            assert!(Instant::now() < deadline, "{refusal}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_turn_goes_round() {
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let turn = Lock::turn().unwrap();
                    assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                    std::thread::yield_now();
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    drop(turn);
                });
            }
        });
    }
}
