//! What a container's state machine asks for, set going: work in tasks that outlive the actor, signals and timers of its
//! own; and how a successor goes on.

use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use futures::FutureExt as _;

use super::effects::{Run, SharedJournal};
use super::estate::{Estate, Live, Outcome, Work};
use super::state::{Effect, Event};
use super::{Container, effects};
use crate::fault;
use crate::refusal::Refusal;
use crate::undo::Ground;

/// How long until what could not be removed of a container is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// What came of work in which a defect showed.
fn defect() -> Refusal {
    Refusal::internal("a defect ended this work; try again")
}

impl Container {
    /// Does what is to be done. What was not done to its end is done again by a successor.
    pub(super) fn work_off(&mut self, ctx: &mut Context<Self>) {
        while let Some(effect) = self.estate.next_effect() {
            self.act(effect, ctx);
            self.estate.done();
        }
    }

    fn act(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        ::log::debug!("{}: {effect:?}", self.plan.name);
        match effect {
            Effect::Launch => self.launch(),
            Effect::Release => self.release(),
            Effect::Reap => self.reap(),
            Effect::Free => self.free(),
            Effect::RefuseStart => {
                self.answer_starters(&Err(Refusal::cancelled("it was stopped before it was started")));
            }
            Effect::LetGo => self.let_go(),
            Effect::Signal(signal) => {
                fault::panic_at("act-signal");
                self.signal(signal);
            }
            Effect::AskToStop => self.ask_to_stop(ctx),
            Effect::CallOff => self.call_off(ctx),
            Effect::Freeze => self.freeze(ctx),
            Effect::Thaw => self.thaw(),
            Effect::Watch => self.watch_health(ctx),
            Effect::Unwatch => self.leave_health(ctx),
            Effect::Rest(wait) => self.rest(wait, ctx),
            Effect::CancelRest => self.cancel_rest(ctx),
            Effect::Vanish => {
                self.estate.is_gone.set(true);
                ctx.stop();
            }
        }
    }

    pub(super) fn prepare(&self) {
        let work = effects::prepare(self.plan.clone(), self.estate.journal.clone());
        self.estate.begin(work.map(Outcome::Prepared), Outcome::Prepared(Err(defect())));
    }

    fn launch(&self) {
        fault::panic_at("act-launch");
        let (estate, ground, before) = (self.estate.clone(), self.ground.clone(), self.estate.before.borrow().clone());
        let work = async move {
            let launched = effects::launch(&estate, before, &ground).await;
            Outcome::Launched(launched.map(|run| watch(&estate, run, &ground)))
        };
        self.estate.begin(work, Outcome::Launched(Err(defect())));
    }

    fn release(&self) {
        fault::panic_at("act-release");
        let (estate, ground) = (self.estate.clone(), self.ground.clone());
        let work = async move {
            let rest = effects::release(estate.journal.clone(), estate.mark.get(), ground).await;
            estate.unreaped.replace(rest);
            Outcome::Released
        };
        self.estate.begin(work, Outcome::Released);
    }

    fn reap(&self) {
        let (estate, ground) = (self.estate.clone(), self.ground.clone());
        let work = async move {
            effects::reap(estate.unreaped.take(), estate.journal.clone(), ground).await;
            Outcome::Reaped
        };
        self.estate.begin(work, Outcome::Reaped);
    }

    fn free(&self) {
        let (estate, ground) = (self.estate.clone(), self.ground.clone());
        let work = async move {
            // Of one that has failed there may be work under way still.
            estate.alone(Work::Free).await;
            effects::reap(estate.unreaped.take(), estate.journal.clone(), ground.clone()).await;
            // Whoever reads the log reads on.
            estate.logs.hold().await;
            if !effects::free(&estate.journal, &ground).await {
                actix_rt::spawn(free_later(estate.journal.clone(), ground));
            }
            Outcome::Freed
        };
        self.estate.begin(work, Outcome::Freed);
    }

    /// Goes on where a predecessor ended: by what it had decided, and what is true of the run.
    pub(super) fn resume(&mut self, ctx: &mut Context<Self>) {
        let run = self.estate.run.borrow().clone();
        if let Some(run) = run.filter(|run| run.init.held.is_there()) {
            self.watch_over(&run, ctx);
            self.health_begins();
        }
        self.happened(&Event::Succeeded, ctx);
        if !self.estate.is_told.get() {
            self.take_back(ctx);
        }
    }

    /// Whoever asked for it was told to try again, and is to find its name free.
    pub(super) fn take_back(&mut self, ctx: &mut Context<Self>) {
        self.happened(&Event::Remove { force: true }, ctx);
    }

    /// Goes on no further: there were too many predecessors.
    pub(super) fn give_up(&mut self, ctx: &mut Context<Self>) {
        self.estate.drop_effects();
        self.happened(&Event::GivenUp, ctx);
    }

    /// Starts something that ends with the actor, and hears what came of it.
    pub(super) fn spawn<T: 'static>(
        &self,
        ctx: &mut Context<Self>,
        work: impl Future<Output = T> + 'static,
        hear: impl FnOnce(&mut Self, T, &mut Context<Self>) + 'static,
    ) {
        ctx.spawn(work.into_actor(self).map(|found, actor, ctx| hear(actor, found, ctx)));
    }
}

/// Tries again what failed, for the moment perhaps, as long as the daemon lives; behind that it is the next start's.
async fn free_later(journal: SharedJournal, ground: Ground) {
    loop {
        tokio::time::sleep(fault::deadline(AGAIN)).await;
        if effects::free(&journal, &ground).await {
            break;
        }
    }
}

/// Enters a run that has begun, and waits for its end.
fn watch(estate: &Rc<Estate>, run: Run, ground: &Ground) {
    let live = Live::of(&run);
    let init = live.init.clone();
    estate.run.replace(Some(live));
    let watched = effects::watch(run, estate.plan(), ground.clone(), estate.logs.clone());
    let work = async move {
        match std::panic::AssertUnwindSafe(watched).catch_unwind().await {
            Ok(exit) => Outcome::Ended(exit),
            // The container itself is there still, and its end can be seen without its conmon.
            Err(_) => Outcome::Ended(effects::unwatched_end(&init).await),
        }
    };
    estate.begin(work, Outcome::Ended(effects::LOST));
}
