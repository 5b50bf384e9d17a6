//! A client's connection: one plain task each. Lines in, verbs called, lines out; no verb's meaning is known here.
//!
//! Untagged requests run one after another, tagged ones beside them. The whole session is one future: when the client
//! hangs up it is dropped, and with it everything that only looked or waited; what changes something runs in a task of
//! its own (see `Call::finish`) and is finished.

mod hangup;
mod peer;
mod raw;
mod requests;
mod turns;

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use self::hangup::Hangup;
use self::peer::Peer;
use self::raw::{Begun, Raw};
use self::requests::{Item, Requests, Taken};
use self::turns::Turn;
pub use self::turns::Turns;
use crate::engine::Engine;
use crate::intake::{Intake, Share};
use crate::memory;
use crate::outbox::{Outbox, Postage};
use crate::refusal::Refusal;
use crate::wire::line::{Frame, Framer, LINE_MAX};
use crate::wire::reply::Line;

/// How many untagged requests wait for their turn before reading stops.
const QUEUE_MAX: usize = 64;
/// How many bytes these may have.
const QUEUED_MAX: usize = 128 << 10;
/// How often a half-closed client is told that its work goes on: socat gives up after half a second of silence.
const HEARTBEAT: Duration = Duration::from_millis(100);
/// How much is read at once.
const READ_SIZE: usize = 16 << 10;
/// How often more is there, however little, before others have their turn.
const STREAK: u32 = 8;

/// One connection.
struct Session {
    stream: UnixStream,
    outbox: Rc<Outbox>,
    framer: Framer,
    /// Lines behind the untagged request that runs, each with its size.
    queue: VecDeque<(usize, Item)>,
    /// How many bytes they have together.
    queued: usize,
    /// What these and unfinished lines count towards.
    share: Share,
    requests: Requests,
    turns: Rc<Turns>,
    /// Its last turn ended before all was done that it had asked.
    is_behind: bool,
    /// How often in a row there was something to read.
    streak: u32,
    /// The client will send no more.
    half_closed: bool,
    /// The client asked for the end.
    quitting: bool,
    hangup: Option<Hangup>,
    heartbeat: Instant,
    /// The daemon is about to end.
    closing: watch::Receiver<bool>,
}

/// What the session waited for.
enum Wake {
    Readable,
    Writable,
    Done(requests::Done),
    HungUp,
    Heartbeat,
    Closing,
}

/// What a client may do and take, by the socket it came through.
#[derive(Clone)]
pub struct Terms {
    /// It may change things; else it may only look.
    pub trusted: bool,
    /// How many of its requests may run at once.
    pub running_max: usize,
    /// What its output counts towards.
    pub postage: Rc<Postage>,
    /// What it has sent and is not carried out counts towards.
    pub intake: Arc<Intake>,
    /// What its turns are among.
    pub turns: Rc<Turns>,
}

/// Serves a connection to its end.
pub async fn serve(stream: UnixStream, engine: Rc<Engine>, terms: Terms, closing: watch::Receiver<bool>) {
    let outbox = Rc::new(Outbox::new(terms.postage.clone()));
    let peer = Peer::of(&stream);
    log::trace!("{peer} connected");
    let requests = Requests::new(engine, outbox.clone(), peer, &terms);
    let session = Session {
        stream,
        outbox,
        framer: Framer::default(),
        queue: VecDeque::new(),
        queued: 0,
        share: Share::of(terms.intake.clone()),
        requests,
        turns: terms.turns,
        is_behind: false,
        streak: 0,
        half_closed: false,
        quitting: false,
        hangup: None,
        heartbeat: Instant::now(),
        closing,
    };
    if let Err(e) = session.run().await {
        log::debug!("connection: {e}");
    }
    memory::see_off();
}

impl Session {
    async fn run(mut self) -> io::Result<()> {
        loop {
            let more = self.take_turn().await;
            self.share.set(self.held());
            if let Some(streams) = self.requests.take_raw() {
                self.share.set(0);
                let begun = Begun { bytes: self.framer.take_rest(), half_closed: self.half_closed };
                return Raw::new(self.stream, self.outbox, streams, begun, self.closing)?.serve().await;
            }
            self.end_inputs(more);
            if !self.outbox.is_empty() {
                self.write()?;
            }
            if more && !self.outbox.is_full() {
                // Whoever has more to say lets others have their turn first.
                tokio::task::yield_now().await;
                continue;
            }
            if self.is_over() {
                return Ok(());
            }
            match self.wait().await? {
                Wake::Readable => {
                    if self.read()? {
                        tokio::task::yield_now().await;
                    }
                }
                Wake::Writable => self.write()?,
                Wake::Done(done) => self.requests.conclude(done),
                Wake::HungUp => return Ok(()),
                Wake::Heartbeat => self.beat(),
                Wake::Closing => self.requests.leave(),
            }
        }
    }

    /// Whether the reply to everything that was asked is out.
    fn is_over(&self) -> bool {
        let idle = self.requests.is_idle() && self.queue.is_empty();
        let leaving = *self.closing.borrow();
        (self.quitting || ((self.half_closed || leaving) && idle)) && self.outbox.is_empty()
    }

    /// Takes some of the lines that are there, if there are any, in its turn. True where there may be more: it stopped for
    /// want of room for their replies, or to give others their turn.
    async fn take_turn(&mut self) -> bool {
        self.is_behind = if self.queue.is_empty() && self.framer.waiting() == 0 {
            false
        } else {
            let turns = self.turns.clone();
            let turn = turns.take(self.is_behind).await;
            self.take_frames(&turn)
        };
        self.is_behind
    }

