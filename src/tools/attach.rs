//! conmon's attach socket: a container's standard streams in packets. Facts are of 2.1.6 and 2.1.12.
//!
//! Whoever is connected must read, for conmon writes to all of them and waits: a client that does not read stops the
//! container. With `-i` and no terminal the end of any connection, or of its sending side, ends the container's input. So
//! there is one connection, ours, held for as long as the container runs.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send,
    shutdown, socket_with,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::readiness;

/// How much input a packet carries; conmon reads 32 KiB at once, and of a larger packet it would lose the rest.
const PACKET: usize = 8 << 10;
/// The most that conmon writes in a packet: the stream's number, and one read of it, of 8 KiB.
pub const PACKET_MAX: usize = 32 << 10;

/// The number that stands before what was written to standard error; before standard output stands 2.
const STDERR: u8 = 3;

/// The connection to one conmon.
pub struct Attached(AsyncFd<OwnedFd>);

/// Which stream a packet is of, and how many bytes of the buffer it has.
pub struct Packet {
    /// `stdout` or `stderr`.
    pub stream: &'static str,
    /// Its bytes stand from 1 to here.
    pub end: usize,
}

impl Attached {
    /// Connects to the conmon whose bundle that is. For a worker: it looks up files.
    pub fn connect(bundle: &Path) -> io::Result<OwnedFd> {
        // By a descriptor, as a socket's path has 107 bytes at most.
        let dir = open(bundle, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/attach", dir.as_raw_fd()))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        connect(&socket, &address)?;
        Ok(socket)
    }

    /// Has the runtime watch a connection.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self(readiness::watch(socket, Interest::READABLE | Interest::WRITABLE)?))
    }

    /// The next packet, of which `buffer` has [`PACKET_MAX`] bytes room; none at the container's end.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Packet>> {
        let read = match self.read(buffer).await {
            // conmon ended with input that it had not read: the kernel tells so once, ahead of what conmon had sent.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => self.read(buffer).await?,
            read => read?,
        };
        let stream = if buffer.first() == Some(&STDERR) { "stderr" } else { "stdout" };
        Ok((read > 0).then_some(Packet { stream, end: read }))
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.async_io(Interest::READABLE, |fd| Ok(recv(fd, &mut *buffer, RecvFlags::empty())?.0)).await
    }

    /// Sends input, as fast as the container takes it.
    pub async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        for packet in bytes.chunks(PACKET) {
            // A packet goes whole or not at all.
            self.0.async_io(Interest::WRITABLE, |fd| Ok(send(fd, packet, SendFlags::NOSIGNAL)?)).await?;
        }
        Ok(())
    }

    /// Ends the container's input, behind all that was sent.
    pub fn end_input(&self) -> io::Result<()> {
        Ok(shutdown(self.0.get_ref(), Shutdown::Write)?)
    }
}
