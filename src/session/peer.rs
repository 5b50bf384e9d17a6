//! Who is at the other end.

use std::fmt;

use tokio::net::UnixStream;

/// The process that connected, as the kernel names it (`SO_PEERCRED`).
pub struct Peer(Option<(u32, Option<i32>)>);

impl Peer {
    /// Asks the kernel.
    pub fn of(stream: &UnixStream) -> Self {
        Self(stream.peer_cred().ok().map(|cred| (cred.uid(), cred.pid())))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((uid, Some(pid))) => write!(f, "uid {uid} pid {pid}"),
            Some((uid, None)) => write!(f, "uid {uid}"),
            None => f.write_str("somebody"),
        }
    }
}