    fn take_frames(&mut self, turn: &Turn<'_>) -> bool {
        loop {
            if self.quitting || self.requests.holds_lines() {
                return false;
            }
            if self.outbox.is_full() {
                return true;
            }
            if !self.requests.has_untagged()
                && let Some((size, item)) = self.queue.pop_front()
            {
                self.queued -= size;
                self.take(item);
            } else if self.may_cut()
                && self.has_queue_room()
                && let Some(frame) = self.next_frame()
            {
                self.place(frame);
            } else {
                self.take_torn_line();
                return false;
            }
            if turn.is_over() {
                return true;
            }
        }
    }

    /// The next line, be it one that must be given up.
    fn next_frame(&mut self) -> Option<Frame> {
        let whole = self.framer.next_frame();
        if whole.is_none() && self.share.is_spent(self.framer.waiting()) { self.framer.give_up() } else { whole }
    }

    /// How many bytes of this client are held.
    fn held(&self) -> usize {
        self.framer.waiting() + self.queued
    }

    fn has_queue_room(&self) -> bool {
        self.queue.len() < QUEUE_MAX && self.queued < QUEUED_MAX
    }

    /// Whether what comes is surely lines: behind a request that may turn raw it is perhaps not.
    fn may_cut(&self) -> bool {
        !self.requests.holds_lines() && !self.queue.back().is_some_and(|(_, item)| item.may_turn_raw())
    }

    /// Whether more is to be read; what is not cut into lines has a bound as well. Where there is no room for all, only who
    /// has something under way is held up, as its end has the next look.
    fn has_room(&self) -> bool {
        let own = if self.may_cut() { self.has_queue_room() } else { self.framer.waiting() < LINE_MAX };
        own && !(self.requests.has_untagged() && self.share.is_spent(self.held()))
    }

    /// Who sends no more feeds no process any more.
    fn end_inputs(&self, more: bool) {
        // One that has gone says nothing about any process's input.
        let has_gone = self.hangup.as_ref().is_some_and(Hangup::has_happened);
        if self.half_closed && !has_gone {
            self.requests.end_input_of_untagged();
            if !more && self.queue.is_empty() && !self.requests.has_untagged() {
                self.requests.end_inputs();
            }
        }
    }

    /// A tagged request has its turn at once, any other line behind those before it.
    fn place(&mut self, frame: Frame) {
        let size = frame.len();
        let Some(item) = self.requests.read(frame) else { return };
        if item.is_tagged() || (self.queue.is_empty() && !self.requests.has_untagged()) {
            self.take(item);
        } else {
            self.queued += size;
            self.queue.push_back((size, item));
        }
    }

    fn take(&mut self, item: Item) {
        self.quitting |= matches!(self.requests.take(item), Taken::Quit);
    }

    /// A last line without its LF may be half of what was meant, so that it is not carried out.
    fn take_torn_line(&mut self) {
        if self.half_closed && self.queue.is_empty() && !self.requests.has_untagged() && self.framer.has_rest() {
            self.framer.take_rest();
            self.outbox.push(
                None,
                &Line::err(&Refusal::bad_request("the last line does not end in LF; it was not carried out")),
            );
        }
    }

    async fn wait(&mut self) -> io::Result<Wake> {
        let busy = !self.requests.is_idle();
        if busy && self.hangup.is_none() {
            self.hangup = Some(Hangup::of(&self.stream)?);
        }
        let reading = !self.half_closed && !self.quitting && self.has_room() && !self.outbox.is_full();
        let beating = self.half_closed && busy;
        let (stream, outbox) = (&self.stream, &self.outbox);
        let hung_up = async {
            match &self.hangup {
                Some(hangup) => hangup.wait().await,
                None => std::future::pending().await,
            }
        };
        let writable = async {
            outbox.filled().await;
            stream.ready(Interest::WRITABLE).await
        };
        tokio::select! {
            biased;
            ready = stream.ready(Interest::READABLE), if reading => ready.map(|_| Wake::Readable),
            Some(done) = self.requests.next(), if busy => Ok(Wake::Done(done)),
            ready = writable => ready.map(|_| Wake::Writable),
            () = hung_up, if busy => Ok(Wake::HungUp),
            () = sleep_until(self.heartbeat), if beating => Ok(Wake::Heartbeat),
            Ok(()) = self.closing.changed() => Ok(Wake::Closing),
        }
    }

    /// Reads what there is. Whether others are to have their turn: the runtime itself never interrupts a client that keeps
    /// its socket full, and one whose request is read whole is answered in the same turn, or thousands would each have two.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; READ_SIZE];
        self.streak += 1;
        match self.stream.try_read(&mut buffer) {
            Ok(0) => {
                self.half_closed = true;
                self.heartbeat = Instant::now() + HEARTBEAT;
            }
            Ok(count) => {
                self.framer.push(&buffer[..count]).map_err(|_| io::ErrorKind::OutOfMemory)?;
                if count == READ_SIZE || self.streak >= STREAK {
                    self.streak = 0;
                    return Ok(true);
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.streak = 0,
            Err(e) => return Err(e),
        }
        Ok(false)
    }

    fn write(&mut self) -> io::Result<()> {
        match self.outbox.drain(|bytes| self.stream.try_write(bytes)) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    /// Due whatever else is written, as that may be of other requests; but not one more for a reader who has enough.
    fn beat(&mut self) {
        if !self.outbox.is_full() {
            self.outbox.push(self.requests.tag_to_beat().as_deref(), &Line::progress(&[], &[]));
        }
        self.heartbeat = Instant::now() + HEARTBEAT;
    }
}
