//! Descriptors of the kernel's that the runtime watches: pidfds, inotify, sockets watched for their end.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch `fd` for `interest`.
#[expect(unsafe_code, reason = "tokio cannot know that a descriptor stays open; owning it says so")]
pub fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the AsyncFd owns the descriptor, which is therefore open, and always the same, for as long as it lives.
    let registered = unsafe { AsyncFd::register_with_interest(fd, interest) };
    registered.map_err(io::Error::from)
}
