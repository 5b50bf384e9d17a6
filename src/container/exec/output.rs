//! What an exec writes, read for as long as it can write: handed to whoever takes it, at that one's pace, else dropped.

use std::io::ErrorKind;
use std::time::SystemTime;

use nix::libc::EIO;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};

use super::End;

/// How much is read at once.
const CHUNK: usize = 8 << 10;
/// How many chunks wait for whoever takes them; where they do not, the process does.
const WAITING: usize = 4;
/// What a pipe holds: no more than this was written before the end and is read after it.
const PIPE: usize = 64 << 10;

/// Something an exec wrote.
pub struct Chunk {
    /// `stdout` or `stderr`.
    pub stream: &'static str,
    /// When it was read.
    pub time: SystemTime,
    /// What.
    pub bytes: Vec<u8>,
}

/// What an exec writes, in the order in which it is read. Dropped, it lets the process write on to nobody.
pub struct Output(mpsc::Receiver<Chunk>);

impl Output {
    /// The next; none when the process has ended and all that it wrote by then was given.
    pub async fn next(&mut self) -> Option<Chunk> {
        self.0.recv().await
    }
}

impl Output {
    /// Both ends of what at most `most` chunks wait in.
    pub fn channel(most: usize) -> (mpsc::Sender<Chunk>, Self) {
        let (sender, receiver) = mpsc::channel(most);
        (sender, Self(receiver))
    }
}

/// Begins to read what a process writes to `streams`, whose end shows in `end`.
pub fn read(streams: Vec<(&'static str, pipe::Receiver)>, end: &watch::Receiver<End>) -> Output {
    let (sender, output) = Output::channel(WAITING);
    for (stream, pipe) in streams {
        let pump = Pump { pipe, stream, taker: Some(sender.clone()), end: end.clone(), left: PIPE };
        actix_rt::spawn(pump.run());
    }
    output
}

/// Reads one stream to its end, which may come after the process's: what that left running may hold it open.
struct Pump {
    pipe: pipe::Receiver,
    stream: &'static str,
    taker: Option<mpsc::Sender<Chunk>>,
    end: watch::Receiver<End>,
    /// How much more is handed on behind the end.
    left: usize,
}

impl Pump {
    async fn run(mut self) {
        let mut buffer = vec![0; CHUNK];
        loop {
            // Before the read: what was written before the end is then surely there.
            let ended = self.end.borrow().is_some();
            match self.read(&mut buffer, ended) {
                Ok(0) => return,
                Ok(count) => self.hand_on(&buffer[..count], ended).await,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    if ended {
                        self.taker = None;
                    }
                    if !self.more().await {
                        return;
                    }
                }
                // A terminal that nobody has open any more.
                Err(e) if e.raw_os_error() == Some(EIO) => return,
                Err(e) => return log::warn!("reading what an exec writes: {e}"),
            }
        }
    }

    fn read(&self, buffer: &mut [u8], ended: bool) -> std::io::Result<usize> {
        match self.pipe.try_read(buffer) {
            // The runtime may have yet to hear of what is there, and behind the end nobody waits for that.
            Err(e) if ended && e.kind() == ErrorKind::WouldBlock => Ok(rustix::io::read(&self.pipe, buffer)?),
            other => other,
        }
    }

    async fn hand_on(&mut self, bytes: &[u8], ended: bool) {
        let Some(taker) = &self.taker else { return };
        let chunk = Chunk { stream: self.stream, time: SystemTime::now(), bytes: bytes.to_vec() };
        if taker.send(chunk).await.is_err() {
            self.taker = None;
        }
        if ended {
            self.left = self.left.saturating_sub(bytes.len());
            // What comes now, others write that the process left behind.
            if self.left == 0 {
                self.taker = None;
            }
        }
    }

    /// Waits for more to read, or for the end while somebody waits to hear of it.
    async fn more(&mut self) -> bool {
        if self.taker.is_none() {
            return self.pipe.readable().await.is_ok();
        }
        tokio::select! {
            ready = self.pipe.readable() => ready.is_ok(),
            changed = self.end.changed() => {
                if changed.is_err() {
                    self.taker = None;
                }
                true
            }
        }
    }
}
