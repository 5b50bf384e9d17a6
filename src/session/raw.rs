//! A connection that is a process's standard streams: bytes both ways, no lines.
//!
//! A client that reads too little is let go of, lest the process wait for it: who is 256 KiB behind has a moment to read
//! half of that. A full close ends nothing but the connection; a half-close ends the process's input.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::hangup::Hangup;
use crate::container::exec::{Chunk, Output};
use crate::container::feed::Feeder;
use crate::outbox::Outbox;
use crate::refusal::Refusal;
use crate::verbs;

/// How long a client may be behind: its process waits for as long.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the process of a client that has gone may take for each piece of what that has sent.
const PATIENCE_GONE: Duration = Duration::from_secs(10);
/// How much is read at once.
const READ_SIZE: usize = 16 << 10;

/// A connection that has become raw.
pub struct Raw {
    stream: UnixStream,
    hangup: Hangup,
    outbox: Rc<Outbox>,
    input: Option<Feeder>,
    /// What the process is yet to take of what was read.
    fed: Option<LocalBoxFuture<'static, Result<(), Refusal>>>,
    /// The client sends no more.
    half_closed: bool,
    /// What the process writes, until its end.
    output: Option<Output>,
    /// What there was no room for, and since when the client is behind.
    behind: Option<(Chunk, Instant)>,
    closing: watch::Receiver<bool>,
}

/// What a connection has read of what is to be the process's.
pub struct Begun {
    /// Bytes behind the request's line.
    pub bytes: Vec<u8>,
    /// The client sends no more.
    pub half_closed: bool,
}

/// What it waited for.
enum Wake {
    Readable,
    Writable,
    Fed,
    Output(Option<Chunk>),
    HungUp,
    TooLate,
    Closing,
}

impl Raw {
    /// Takes over a connection, of which the last line waits in `outbox`.
    pub fn new(
        stream: UnixStream,
        outbox: Rc<Outbox>,
        streams: verbs::Raw,
        begun: Begun,
        closing: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let hangup = Hangup::of(&stream)?;
        let verbs::Raw { input, output } = streams;
        let mut raw = Self {
            stream,
            hangup,
            outbox,
            input,
            fed: None,
            half_closed: false,
            output: Some(output),
            behind: None,
            closing,
        };
        if !begun.bytes.is_empty() || begun.half_closed {
            raw.feed(begun.bytes, begun.half_closed);
        }
        Ok(raw)
    }

    /// Carries bytes until the process has ended and all that it wrote is out, or the client has gone.
    pub async fn serve(mut self) -> io::Result<()> {
        loop {
            self.catch_up();
            if self.output.is_none() && self.outbox.is_empty() {
                return self.close();
            }
            match self.wait().await? {
                Wake::Readable => {
                    if self.read()? {
                        return Ok(());
                    }
                    // The runtime itself never interrupts a client that keeps its socket full.
                    tokio::task::yield_now().await;
                }
                Wake::Writable => {
                    if self.write().is_err() {
                        return self.deliver_rest().await;
                    }
                }
                Wake::Fed => self.fed = None,
                Wake::Output(Some(chunk)) => self.take(chunk),
                Wake::Output(None) | Wake::Closing => self.output = None,
                Wake::HungUp => return self.deliver_rest().await,
                Wake::TooLate => {
                    log::info!("a raw client is let go of: it does not read what its process writes");
                    return Ok(());
                }
            }
        }
    }

    async fn wait(&mut self) -> io::Result<Wake> {
        let (stream, outbox) = (&self.stream, &self.outbox);
        let writable = async {
            outbox.filled().await;
            stream.ready(Interest::WRITABLE).await
        };
        let reading = self.fed.is_none() && !self.half_closed;
        let fed = async {
            match &mut self.fed {
                Some(fed) => drop(fed.await),
                None => std::future::pending().await,
            }
        };
        let taking = self.behind.is_none() && self.output.is_some();
        let output = async {
            match &mut self.output {
                Some(output) if taking => output.next().await,
                _ => std::future::pending().await,
            }
        };
        let too_late = async {
            match &self.behind {
                Some((_, since)) => sleep_until(*since + PATIENCE).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ready = writable => ready.map(|_| Wake::Writable),
            chunk = output => Ok(Wake::Output(chunk)),
            () = fed => Ok(Wake::Fed),
            ready = stream.ready(Interest::READABLE), if reading => ready.map(|_| Wake::Readable),
            () = self.hangup.wait(), if !reading => Ok(Wake::HungUp),
            () = too_late => Ok(Wake::TooLate),
            Ok(()) = self.closing.changed() => Ok(Wake::Closing),
        }
    }

    /// Has the process read `bytes`, and then the end of its input where they are the last.
    fn feed(&mut self, bytes: Vec<u8>, last: bool) {
        self.half_closed |= last;
        // Where there is no input, what is sent goes nowhere: only its end is of interest.
        self.fed = self.input.as_ref().map(|input| -> LocalBoxFuture<'static, _> { Box::pin(input.push(bytes, last)) });
    }

    /// Reads some of what the client sends. True where it has gone.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; READ_SIZE];
        match self.stream.try_read(&mut buffer) {
            Ok(0) if self.hangup.has_happened() => return Ok(true),
            Ok(0) => self.feed(Vec::new(), true),
            Ok(count) => {
                buffer.truncate(count);
                self.feed(buffer, false);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        Ok(false)
    }

    /// What a client sent before it went is the process's all the same.
    async fn deliver_rest(mut self) -> io::Result<()> {
        self.output = None;
        loop {
            if let Some(fed) = self.fed.take() {
                tokio::select! {
                    taken = fed => if taken.is_err() { return Ok(()) },
                    _ = self.closing.changed() => return Ok(()),
                    // What it has of it is still its own.
                    () = sleep(PATIENCE_GONE) => return Ok(()),
                }
            }
            if self.half_closed || self.read()? || self.fed.is_none() {
                return Ok(());
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        match self.outbox.drain(|bytes| self.stream.try_write(bytes)) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    fn take(&mut self, chunk: Chunk) {
        if self.outbox.is_full() {
            self.behind = Some((chunk, Instant::now()));
        } else {
            self.outbox.push_bytes(&chunk.bytes);
        }
    }

    /// Goes on taking what the process writes, where the client has read enough of it.
    fn catch_up(&mut self) {
        if self.outbox.is_relieved()
            && let Some((chunk, _)) = self.behind.take()
        {
            self.outbox.push_bytes(&chunk.bytes);
        }
    }

    /// Ends the connection so that the client reads an end, and not an error: what it sent and nobody read is taken out first.
    fn close(self) -> io::Result<()> {
        let stream = self.stream.into_std()?;
        stream.shutdown(std::net::Shutdown::Both)?;
        let mut rest = [0; READ_SIZE];
        while matches!(io::Read::read(&mut &stream, &mut rest), Ok(1..)) {}
        Ok(())
    }
}
