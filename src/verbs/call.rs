//! What a verb is called with: the engine, and the way back to whoever asked.

use std::cell::Cell;
use std::rc::Rc;

use crate::engine::Engine;
use crate::outbox::Outbox;
use crate::refusal::Refusal;
use crate::wire::reply::Line;

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
