//! What there is of a container beside its actor, and outlives one that panics: what it is, what it holds, what was decided
//! last, and the work that is under way for it.
//!
//! An actor dies with all that it began and with every message to it. So the work of a container is done in tasks of their
//! own, which nothing cuts short: half a start would be known to nobody. What came of it waits here until an actor has
//! heard it to the end; what the state machine decided stands here until it is done. A successor takes both up where they
//! are. What it then hears or does a second time is no news to the state machine.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::FutureExt;
use futures::Stream;
use tokio::sync::{Mutex, Notify, watch};

use super::console::Console;
use super::effects::{Exit, Init, Run, SharedJournal};
use super::log_files::LogFiles;
use super::plan::{Kept, Plan};
use super::state::{Effect, State};
use super::view::View;
use crate::journal::{Journal, Step};
use crate::network::{Attachment, Before};
use crate::refusal::Refusal;

/// Work that is done for a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Its directories are made.
    Prepare,
    /// A run is made.
    Launch,
    /// The run's end is waited for.
    Watch,
    /// What the run held is freed.
    Release,
    /// The runtime forgets the run.
    Reap,
    /// Everything that is left is removed.
    Free,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Of [`Work::Prepare`].
    Prepared(Result<(), Refusal>),
    /// Of [`Work::Launch`]: [`Estate::run`] tells of the run.
    Launched(Result<(), Refusal>),
    /// Of [`Work::Watch`].
    Ended(Exit),
    /// Of [`Work::Release`].
    Released,
    /// Of [`Work::Reap`].
    Reaped,
    /// Of [`Work::Free`].
    Freed,
}

impl Outcome {
    /// Of which work.
    fn work(&self) -> Work {
        match self {
            Self::Prepared(_) => Work::Prepare,
            Self::Launched(_) => Work::Launch,
            Self::Ended(_) => Work::Watch,
            Self::Released => Work::Release,
            Self::Reaped => Work::Reap,
            Self::Freed => Work::Free,
        }
    }
}

/// The run that is on.
#[derive(Clone)]
pub struct Live {
    /// Its first process.
    pub init: Init,
    /// Its place on the network.
    pub attachment: Attachment,
    /// When it began.
    pub began: Instant,
    /// The same by the clock.
    pub started: SystemTime,
}

impl Live {
    /// A run that begins now.
    pub fn of(run: &Run) -> Self {
        let (init, attachment) = (run.init.clone(), run.attachment.clone());
        Self { init, attachment, began: Instant::now(), started: SystemTime::now() }
    }
}

/// What outlives a container's actor. One thread's.
pub struct Estate {
    /// What it is.
    pub plan: RefCell<Arc<Plan>>,
    /// What it keeps others from removing, while a run may need it.
    pub kept: RefCell<Option<Kept>>,
    /// Its standard streams.
    pub console: Rc<Console>,
    /// What was made for it on the host.
    pub journal: SharedJournal,
    /// How much of the journal belongs to the container rather than to a run.
    pub mark: Cell<usize>,
    /// Its picture.
    pub view: watch::Sender<Arc<View>>,
    /// What it writes.
    pub logs: Arc<LogFiles>,
    /// Held by whoever mounts its files while it does not run, and by its start.
    pub files: Arc<Mutex<()>>,
    /// The run that is on, or was last.
    pub run: RefCell<Option<Live>>,
    /// What the last run had of the network.
    pub before: RefCell<Option<Before>>,
    /// What the last run left for the runtime to forget.
    pub unreaped: RefCell<Vec<Step>>,
    /// How long a stop waits until it kills.
    pub stop_timeout: Cell<Duration>,
    /// When the stop that is under way loses its patience.
    pub deadline: Cell<Option<Instant>>,
    /// Whoever asked for it knows what became of that.
    pub is_told: Cell<bool>,
    /// Nothing of it is left, and its last actor has ended in peace.
    pub is_gone: Cell<bool>,
    state: RefCell<State>,
    todo: RefCell<VecDeque<Effect>>,
    under_way: RefCell<Vec<Work>>,
    outcomes: RefCell<VecDeque<Outcome>>,
    /// Told of each outcome.
    news: Notify,
    /// Told when one was heard to the end.
    heard: Notify,
}

