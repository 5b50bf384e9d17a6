//! A container's standard streams while somebody is at them: the one connection to conmon's attach socket, drained for as
//! long as the run lasts, what comes in by it handed to all who take it, what clients type sent out by it.
//!
//! Raw clients get the attach stream, and not the log that others read: it has every byte in the order in which conmon
//! read it, at once and without a disk, and it is not cut by a rotation or a full disk. Its price is that a taker who does
//! not take holds up the container, so that takers must be let go of in time (`session::raw`). A container that nobody was
//! ever raw with, or fed, has no such connection, and costs nothing.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::SystemTime;

use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::timeout;

use super::exec::{Chunk, Output};
use super::feed::{Feed, Piece};
use crate::refusal::Refusal;
use crate::tools::attach::{Attached, PACKET_MAX};
use crate::tools::terminal::{END_AGAIN, END_AGAIN_MAX, end_keys};
use crate::worker::beside;

/// How many chunks wait for a taker; where it does not take them, the container waits.
const WAITING: usize = 8;

type Taker = mpsc::Sender<Chunk>;
/// The connection of the run that is on, if there is one.
type Line = Option<Rc<Connection>>;

/// The standard streams of a container, from one run to the next.
pub struct Console {
    /// They are a terminal.
    terminal: bool,
    line: watch::Sender<Line>,
    /// Those who want what the next run writes, from its first byte.
    waiting: RefCell<Vec<Taker>>,
    /// So many feed the next run.
    feeding: Rc<Cell<usize>>,
    /// Held by whoever connects.
    gate: Mutex<()>,
}

/// The connection of one run.
struct Connection {
    attached: Attached,
    terminal: bool,
    takers: RefCell<Vec<Taker>>,
    /// The last byte that was typed.
    typed: Cell<Option<u8>>,
    /// Somebody has ended the input, which is the end for all.
    ended: Cell<bool>,
}

impl Console {
    /// Those of a container that does not run yet.
    pub fn new(terminal: bool) -> Self {
        let (line, waiting, feeding) = (watch::Sender::new(None), RefCell::default(), Rc::default());
        Self { terminal, line, waiting, feeding, gate: Mutex::new(()) }
    }

    /// All that is written from now on, or from the start of the next run.
    pub fn take(&self) -> Output {
        let (taker, output) = Output::channel(WAITING);
        match &*self.line.borrow() {
            Some(connection) => connection.takers.borrow_mut().push(taker),
            None => {
                let mut waiting = self.waiting.borrow_mut();
                waiting.retain(|other| !other.is_closed());
                waiting.push(taker);
            }
        }
        output
    }

    /// Sends what `feed` brings to the run that is on, or to the next.
    pub fn feed(&self, feed: Feed) {
        // It ends with the run, and with the container: it holds no more than the receiving end.
        let line = self.line.subscribe();
        let waits = Waits::new(self.feeding.clone());
        actix_rt::spawn(pour(feed, line, waits));
    }

    /// Whether somebody waits for a connection.
    fn is_wanted(&self) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        waiting.retain(|taker| !taker.is_closed());
        self.feeding.get() > 0 || !waiting.is_empty()
    }

    /// Connects to the conmon whose bundle that is, where that was not done and somebody wants it.
    pub async fn connect(&self, bundle: &Path) -> Result<(), Refusal> {
        // Of two connections the end of one would be the end of the container's input.
        let _gate = self.gate.lock().await;
        if self.line.borrow().is_some() || !self.is_wanted() {
            return Ok(());
        }
        let bundle = bundle.to_owned();
        let failed = |e: &io::Error| Refusal::io("conmon's attach socket", e);
        let socket = beside(move || Attached::connect(&bundle).map_err(|e| failed(&e))).await?;
        let connection = Rc::new(Connection {
            attached: Attached::new(socket).map_err(|e| failed(&e))?,
            terminal: self.terminal,
            takers: RefCell::new(self.waiting.take()),
            typed: Cell::new(None),
            ended: Cell::new(false),
        });
        actix_rt::spawn(connection.clone().drain(self.line.subscribe()));
        self.line.send_replace(Some(connection));
        Ok(())
    }

    /// The run is over, and what it held is free. Who takes what it wrote gets the rest of it, and then the end.
    pub fn hang_up(&self) {
        self.waiting.borrow_mut().clear();
        self.line.send_replace(None);
    }
}

/// One who feeds a run that is not there yet; counted until dropped.
struct Waits(Rc<Cell<usize>>);

impl Waits {
    fn new(count: Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Brings every piece of `feed` to the connection, until the run or the feed has ended.
async fn pour(mut feed: Feed, mut line: watch::Receiver<Line>, waits: Waits) {
    let connection = tokio::select! {
        there = line.wait_for(Option::is_some) => there.ok().and_then(|line| line.clone()),
        () = feed.abandoned() => None,
    };
    let Some(connection) = connection else { return };
    drop(waits);
    let poured = async {
        while let Some(piece) = feed.next().await {
            if let Err(e) = connection.write(&piece).await {
                return log::debug!("input for a container: {e}");
            }
            let last = piece.last;
            piece.done();
            if last && connection.terminal {
                return connection.end_again(&mut feed).await;
            }
        }
    };
    tokio::select! {
        () = poured => {}
        _ = line.wait_for(|now| !is_same(now, &connection)) => {}
    }
}

fn is_same(line: &Line, connection: &Rc<Connection>) -> bool {
    line.as_ref().is_some_and(|other| Rc::ptr_eq(other, connection))
}

impl Connection {
    async fn write(&self, piece: &Piece) -> io::Result<()> {
        if self.ended.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.attached.send(&piece.bytes).await?;
        self.typed.set(piece.bytes.last().copied().or(self.typed.get()));
        match piece.last {
            true if self.terminal => self.attached.send(end_keys(self.typed.take())).await,
            true => {
                self.ended.set(true);
                self.attached.end_input()
            }
            false => Ok(()),
        }
    }

    /// Presses the keys that end a terminal's input for whoever reads on, while the client that ended it stays.
    async fn end_again(&self, feed: &mut Feed) {
        let mut pause = END_AGAIN;
        while timeout(pause, feed.abandoned()).await.is_err() {
            if self.attached.send(end_keys(None)).await.is_err() {
                return;
            }
            pause = (pause * 2).min(END_AGAIN_MAX);
        }
    }

    /// Reads all that the container writes, for whoever takes it. Lets go of them when the run is over and all is read: one
    /// that has closed its streams may still run.
    async fn drain(self: Rc<Self>, mut line: watch::Receiver<Line>) {
        let mut buffer = vec![0; PACKET_MAX];
        loop {
            match self.attached.receive(&mut buffer).await {
                Ok(Some(packet)) => {
                    let bytes = buffer.get(1..packet.end).unwrap_or_default();
                    self.hand_on(packet.stream, bytes).await;
                }
                Ok(None) => break,
                Err(e) => break log::debug!("conmon's attach socket: {e}"),
            }
        }
        // An error means that the container itself is gone.
        let _ = line.wait_for(|now| !is_same(now, &self)).await;
        self.takers.borrow_mut().clear();
    }

    async fn hand_on(&self, stream: &'static str, bytes: &[u8]) {
        let takers = self.takers.borrow().clone();
        let time = SystemTime::now();
        for taker in &takers {
            // One that has left takes nothing more.
            let _ = taker.send(Chunk { stream, time, bytes: bytes.to_vec() }).await;
        }
        self.takers.borrow_mut().retain(|taker| !taker.is_closed());
    }
}
