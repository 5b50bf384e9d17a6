//! The actor of one container: hears what is asked and what happened, lets the state machine decide, and sets effects
//! going. It shows itself by a [`View`] that is replaced at every change. What outlives it is its [`Estate`].

mod again;
mod ask;
mod console;
pub mod copy;
pub mod devices;
mod effects;
mod environment;
mod estate;
mod etc;
pub mod exec;
pub mod feed;
mod fill;
pub mod follow;
mod freeze;
pub mod health;
pub mod layer;
pub mod limits;
pub mod log;
pub mod log_files;
pub mod mount_points;
mod networks;
mod phase;
pub mod plan;
pub mod processes;
mod program;
pub mod propagation;
pub mod raw;
pub mod restart;
mod rootfs;
mod rotation;
pub mod seccomp;
pub mod security;
mod spec;
pub mod state;
mod stop;
pub mod storage;
mod update;
pub mod usage;
pub(crate) mod user;
pub mod userns;
pub mod view;
pub mod volumes;
mod works;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::prelude::*;
use tokio::sync::{Mutex, oneshot, watch};

pub use self::ask::{Attach, Close, Hold, Inspect, Kill, Pause, Remove, Resize, Resume, Start, Stop};
use self::effects::Exit;
pub use self::estate::Estate;
use self::estate::{Live, News, Outcome};
use self::health::Monitor;
pub use self::networks::{Connect, Disconnect};
use self::plan::Plan;
use self::state::{Event, State};
pub use self::update::Update;
pub use self::view::View;
use crate::events::{Bus, Kind};
use crate::fault;
use crate::id::ContainerId;
use crate::link::DeathGuard;
use crate::network::Before;
use crate::refusal::Refusal;
use crate::undo::Ground;

/// How many messages wait for one container; senders that await are held up by it.
const MAILBOX: usize = 64;

/// What a container tells its keeper.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub enum Word {
    /// Its name is free for another, though something of it may still be removed.
    LetGo(ContainerId),
    /// Its actor is gone.
    Died {
        /// Whose.
        who: ContainerId,
        /// It panicked, rather than ended.
        panicked: bool,
    },
}

/// Brings a word to the keeper: into its mailbox before this returns, so that whoever sees the container gone and asks for its
/// name comes behind.
pub type Keeper = Rc<dyn Fn(Word)>;

/// A container.
pub struct Container {
    estate: Rc<Estate>,
    /// As in the estate.
    plan: Arc<Plan>,
    ground: Ground,
    bus: Bus,
    keeper: Keeper,
    /// As in the estate.
    state: State,
    /// The estate's.
    view: watch::Sender<Arc<View>>,
    /// Held by the update that is being made.
    updates: Arc<Mutex<()>>,
    starters: Vec<oneshot::Sender<Result<Arc<View>, Refusal>>>,
    preparers: Vec<oneshot::Sender<Result<(), Refusal>>>,
    pausers: Vec<oneshot::Sender<Result<(), Refusal>>>,
    /// The timer for the end of a stop's patience.
    patience: Option<SpawnHandle>,
    /// The timer for its restart by itself.
    rest: Option<SpawnHandle>,
    /// Its health, where it has a check.
    monitor: Option<Box<Monitor>>,
    /// It succeeds too many that panicked, and leaves the container alone.
    pub is_given_up: bool,
    _guard: DeathGuard,
}

impl Container {
    /// The actor for a container of which there is `estate`. `prepared` hears when it is made, or why it is not; a successor
    /// has nobody to tell that.
    pub fn new(
        estate: Rc<Estate>,
        ground: Ground,
        bus: Bus,
        keeper: Keeper,
        prepared: Option<oneshot::Sender<Result<(), Refusal>>>,
    ) -> Self {
        let (plan, state, view) = (estate.plan(), estate.state(), estate.view.clone());
        let (who, told) = (plan.id.clone(), keeper.clone());
        let guard = DeathGuard::new(move |panicked| told(Word::Died { who, panicked }));
        let monitor = plan.health.clone().map(|check| Box::new(Monitor::new(check)));
        Self {
            estate,
            plan,
            ground,
            bus,
            keeper,
            state,
            view,
            updates: Arc::default(),
            starters: Vec::new(),
            preparers: prepared.into_iter().collect(),
            pausers: Vec::new(),
            patience: None,
            rest: None,
            monitor,
            is_given_up: false,
            _guard: guard,
        }
    }

    /// Takes an event in: decide, show, act.
    fn apply(&mut self, event: &Event, ctx: &mut Context<Self>) -> Result<(), Refusal> {
        let effects = self.state.step(event).map_err(|refusal| refusal.within(&self.plan.name))?;
        self.estate.decide(&self.state, effects);
        self.change_view(|_| {});
        self.work_off(ctx);
        Ok(())
    }

    /// The same for what happened by itself, which cannot be refused.
    fn happened(&mut self, event: &Event, ctx: &mut Context<Self>) {
        if let Err(refusal) = self.apply(event, ctx) {
            ::log::error!("{event:?}: {refusal}");
        }
    }

