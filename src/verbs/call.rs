//! What a verb is called with: the engine, and the way back to whoever asked.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::streams::Raw;
use crate::container::feed::{self, Feed, Feeder};
use actix::{Handler, Message};

use crate::container::Container;
use crate::engine::{Engine, ask};
use crate::outbox::Outbox;
use crate::refusal::Refusal;
use crate::supervisor::Child;
use crate::wire::reply::Line;

/// What a request has to do with its session beside its reply.
#[derive(Default)]
pub struct Ties {
    /// The lines behind it are not read: they may be for its process.
    pub holds_lines: Cell<bool>,
    /// What the connection is to become at the end of the reply.
    pub raw: RefCell<Option<Raw>>,
    /// Where `input` brings what is for its process.
    pub feeder: RefCell<Option<Feeder>>,
}

/// What the final line of a [`Call::change`] tells.
pub const CHANGED: [&str; 1] = ["name"];

/// One call of a verb.
#[derive(Clone)]
pub struct Call {
    /// The engine.
    pub engine: Rc<Engine>,
    /// The asker's output.
    pub outbox: Rc<Outbox>,
    /// The request's tag.
    pub tag: Option<Rc<str>>,
    /// The asker may use verbs that change something.
    pub trusted: bool,
    /// A change is under way that must not be cut short.
    pub changing: Rc<Cell<bool>>,
    /// The asker took the request back while a change was under way.
    pub cancelled: Rc<Cell<bool>>,
    /// Tagged requests of the same connection were running when it was asked.
    pub has_neighbours: bool,
    /// What the session looks at.
    pub ties: Rc<Ties>,
}

impl Call {
    /// Sends a data line, at the asker's pace.
    pub async fn line(&self, line: &Line) {
        self.outbox.send(self.tag.as_deref(), line).await;
    }

    /// Whether the asker took the request back while a change was under way: what would follow it is not wanted.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    /// Has the session read no further line until the reply is out, or [`Call::release_lines`].
    pub fn hold_lines(&self) {
        self.ties.holds_lines.set(true);
    }

    /// Has the session read on.
    pub fn release_lines(&self) {
        self.ties.holds_lines.set(false);
        // The session looks at it before it waits, and waits for what this fills.
        self.outbox.wake();
    }

    /// The process's end of what `input` brings for this request.
    pub fn feed(&self) -> Feed {
        let (feeder, feed) = feed::channel();
        self.ties.feeder.replace(Some(feeder));
        feed
    }

    /// The other end, for another use.
    pub fn take_feeder(&self) -> Option<Feeder> {
        self.ties.feeder.take()
    }

    /// Has the connection become a process's streams, right behind the reply.
    pub fn turn_raw(&self, raw: Raw) {
        self.ties.raw.replace(Some(raw));
    }

    /// Has a container's actor make a change, of which nothing is told but whose it was.
    pub async fn change<M>(&self, child: Child, message: M) -> Result<Line, Refusal>
    where
        M: Message<Result = Result<(), Refusal>> + Send + 'static,
        Container: Handler<M>,
    {
        let view = child.view.clone();
        self.finish(async move { ask(&child, message).await? }).await?;
        let name = view.borrow().name.clone();
        Ok(Line::ok(&CHANGED, &[&name]))
    }

    /// Does a change: once begun it is finished, whether or not the asker stays to hear of it.
    pub async fn finish<T: 'static>(
        &self,
        change: impl Future<Output = Result<T, Refusal>> + 'static,
    ) -> Result<T, Refusal> {
        self.changing.set(true);
        let done = actix_rt::spawn(change).await;
        self.changing.set(false);
        done.unwrap_or_else(|e| Err(Refusal::internal(format_args!("a defect ended this request: {e}"))))
    }
}
