//! The actor of one container: hears what is asked and what happened, lets the state machine decide, and sets effects
//! going. It shows itself by a [`View`] that is replaced at every change.

mod again;
mod ask;
mod console;
pub mod copy;
pub mod devices;
mod effects;
mod environment;
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

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use actix::prelude::*;
use tokio::sync::{Mutex, oneshot, watch};

pub use self::ask::{Attach, Hold, Inspect, Kill, Pause, Remove, Resize, Resume, Start, Stop};
use self::console::Console;
use self::effects::{Exit, Init, Run, SharedJournal};
use self::health::{Look, Monitor};
use self::log_files::LogFiles;
pub use self::networks::{Connect, Disconnect};
use self::plan::{Kept, Plan};
use self::state::{Effect, Event, State};
pub use self::update::Update;
pub use self::view::View;
use crate::events::{Bus, Kind};
use crate::id::ContainerId;
use crate::journal::{Journal, Step};
use crate::link::{DeathGuard, Died};
use crate::network::Before;
use crate::refusal::Refusal;
use crate::undo::Ground;

/// How many messages wait for one container; senders that await are held up by it.
const MAILBOX: usize = 64;

/// Told to the keeper when a container's name is free for another, though something of it may still be removed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LetGo {
    /// Whose.
    pub id: ContainerId,
}

/// What an effect came back with.
enum Outcome {
    Prepared(Result<(), Refusal>),
    Launched(Result<Box<Run>, Refusal>),
    Frozen(Result<(), Refusal>),
    Ended(Exit),
    Released(Vec<Step>),
    Reaped,
    Freed,
    Looked(Option<Look>),
}

/// Those above a container that it answers to.
#[derive(Clone)]
pub struct Keeper {
    /// Hears that a name is free.
    pub let_go: Recipient<LetGo>,
    /// Hears that the actor is gone.
    pub died: Recipient<Died<ContainerId>>,
}

/// A container.
pub struct Container {
    plan: Arc<Plan>,
    /// Held while a run may need it: an image or volume that a container uses is not removed.
    kept: Option<Kept>,
    ground: Ground,
    bus: Bus,
    keeper: Keeper,
    console: Rc<Console>,
    journal: SharedJournal,
    /// How much of the journal belongs to the container rather than to a run.
    mark: usize,
    state: State,
    view: watch::Sender<Arc<View>>,
    logs: Arc<LogFiles>,
    init: Option<Init>,
    /// Held by whoever mounts its files while it does not run, and by its start.
    files: Arc<Mutex<()>>,
    /// Held by the update that is being made.
    updates: Arc<Mutex<()>>,
    /// What the last run left for the runtime to forget.
    unreaped: Vec<Step>,
    starters: Vec<oneshot::Sender<Result<Arc<View>, Refusal>>>,
    preparers: Vec<oneshot::Sender<Result<(), Refusal>>>,
    pausers: Vec<oneshot::Sender<Result<(), Refusal>>>,
    stop_timeout: Duration,
    /// When a stop loses its patience, and the timer for it.
    deadline: Option<(Instant, SpawnHandle)>,
    /// When the run began.
    began: Instant,
    /// The timer for its restart by itself.
    rest: Option<SpawnHandle>,
    /// What the last run had of the network.
    before: Option<Before>,
    /// Its health, where it has a check.
    monitor: Option<Box<Monitor>>,
    _guard: DeathGuard<ContainerId>,
}

impl Container {
    /// A container of `plan`, keeping its journal at `journal`. `prepared` hears when it is made, or why it is not.
    pub fn new(
        (plan, kept): (Plan, Kept),
        journal: &Path,
        ground: Ground,
        bus: Bus,
        keeper: Keeper,
        prepared: oneshot::Sender<Result<(), Refusal>>,
    ) -> Result<Self, Refusal> {
        let journal = Rc::new(RefCell::new(Journal::create(journal)?));
        let state = State::new(plan.rules());
        let guard = DeathGuard::new(plan.id.clone(), keeper.died.clone());
        let view = watch::Sender::new(Arc::new(View::first(&plan)));
        let monitor = plan.health.clone().map(|check| Box::new(Monitor::new(check)));
        let stop_timeout = plan.stop_timeout;
        let logs = LogFiles::new(plan.places.log());
        Ok(Self {
            console: Rc::new(Console::new(plan.wishes.tty)),
            plan: Arc::new(plan),
            kept: Some(kept),
            ground,
            bus,
            keeper,
            journal,
            mark: 0,
            state,
            view,
            logs,
            init: None,
            files: Arc::default(),
            updates: Arc::default(),
            unreaped: Vec::new(),
            starters: Vec::new(),
            preparers: vec![prepared],
            pausers: Vec::new(),
            stop_timeout,
            deadline: None,
            began: Instant::now(),
            rest: None,
            before: None,
            monitor,
            _guard: guard,
        })
    }

    /// Where its picture is seen, now and at every change; it outlives the actor.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// What it writes, to be read; it outlives the actor.
    pub fn logs(&self) -> Arc<LogFiles> {
        self.logs.clone()
    }

