//! What an exec writes, read for as long as it can write: handed to whoever takes it, at that one's pace, else dropped.

use std::io::ErrorKind;
use std::time::SystemTime;

use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};

use super::End;
use crate::refusal::Refusal;
use crate::tools::exec::Running;

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

/// Begins to read both streams of `running`, whose end shows in `end`.
pub fn read(running: &mut Running, end: &watch::Receiver<End>) -> Result<Output, Refusal> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let streams = running.take_output().ok_or_else(|| Refusal::internal("the output is taken already"))?;
    for (stream, pipe) in [("stdout", streams.0), ("stderr", streams.1)] {
        let pump = Pump { pipe, stream, taker: Some(sender.clone()), end: end.clone(), left: PIPE };
        actix_rt::spawn(pump.run());
    }
    Ok(Output(receiver))
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
            match self.pipe.try_read(&mut buffer) {
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
                Err(e) => return log::warn!("reading what an exec writes: {e}"),
            }
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
