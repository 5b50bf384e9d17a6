//! The requests of one connection that are under way.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{AbortHandle, Abortable, Aborted, LocalBoxFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

use super::Terms;
use super::peer::Peer;
use crate::container::feed::Feeder;
use crate::engine::Engine;
use crate::intake::Share;
use crate::memory;
use crate::outbox::Outbox;
use crate::refusal::Refusal;
use crate::verbs::{self, Access, Action, Call, Input, Raw, Reply, Ties};
use crate::wire::args::Args;
use crate::wire::line::{Frame, LINE_MAX};
use crate::wire::reply::Line;
use crate::wire::words::{self, Word};

/// A tag without its `@`.
pub type Tag = Rc<str>;

/// A request that came to its end.
pub struct Done {
    tag: Option<Tag>,
    result: Result<Line, Refusal>,
}

/// What became of a line.
pub enum Taken {
    /// The connection goes on.
    Going,
    /// The client asked for its end.
    Quit,
}

/// How a running request is ended by `cancel`.
struct Running {
    abort: AbortHandle,
    changing: Rc<Cell<bool>>,
    cancelled: Rc<Cell<bool>>,
    ties: Rc<Ties>,
}

impl Running {
    /// Ends what looks or waits; a change begun is finished first.
    fn end(&self) {
        self.cancelled.set(true);
        if !self.changing.get() {
            self.abort.abort();
        }
    }

    fn end_input(&self) {
        self.ties.feeder.borrow().iter().for_each(Feeder::end);
    }
}

/// The requests of one connection that are under way.
pub struct Requests {
    engine: Rc<Engine>,
    outbox: Rc<Outbox>,
    peer: Peer,
    trusted: bool,
    running_max: usize,
    /// What `input` brought and no process has taken.
    fed: Arc<Share>,
    running: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    /// How each is ended; the untagged one is under `None`.
    handles: HashMap<Option<Tag>, Running>,
    /// The daemon is about to end.
    leaving: Rc<Cell<bool>>,
    /// What the connection is to become.
    raw: Option<Raw>,
}

/// A line as it waits for its turn.
pub enum Item {
    /// A request.
    Request {
        /// Its tag.
        tag: Option<Tag>,
        /// What is asked.
        words: Vec<Word>,
    },
    /// None: why.
    Refused(Refusal),
}

impl Item {
    /// Whether it need not wait for those before it.
    pub fn is_tagged(&self) -> bool {
        matches!(self, Self::Request { tag: Some(_), .. })
    }

    /// Whether what follows it may be no lines.
    pub fn may_turn_raw(&self) -> bool {
        matches!(self, Self::Request { tag: None, words } if verbs::may_turn_raw(words))
    }
}

impl Requests {
    /// None yet.
    pub fn new(engine: Rc<Engine>, outbox: Rc<Outbox>, peer: Peer, terms: &Terms) -> Self {
        Self {
            engine,
            outbox,
            peer,
            trusted: terms.trusted,
            running_max: terms.running_max,
            fed: Arc::new(Share::of(terms.intake.clone())),
            running: FuturesUnordered::new(),
            handles: HashMap::new(),
            leaving: Rc::default(),
            raw: None,
        }
    }

    /// Whether none is under way.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether an untagged one is under way.
    pub fn has_untagged(&self) -> bool {
        self.handles.contains_key(&None)
    }