    /// Takes an event in: decide, show, act.
    fn apply(&mut self, event: &Event, ctx: &mut Context<Self>) -> Result<(), Refusal> {
        let effects = self.state.step(event).map_err(|refusal| refusal.within(&self.plan.name))?;
        self.change_view(|_| {});
        for effect in effects {
            self.act(effect, ctx);
        }
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

    fn act(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        ::log::debug!("{}: {effect:?}", self.plan.name);
        let (plan, journal, ground) = (self.plan.clone(), self.journal.clone(), self.ground.clone());
        match effect {
            Effect::Launch => {
                let (before, console, files) = (self.before.clone(), self.console.clone(), self.files.clone());
                let launch = effects::launch(plan, before, console, journal, ground, files);
                self.spawn(ctx, async { Outcome::Launched(launch.await.map(Box::new)) });
            }
            Effect::Release => {
                let mark = self.mark;
                self.spawn(ctx, async move { Outcome::Released(effects::release(journal, mark, ground).await) });
            }
            Effect::Reap => {
                let rest = std::mem::take(&mut self.unreaped);
                self.spawn(ctx, async {
                    effects::reap(rest, journal, ground).await;
                    Outcome::Reaped
                });
            }
            Effect::RefuseStart => {
                self.answer_starters(&Err(Refusal::cancelled("it was stopped before it was started")));
            }
            Effect::LetGo => self.let_go(),
            Effect::Free => {
                let logs = self.logs.clone();
                self.spawn(ctx, async {
                    effects::free(journal, ground, logs).await;
                    Outcome::Freed
                });
            }
            Effect::Signal(signal) => self.signal(signal),
            Effect::AskToStop => self.ask_to_stop(ctx),
            Effect::CallOff => self.call_off(ctx),
            Effect::Freeze => self.freeze(ctx),
            Effect::Thaw => self.thaw(),
            Effect::Watch => self.watch_health(ctx),
            Effect::Unwatch => self.leave_health(ctx),
            Effect::Rest(wait) => self.rest(wait, ctx),
            Effect::CancelRest => self.cancel_rest(ctx),
            Effect::Vanish => ctx.stop(),
        }
    }

    fn spawn(&self, ctx: &mut Context<Self>, effect: impl Future<Output = Outcome> + 'static) {
        ctx.spawn(effect.into_actor(self).map(|outcome, actor, ctx| actor.hear(outcome, ctx)));
    }

    /// An effect came back.
    fn hear(&mut self, outcome: Outcome, ctx: &mut Context<Self>) {
        match outcome {
            Outcome::Prepared(result) => self.prepared(&result, ctx),
            Outcome::Launched(result) => self.launched(result, ctx),
            Outcome::Frozen(result) => self.frozen(&result, ctx),
            Outcome::Ended(exit) => self.ended(exit, ctx),
            Outcome::Released(rest) => self.released(rest, ctx),
            Outcome::Reaped => self.happened(&Event::Reaped, ctx),
            Outcome::Freed => self.happened(&Event::Freed, ctx),
            Outcome::Looked(found) => self.looked(found, ctx),
        }
    }

    fn prepared(&mut self, result: &Result<(), Refusal>, ctx: &mut Context<Self>) {
        self.mark = self.journal.borrow().mark();
        if result.is_ok() {
            self.tell("create", vec![("image", self.plan.image.clone())]);
        }
        self.happened(if result.is_ok() { &Event::Prepared } else { &Event::PrepareFailed }, ctx);
        for asker in self.preparers.drain(..) {
            // An asker that has gone is no failure.
            let _ = asker.send(result.clone());
        }
    }

    fn launched(&mut self, result: Result<Box<Run>, Refusal>, ctx: &mut Context<Self>) {
        let answer = match result {
            Ok(run) => {
                self.show_run(&run);
                self.watch_over(&run, ctx);
                self.init = Some(run.init.clone());
                let (plan, ground, logs) = (self.plan.clone(), self.ground.clone(), self.logs.clone());
                self.spawn(ctx, async { Outcome::Ended(effects::watch(*run, plan, ground, logs).await) });
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

    fn show_run(&mut self, run: &Run) {
        let (attachment, pid) = (&run.attachment, run.init.pid);
        self.began = Instant::now();
        self.before = Some(Before::of(attachment));
        self.change_view(|view| {
            view.pid = Some(pid);
            view.join(attachment);
            view.started = Some(SystemTime::now());
            (view.exit, view.oom, view.finished) = (None, false, None);
        });
    }

    fn ended(&mut self, exit: Exit, ctx: &mut Context<Self>) {
        self.init = None;
        self.health_ends();
        self.change_view(|view| {
            (view.exit, view.oom, view.finished) = (Some(exit.code), exit.oom, Some(SystemTime::now()));
            view.pid = None;
        });
        self.happened(&Event::Ended { failed: exit.code != 0, ran: self.began.elapsed() }, ctx);
    }

    fn released(&mut self, rest: Vec<Step>, ctx: &mut Context<Self>) {
        self.unreaped = rest;
        self.console.hang_up();
        self.change_view(View::leave);
        let view = self.view.borrow().clone();
        let exit = view.exit.map_or_else(String::new, |code| code.to_string());
        let oom = if view.oom { "yes" } else { "no" };
        self.tell("exit", vec![("exit", exit), ("oom", oom.to_owned())]);
        self.happened(&Event::Released, ctx);
    }

    fn let_go(&mut self) {
        self.kept = None;
        self.tell("remove", Vec::new());
        self.keeper.let_go.do_send(LetGo { id: self.plan.id.clone() });
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
        let (plan, journal) = (self.plan.clone(), self.journal.clone());
        self.spawn(ctx, async { Outcome::Prepared(effects::prepare(plan, journal).await) });
    }
}
