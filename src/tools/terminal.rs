//! Terminals: their size, the keys that end their input, and how crun hands over the one that it made (its console socket).

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::Interest;
use tokio::net::UnixListener;

/// The largest height and width: conmon 2.1.6 and 2.1.12 take no larger one.
pub const SIDE_MAX: u16 = 1000;

/// Ctrl-D, by which a terminal in its usual mode ends what is read; within a line it only ends the wait for its LF.
const END: u8 = 0x04;

/// How long after the keys that end a terminal's input they are pressed again, and again after twice as long: a shell that
/// just changes the terminal's mode loses them, and what is at its end is so for every program that reads on.
pub const END_AGAIN: Duration = Duration::from_millis(250);
/// The longest time between two.
pub const END_AGAIN_MAX: Duration = Duration::from_secs(8);

/// A terminal's size in characters, each from 1 to [`SIDE_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub cols: u16,
}

impl Size {
    /// Gives the terminal of `fd` this size; its processes are told by `WINCH`.
    pub fn apply(self, fd: impl AsFd) -> io::Result<()> {
        let size = Winsize { ws_row: self.rows, ws_col: self.cols, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(fd, size)?)
    }
}

/// The keys that end a terminal's input, behind the `last` byte that was typed.
pub fn end_keys(last: Option<u8>) -> &'static [u8] {
    match last {
        None | Some(b'\n' | b'\r') => &[END],
        Some(_) => &[END, END],
    }
}

/// A socket at which crun hands over the master side of a terminal. Its file goes with it.
pub struct ConsoleSocket {
    listener: UnixListener,
    dir: OwnedFd,
    name: String,
}

impl ConsoleSocket {
    /// A socket called `name` in `dir`, reached by a descriptor of that, as a socket's path has 107 bytes at most.
    pub fn bind(dir: &Path, name: &str) -> io::Result<Self> {
        let dir = open(dir, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let path = format!("/proc/self/fd/{}/{name}", std::os::fd::AsRawFd::as_raw_fd(&dir));
        Ok(Self { listener: UnixListener::bind(path)?, dir, name: name.to_owned() })
    }

    /// Its directory, for a child, which reaches it by [`ConsoleSocket::path_by`].
    pub fn directory(&self) -> io::Result<OwnedFd> {
        self.dir.try_clone()
    }

    /// Its path for a process that has its directory as descriptor `fd`.
    pub fn path_by(&self, fd: i32) -> String {
        format!("/proc/self/fd/{fd}/{}", self.name)
    }

    /// Waits for the terminal.
    pub async fn receive(&self) -> io::Result<OwnedFd> {
        let (stream, _) = self.listener.accept().await?;
        loop {
            stream.readable().await?;
            match stream.try_io(Interest::READABLE, || receive_fd(&stream)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        match unlinkat(&self.dir, self.name.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(e) => log::warn!("the console socket {}: {e}", self.name),
        }
    }
}

/// The descriptor of one message; the terminal's name, which is its text, tells nothing that we need.
fn receive_fd(stream: impl AsFd) -> io::Result<OwnedFd> {
    let mut text = [0; 256];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(stream, &mut [IoSliceMut::new(&mut text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let received = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    received.ok_or_else(|| io::Error::other("the console socket was sent no terminal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_ends_at_the_start_of_a_line() {
        assert_eq!((end_keys(None), end_keys(Some(b'\r'))), (&b"\x04"[..], &b"\x04"[..]));
        assert_eq!(end_keys(Some(b'x')), b"\x04\x04");
    }
}
