//! Every exec that runs, and those that ended less than a minute ago.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{Exec, Output, Wishes};
use crate::container::feed::Feed;
use crate::container::plan::Plan;
use crate::id::ContainerId;
use crate::refusal::Refusal;
use crate::undo::Ground;

/// How many run at once; each is a process of crun and some descriptors.
const RUNNING_MAX: usize = 512;
/// How long the end of one can be asked for.
const KEPT: Duration = Duration::from_secs(60);
/// How many are known at most; more than end in a minute on any machine this is for.
const KNOWN_MAX: usize = 16_384;

/// The execs of the daemon, oldest first.
pub struct Execs {
    known: RefCell<VecDeque<Rc<Exec>>>,
    /// Those that have ended are being forgotten, each in its time.
    fades: Cell<bool>,
    places: Arc<Semaphore>,
}

impl Default for Execs {
    fn default() -> Self {
        Self { known: RefCell::default(), fades: Cell::default(), places: Arc::new(Semaphore::new(RUNNING_MAX)) }
    }
}

impl Execs {
    /// Executes what `wishes` say in the container of `plan`, with `feed` as its input. Answered when the program runs; once
    /// begun it goes on, whether or not somebody takes its output.
    pub async fn start(
        self: Rc<Self>,
        plan: Arc<Plan>,
        wishes: Wishes,
        feed: Option<Feed>,
        ground: Ground,
    ) -> Result<(Rc<Exec>, Output), Refusal> {
        let place = self.places.clone().try_acquire_owned();
        let place =
            place.map_err(|_| Refusal::busy(format_args!("{RUNNING_MAX} execs are running; try again later")))?;
        let name = plan.name.clone();
        let (exec, output, watch) = super::start(plan, wishes, feed, ground).await.map_err(|e| e.within(&name))?;
        let exec = Rc::new(exec);
        self.add(exec.clone());
        let watch = super::let_go_at_end(exec.clone(), watch);
        actix_rt::spawn(async move {
            watch.await;
            drop(place);
            self.fade();
        });
        Ok((exec, output))
    }

    /// The one with that id, or with an id that begins so.
    pub fn find(&self, text: &str) -> Result<Option<Rc<Exec>>, Refusal> {
        if !ContainerId::is_prefix(text) {
            return Ok(None);
        }
        self.forget();
        let known = self.known.borrow();
        let mut matching = known.iter().filter(|exec| exec.id.as_str().starts_with(text));
        match (matching.next(), matching.next()) {
            (Some(_), Some(_)) => {
                Err(Refusal::bad_value(format_args!("{text} is the beginning of several ids; give more of it")))
            }
            (found, _) => Ok(found.cloned()),
        }
    }

    fn add(&self, exec: Rc<Exec>) {
        self.forget();
        self.known.borrow_mut().push_back(exec);
    }

    /// Sees to it that what has ended is forgotten though nobody asks or begins anything any more.
    fn fade(self: Rc<Self>) {
        if self.fades.replace(true) {
            return;
        }
        actix_rt::spawn(async move {
            let ended = |exec: &Rc<Exec>| exec.ended_at().is_some();
            while self.known.borrow().iter().any(ended) {
                tokio::time::sleep(KEPT).await;
                self.forget();
                self.known.borrow_mut().shrink_to_fit();
            }
            self.fades.set(false);
        });
    }

    /// Forgets those that ended long ago, and the oldest that have ended where there are too many.
    fn forget(&self) {
        let mut known = self.known.borrow_mut();
        known.retain(|exec| exec.ended_at().is_none_or(|at| at.elapsed() <= KEPT));
        while known.len() >= KNOWN_MAX
            && let Some(at) = known.iter().position(|exec| exec.ended_at().is_some())
        {
            known.remove(at);
        }
    }
}