    /// Waits for one to end.
    pub fn next(&mut self) -> impl Future<Output = Option<Done>> + '_ {
        self.running.next()
    }

    /// The tag that a sign of life goes under: none where an untagged request runs, else that of any.
    pub fn tag_to_beat(&self) -> Option<Tag> {
        if self.has_untagged() { None } else { self.handles.keys().next().cloned().flatten() }
    }

    /// Writes the end of a request.
    pub fn conclude(&mut self, Done { tag, result }: Done) {
        self.raw = self.handles.remove(&tag).and_then(|running| running.ties.raw.take());
        self.answer(tag.as_deref(), result);
    }

    /// Whether lines are not to be read: what comes may be for a process.
    pub fn holds_lines(&self) -> bool {
        self.raw.is_some() || self.handles.get(&None).is_some_and(|running| running.ties.holds_lines.get())
    }

    /// What the connection is to become, once its reply is out.
    pub fn take_raw(&mut self) -> Option<Raw> {
        self.raw.take()
    }

    /// The client sends no more: whoever can be fed only by the untagged request itself has the end of its input.
    pub fn end_input_of_untagged(&self) {
        self.handles.get(&None).into_iter().for_each(Running::end_input);
    }

    /// The client sends no more, and all that it sent was done: nobody has any more input.
    pub fn end_inputs(&self) {
        self.handles.values().for_each(Running::end_input);
    }

    fn answer(&self, tag: Option<&str>, result: Result<Line, Refusal>) {
        let line = result.unwrap_or_else(|refusal| Line::err(&refusal));
        self.outbox.push(tag, &line);
    }

    /// Reads a line; one that asks nothing gives nothing.
    pub fn read(&self, frame: Frame) -> Option<Item> {
        let line = match frame {
            Frame::Line(line) => line,
            Frame::NoRoom => {
                let why = "clients have sent so much that is not done that long lines find no room; try again later";
                return Some(Item::Refused(Refusal::out_of_memory(why)));
            }
            Frame::TooLong => {
                return Some(Item::Refused(Refusal::too_long(format_args!("a line has at most {LINE_MAX} bytes"))));
            }
        };
        match words::split(&line) {
            Ok(words) if words.is_empty() => None,
            Ok(words) => Some(self.split_tag(words).unwrap_or_else(Item::Refused)),
            Err(refusal) => Some(Item::Refused(refusal)),
        }
    }

    /// Takes a line in its turn: begins what it asks, or answers why not.
    pub fn take(&mut self, item: Item) -> Taken {
        let (tag, words) = match item {
            Item::Request { tag, words } => (tag, words),
            Item::Refused(refusal) => return self.refuse(None, refusal),
        };
        let called = verbs::find(words).and_then(|(verb, words)| {
            self.admit(verb, &tag)?;
            Ok((verb, Args::parse(&verb.form, words)?))
        });
        match called {
            Ok((verb, args)) => self.act(verb.action, args, tag),
            Err(refusal) => self.refuse(tag.as_deref(), refusal),
        }
    }

    fn refuse(&self, tag: Option<&str>, refusal: Refusal) -> Taken {
        self.answer(tag, Err(refusal));
        Taken::Going
    }

    /// Parts the tag from the request. One that cannot be a tag, or is in use, is answered untagged.
    fn split_tag(&self, mut words: Vec<Word>) -> Result<Item, Refusal> {
        let Some(text) = words[0].strip_prefix(b"@") else { return Ok(Item::Request { tag: None, words }) };
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=16).contains(&text.len()) || !text.iter().all(fits) {
            return Err(Refusal::bad_request("a tag is @ and 1 to 16 of A-Z a-z 0-9 _ -"));
        }
        let tag: Tag = String::from_utf8_lossy(text).into();
        if self.handles.contains_key(&Some(tag.clone())) {
            return Err(Refusal::bad_request(format_args!("the tag @{tag} is in use")));
        }
        words.remove(0);
        if words.is_empty() {
            return Err(Refusal::bad_request(format_args!("nothing is asked behind @{tag}")));
        }
        Ok(Item::Request { tag: Some(tag), words })
    }

    /// Whether this client may use that verb now. What changes something is told in the log, with who asked.
    fn admit(&self, verb: &verbs::Verb, tag: &Option<Tag>) -> Result<(), Refusal> {
        if !self.trusted && verb.access != Access::Open {
            return Err(Refusal::denied(format_args!("{} is not for the read-only socket", verb.form.name)));
        }
        if verb.begins() {
            memory::afford(verb.form.name)?;
        }
        // What ends requests must not be held up by them.
        let ends = matches!(verb.action, Action::Cancel | Action::Quit);
        if tag.is_some() && !ends && self.running.len() >= self.running_max {
            return Err(Refusal::busy(format_args!("{} requests of this connection are running", self.running_max)));
        }
        // What feeds a request that was told need not be told piece by piece.
        if verb.access == Access::Change && !matches!(verb.action, Action::Input) {
            log::info!("{} asks: {}", self.peer, verb.form.name);
        }
        Ok(())
    }

    fn act(&mut self, action: Action, args: Args, tag: Option<Tag>) -> Taken {
        match action {
            Action::Run(run) => self.run(run, args, tag),
            Action::Input => self.input(args, tag),
            Action::Cancel => {
                let cancelled = self.cancel(args);
                self.answer(tag.as_deref(), cancelled);
            }
            Action::Quit => {
                self.answer(tag.as_deref(), Ok(Line::done()));
                return Taken::Quit;
            }
        }
        Taken::Going
    }

    fn cancel(&self, mut args: Args) -> Result<Line, Refusal> {
        let name = args.required()?;
        let name = name.strip_prefix('@').unwrap_or(&name);
        let running = self
            .handles
            .get(&Some(name.into()))
            .ok_or_else(|| Refusal::not_found(format_args!("no request runs with the tag @{name}")))?;
        running.end();
        Ok(Line::done())
    }

    /// Ends what only looks or waits, as the daemon is about to end.
    pub fn leave(&self) {
        self.leaving.set(true);
        self.handles.values().for_each(Running::end);
    }

    fn run(&mut self, run: fn(Args, Call) -> Result<Reply, Refusal>, args: Args, tag: Option<Tag>) {
        let flags = Flags::default();
        let call = Call {
            engine: self.engine.clone(),
            outbox: self.outbox.clone(),
            tag: tag.clone(),
            trusted: self.trusted,
            changing: flags.changing.clone(),
            cancelled: flags.cancelled.clone(),
            has_neighbours: !self.handles.is_empty(),
            ties: flags.ties.clone(),
        };
        match run(args, call) {
            Ok(reply) => self.begin(tag, reply, flags),
            Err(refusal) => self.answer(tag.as_deref(), Err(refusal)),
        }
    }

    /// Handed to the process's request here and now, so that pieces keep the order in which they were sent.
    fn input(&mut self, args: Args, tag: Option<Tag>) {
        match self.push_input(args) {
            Ok(taken) => self.begin(tag, taken, Flags::default()),
            Err(refusal) => self.answer(tag.as_deref(), Err(refusal)),
        }
    }

    fn push_input(&self, args: Args) -> Result<Reply, Refusal> {
        let Input { tag, bytes, last } = verbs::read_input(args)?;
        let running = self
            .handles
            .get(&Some(tag.as_str().into()))
            .ok_or_else(|| Refusal::not_found(format_args!("no request runs with the tag @{tag}")))?;
        let feeder = running.ties.feeder.borrow();
        let feeder =
            feeder.as_ref().ok_or_else(|| Refusal::wrong_state(format_args!("@{tag} was not asked with stdin=yes")))?;
        let none =
            || Refusal::out_of_memory("what was sent before and no process has taken leaves no room; try again later");
        if !bytes.is_empty() {
            memory::afford("input")?;
        }
        let load = self.fed.load(bytes.len()).ok_or_else(none)?;
        let taken = feeder.push_counted(bytes, last, Some(load));
        Ok(Box::pin(async { taken.await.map(|()| Line::done()) }))
    }

    fn begin(&mut self, tag: Option<Tag>, reply: Reply, flags: Flags) {
        let Flags { changing, cancelled, ties } = flags;
        let (abort, registration) = AbortHandle::new_pair();
        let mut request: LocalBoxFuture<'static, Done> = Box::pin(Request {
            tag: tag.clone(),
            reply: Abortable::new(AssertUnwindSafe(reply).catch_unwind(), registration),
            leaving: self.leaving.clone(),
        });
        // Most requests have their answer at once, and need no place among those that wait.
        if let Some(Done { tag, result }) = (&mut request).now_or_never() {
            self.raw = ties.raw.take();
            return self.answer(tag.as_deref(), result);
        }
        self.handles.insert(tag, Running { abort, changing, cancelled, ties });
        self.running.push(request);
    }
}

/// What a request shares with its session.
#[derive(Default)]
struct Flags {
    changing: Rc<Cell<bool>>,
    cancelled: Rc<Cell<bool>>,
    ties: Rc<Ties>,
}

/// One request under way: its verb's future, which may be cancelled and whose defects stay its own.
struct Request<F> {
    tag: Option<Tag>,
    reply: Abortable<F>,
    leaving: Rc<Cell<bool>>,
}

impl<F: Future<Output = std::thread::Result<Result<Line, Refusal>>> + Unpin> Future for Request<F> {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        let ended = std::task::ready!(self.reply.poll_unpin(cx));
        let result = match ended {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Refusal::internal("a defect ended this request; the daemon goes on")),
            Err(Aborted) if self.leaving.get() => Err(Refusal::shutting_down("the daemon is on its way out")),
            Err(Aborted) => Err(Refusal::cancelled("taken back by cancel")),
        };
        Poll::Ready(Done { tag: self.tag.take(), result })
    }
}