    fn change_view(&self, change: impl FnOnce(&mut View)) {
        let (phase, goes_on, restarts) = (self.state.phase, self.state.goes_on(), self.state.restarted);
        self.view.send_modify(|view| {
            let view = Arc::make_mut(view);
            change(view);
            (view.phase, view.goes_on, view.restarts) = (phase, goes_on, restarts);
        });
    }

    /// Changes what it is.
    fn replan(&mut self, change: impl FnOnce(&mut Plan)) {
        change(Arc::make_mut(&mut self.plan));
        self.estate.plan.replace(self.plan.clone());
    }

    /// What came of work that was under way.
    fn hear(&mut self, outcome: Outcome, ctx: &mut Context<Self>) {
        match outcome {
            Outcome::Prepared(result) => self.prepared(&result, ctx),
            Outcome::Launched(result) => self.launched(result, ctx),
            Outcome::Ended(exit) => self.ended(exit, ctx),
            Outcome::Released => self.released(ctx),
            Outcome::Reaped => {
                fault::panic_at("reaped");
                self.happened(&Event::Reaped, ctx);
            }
            Outcome::Freed => self.happened(&Event::Freed, ctx),
        }
    }

    fn prepared(&mut self, result: &Result<(), Refusal>, ctx: &mut Context<Self>) {
        fault::panic_at("prepared");
        self.estate.mark.set(self.estate.journal.borrow().mark());
        if result.is_ok() {
            self.tell("create", vec![("image", self.plan.image.clone())]);
        }
        self.happened(if result.is_ok() { &Event::Prepared } else { &Event::PrepareFailed }, ctx);
        for asker in self.preparers.drain(..) {
            self.estate.is_told.set(asker.send(result.clone()).is_ok());
        }
        if !self.estate.is_told.get() {
            self.take_back(ctx);
        }
    }

    fn launched(&mut self, result: Result<(), Refusal>, ctx: &mut Context<Self>) {
        fault::panic_at("launched");
        let run = self.estate.run.borrow().clone();
        let begun = result.and_then(|()| run.ok_or_else(|| Refusal::internal("a run that began is not known")));
        let answer = match begun {
            Ok(run) => {
                self.show_run(&run);
                self.watch_over(&run, ctx);
                self.tell("start", Vec::new());
                self.health_begins();
                self.happened(&Event::Launched, ctx);
                Ok(self.view.borrow().clone())
            }
            Err(refusal) => {
                self.tell_failed_restart(&refusal);
                self.happened(&Event::LaunchFailed, ctx);
                Err(refusal)
            }
        };
        self.answer_starters(&answer);
    }

    fn answer_starters(&mut self, answer: &Result<Arc<View>, Refusal>) {
        for asker in self.starters.drain(..) {
            // An asker that has gone is no failure.
            let _ = asker.send(answer.clone());
        }
    }

    fn show_run(&self, run: &Live) {
        self.estate.before.replace(Some(Before::of(&run.attachment)));
        self.change_view(|view| {
            view.pid = Some(run.init.pid);
            view.join(&run.attachment);
            view.started = Some(run.started);
            (view.exit, view.oom, view.finished) = (None, false, None);
        });
    }

    fn ended(&mut self, exit: Exit, ctx: &mut Context<Self>) {
        fault::panic_at("ended");
        let ran = self.estate.run.borrow().as_ref().map_or(Duration::ZERO, |run| run.began.elapsed());
        self.health_ends();
        self.change_view(|view| {
            (view.exit, view.oom, view.finished) = (Some(exit.code), exit.oom, Some(SystemTime::now()));
            view.pid = None;
        });
        self.happened(&Event::Ended { failed: exit.code != 0, ran }, ctx);
    }

    fn released(&mut self, ctx: &mut Context<Self>) {
        fault::panic_at("released");
        self.estate.run.replace(None);
        self.estate.console.hang_up();
        self.change_view(View::leave);
        let view = self.view.borrow().clone();
        let exit = view.exit.map_or_else(String::new, |code| code.to_string());
        let oom = if view.oom { "yes" } else { "no" };
        self.tell("exit", vec![("exit", exit), ("oom", oom.to_owned())]);
        self.happened(&Event::Released, ctx);
    }

    fn let_go(&self) {
        if self.estate.kept.take().is_none() {
            // A predecessor has told it.
            return;
        }
        self.tell("remove", Vec::new());
        (self.keeper)(Word::LetGo(self.plan.id.clone()));
    }

    fn tell(&self, action: &'static str, details: Vec<(&'static str, String)>) {
        let id = ("id", self.plan.id.to_string());
        let details = std::iter::once(id).chain(details).collect();
        self.bus.publish(Kind::Container, self.plan.name.as_str(), action, details);
    }
}

impl Actor for Container {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.add_stream(self.estate.news());
        match self.preparers.is_empty() {
            true if self.is_given_up => self.give_up(ctx),
            true => self.resume(ctx),
            false => self.prepare(),
        }
    }
}

impl StreamHandler<News> for Container {
    fn handle(&mut self, _: News, ctx: &mut Context<Self>) {
        while let Some(outcome) = self.estate.outcome() {
            self.hear(outcome, ctx);
            self.estate.settle();
        }
    }
}
