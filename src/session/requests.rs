//! The requests of one connection that are under way.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::future::{AbortHandle, Abortable, Aborted, LocalBoxFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

use super::Terms;
use super::peer::Peer;
use crate::engine::Engine;
use crate::outbox::Outbox;
use crate::refusal::Refusal;
use crate::verbs::{self, Access, Action, Call, Reply};
use crate::wire::args::Args;
use crate::wire::reply::Line;
use crate::wire::words::{self, Word};

type Tag = Rc<str>;

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
}

/// The requests of one connection that are under way.
pub struct Requests {
    engine: Rc<Engine>,
    outbox: Rc<Outbox>,
    peer: Peer,
    trusted: bool,
    running_max: usize,
    running: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    untagged: bool,
    tagged: HashMap<Tag, Running>,
}

/// Whether a line is a tagged request, which need not wait for those before it.
pub fn is_tagged(line: &[u8]) -> bool {
    line.iter().find(|byte| !matches!(byte, b' ' | b'\t')) == Some(&b'@')
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
            running: FuturesUnordered::new(),
            untagged: false,
            tagged: HashMap::new(),
        }
    }

    /// Whether none is under way.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether an untagged one is under way.
    pub fn has_untagged(&self) -> bool {
        self.untagged
    }

    /// Waits for one to end.
    pub fn next(&mut self) -> impl Future<Output = Option<Done>> + '_ {
        self.running.next()
    }

    /// The tag that a sign of life goes under: none where an untagged request runs, else that of any.
    pub fn tag_to_beat(&self) -> Option<Tag> {
        if self.untagged { None } else { self.tagged.keys().next().cloned() }
    }

    /// Writes the end of a request.
    pub fn conclude(&mut self, Done { tag, result }: Done) {
        match &tag {
            Some(tag) => drop(self.tagged.remove(tag)),
            None => self.untagged = false,
        }
        self.answer(tag.as_deref(), result);
    }

    fn answer(&self, tag: Option<&str>, result: Result<Line, Refusal>) {
        let line = result.unwrap_or_else(|refusal| Line::err(&refusal));
        self.outbox.push(tag, &line);
    }

    /// Takes a line: begins what it asks, or answers why not.
    pub fn take(&mut self, line: &[u8]) -> Taken {
        let words = match words::split(line) {
            Ok(words) if words.is_empty() => return Taken::Going,
            Ok(words) => words,
            Err(refusal) => return self.refuse(None, refusal),
        };
        let (tag, words) = match self.split_tag(words) {
            Ok(split) => split,
            Err(refusal) => return self.refuse(None, refusal),
        };
        let called = verbs::lookup(words).and_then(|(verb, args)| self.admit(verb, &tag).map(|()| (verb, args)));
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
    fn split_tag(&self, mut words: Vec<Word>) -> Result<(Option<Tag>, Vec<Word>), Refusal> {
        let Some(text) = words[0].strip_prefix(b"@") else { return Ok((None, words)) };
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=16).contains(&text.len()) || !text.iter().all(fits) {
            return Err(Refusal::bad_request("a tag is @ and 1 to 16 of A-Z a-z 0-9 _ -"));
        }
        let tag: Tag = String::from_utf8_lossy(text).into();
        if self.tagged.contains_key(&tag) {
            return Err(Refusal::bad_request(format_args!("the tag @{tag} is in use")));
        }
        words.remove(0);
        if words.is_empty() {
            return Err(Refusal::bad_request(format_args!("nothing is asked behind @{tag}")));
        }
        Ok((Some(tag), words))
    }

    /// Whether this client may use that verb now. What changes something is told in the log, with who asked.
    fn admit(&self, verb: &verbs::Verb, tag: &Option<Tag>) -> Result<(), Refusal> {
        if !self.trusted && verb.access != Access::Open {
            return Err(Refusal::denied(format_args!("{} is not for the read-only socket", verb.form.name)));
        }
        if tag.is_some() && self.running.len() >= self.running_max {
            return Err(Refusal::busy(format_args!("{} requests of this connection are running", self.running_max)));
        }
        if verb.access == Access::Change {
            log::info!("{} asks: {}", self.peer, verb.form.name);
        }
        Ok(())
    }

    fn act(&mut self, action: Action, args: Args, tag: Option<Tag>) -> Taken {
        match action {
            Action::Run(run) => self.run(run, args, tag),
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
            .tagged
            .get(name)
            .ok_or_else(|| Refusal::not_found(format_args!("no request runs with the tag @{name}")))?;
        if !running.changing.get() {
            running.abort.abort();
        }
        Ok(Line::done())
    }

    fn run(&mut self, run: fn(Args, Call) -> Result<Reply, Refusal>, args: Args, tag: Option<Tag>) {
        let changing = Rc::new(Cell::new(false));
        let call = Call {
            engine: self.engine.clone(),
            outbox: self.outbox.clone(),
            tag: tag.clone(),
            trusted: self.trusted,
            changing: changing.clone(),
        };
        let reply = match run(args, call) {
            Ok(reply) => reply,
            Err(refusal) => return self.answer(tag.as_deref(), Err(refusal)),
        };
        let (abort, registration) = AbortHandle::new_pair();
        let mut request: LocalBoxFuture<'static, Done> = Box::pin(Request {
            tag: tag.clone(),
            reply: Abortable::new(AssertUnwindSafe(reply).catch_unwind(), registration),
        });
        // Most requests have their answer at once, and need no place among those that wait.
        if let Some(Done { tag, result }) = (&mut request).now_or_never() {
            return self.answer(tag.as_deref(), result);
        }
        match tag {
            Some(tag) => drop(self.tagged.insert(tag, Running { abort, changing })),
            None => self.untagged = true,
        }
        self.running.push(request);
    }
}

/// One request under way: its verb's future, which may be cancelled and whose defects stay its own.
struct Request<F> {
    tag: Option<Tag>,
    reply: Abortable<F>,
}

impl<F: Future<Output = std::thread::Result<Result<Line, Refusal>>> + Unpin> Future for Request<F> {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        let ended = std::task::ready!(self.reply.poll_unpin(cx));
        let result = match ended {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Refusal::internal("a defect ended this request; the daemon goes on")),
            Err(Aborted) => Err(Refusal::cancelled("cancelled")),
        };
        Poll::Ready(Done { tag: self.tag.take(), result })
    }
}