impl Estate {
    /// That of a container that is about to be made, with its journal at `journal`.
    pub fn new((plan, kept): (Plan, Kept), journal: &Path) -> Result<Rc<Self>, Refusal> {
        Ok(Rc::new(Self {
            console: Rc::new(Console::new(plan.wishes.tty)),
            journal: Rc::new(RefCell::new(Journal::create(journal)?)),
            view: watch::Sender::new(Arc::new(View::first(&plan))),
            logs: LogFiles::new(plan.places.log()),
            stop_timeout: Cell::new(plan.stop_timeout),
            deadline: Cell::new(None),
            state: RefCell::new(State::new(plan.rules())),
            plan: RefCell::new(Arc::new(plan)),
            kept: RefCell::new(Some(kept)),
            mark: Cell::new(0),
            files: Arc::default(),
            run: RefCell::default(),
            before: RefCell::default(),
            unreaped: RefCell::default(),
            is_told: Cell::new(false),
            is_gone: Cell::new(false),
            todo: RefCell::default(),
            under_way: RefCell::default(),
            outcomes: RefCell::default(),
            news: Notify::new(),
            heard: Notify::new(),
        }))
    }

    /// The plan as it is now.
    pub fn plan(&self) -> Arc<Plan> {
        self.plan.borrow().clone()
    }

    /// What was decided last.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Notes what was decided, and what is to be done about it.
    pub fn decide(&self, state: &State, effects: Vec<Effect>) {
        self.state.replace(state.clone());
        self.todo.borrow_mut().extend(effects);
    }

    /// The next thing to be done.
    pub fn next_effect(&self) -> Option<Effect> {
        self.todo.borrow().front().copied()
    }

    /// It is done.
    pub fn done(&self) {
        self.todo.borrow_mut().pop_front();
    }

    /// Nothing more of it is to be done.
    pub fn drop_effects(&self) {
        self.todo.borrow_mut().clear();
    }

    /// Begins work in a task of its own, unless it is under way. Where the work panics, `otherwise` is what came of it.
    pub fn begin(self: &Rc<Self>, work: impl Future<Output = Outcome> + 'static, otherwise: Outcome) {
        let which = otherwise.work();
        if self.under_way.borrow().contains(&which) {
            return;
        }
        self.under_way.borrow_mut().push(which);
        let estate = self.clone();
        actix_rt::spawn(async move {
            let outcome = AssertUnwindSafe(work).catch_unwind().await.unwrap_or(otherwise);
            estate.outcomes.borrow_mut().push_back(outcome);
            estate.news.notify_one();
        });
    }

    /// The first outcome that was not heard to the end.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcomes.borrow().front().cloned()
    }

    /// It was heard to the end.
    pub fn settle(&self) {
        if let Some(outcome) = self.outcomes.borrow_mut().pop_front() {
            self.under_way.borrow_mut().retain(|work| *work != outcome.work());
            self.heard.notify_waiters();
        }
    }

    /// Tells each time that there may be outcomes; at once where there are some.
    pub fn news(self: &Rc<Self>) -> impl Stream<Item = News> + use<> {
        self.news.notify_one();
        futures::stream::unfold(self.clone(), |estate| async move {
            estate.news.notified().await;
            Some((News, estate))
        })
    }

    /// Waits until nothing is under way that writes in the journal, but for `own`.
    pub async fn alone(&self, own: Work) {
        loop {
            // Listened for before it is looked at, so that nothing is missed in between.
            let heard = self.heard.notified();
            let is_other = |work: &Work| *work != own && *work != Work::Watch;
            if !self.under_way.borrow().iter().any(is_other) {
                return;
            }
            heard.await;
        }
    }
}

/// There may be outcomes.
pub struct News;
