//! What a container can be asked: the messages of its actor, and how each becomes an event.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::exec::Output;
use super::feed::Feed;
use super::plan::{Plan, Source};
use super::state::{self, Event, Phase};
use super::{Container, View};
use crate::fault;
use crate::id::Signal;
use crate::refusal::Refusal;
use crate::tools::conmon::Ctl;
use crate::tools::terminal::Size;

/// Asks a container to start. Answered when its process runs, or could not be made to.
#[derive(Message)]
#[rtype(result = "Result<Arc<View>, Refusal>")]
pub struct Start;

/// Asks a container to stop, with its stop signal and, when `timeout` has passed, `KILL`. Answered at once; the end is
/// seen in the view.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop {
    /// In place of the container's own.
    pub timeout: Option<Duration>,
}

/// Tells a container that the daemon is to end: as [`Stop`], then its removal, and no start from now on. Answered at once.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct Close {
    /// In place of the container's own stop timeout.
    pub timeout: Option<Duration>,
}

/// Sends a signal to a container's first process.
#[derive(Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Kill {
    /// Which.
    pub signal: Signal,
}

/// Freezes every process of a container. Answered when they are frozen, or could not be.
#[derive(Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Pause;

/// Lets a frozen container go on.
#[derive(Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Resume;

/// Asks a container to go. Answered at once; the end is seen in the view.
#[derive(Message, Clone)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Remove {
    /// Even where it runs: it is killed first.
    pub force: bool,
}

/// Asks to be at a container's standard streams, from now on or, where it has not run yet, from its first byte. Answered
/// with what it writes, where that is wanted.
#[derive(Message)]
#[rtype(result = "Result<Option<Output>, Refusal>")]
pub struct Attach {
    /// What it is to read.
    pub feed: Option<Feed>,
    /// What it writes is wanted.
    pub output: bool,
}

/// Gives a container's terminal a size.
#[derive(Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Resize(pub Size);

/// Asks what a container was planned to be.
#[derive(Message)]
#[rtype(result = "Arc<Plan>")]
pub struct Inspect;

/// Asks what a container's root filesystem comes from: whoever holds that keeps it.
#[derive(Message)]
#[rtype(result = "Result<Source, Refusal>")]
pub struct Hold;

impl Handler<Start> for Container {
    type Result = ResponseFuture<Result<Arc<View>, Refusal>>;

    fn handle(&mut self, _: Start, ctx: &mut Context<Self>) -> Self::Result {
        if let Err(refusal) = self.apply(&Event::Start, ctx) {
            return Box::pin(std::future::ready(Err(refusal)));
        }
        let (asker, answer) = oneshot::channel();
        self.starters.push(asker);
        Box::pin(async {
            answer.await.unwrap_or_else(|_| Err(Refusal::internal("the container's actor is gone; try again")))
        })
    }
}

impl Handler<Stop> for Container {
    type Result = ();

    fn handle(&mut self, stop: Stop, ctx: &mut Context<Self>) {
        self.estate.stop_timeout.set(stop.timeout.unwrap_or(self.plan.stop_timeout));
        self.happened(&Event::Stop, ctx);
    }
}

impl Handler<Close> for Container {
    type Result = ();

    fn handle(&mut self, close: Close, ctx: &mut Context<Self>) {
        self.estate.stop_timeout.set(close.timeout.unwrap_or(self.plan.stop_timeout));
        fault::panic_at("close");
        self.happened(&Event::Close, ctx);
    }
}

impl Handler<Kill> for Container {
    type Result = Result<(), Refusal>;

    fn handle(&mut self, kill: Kill, ctx: &mut Context<Self>) -> Self::Result {
        self.apply(&Event::Kill(kill.signal), ctx)
    }
}

impl Handler<Pause> for Container {
    type Result = ResponseFuture<Result<(), Refusal>>;

    fn handle(&mut self, _: Pause, ctx: &mut Context<Self>) -> Self::Result {
        if let Err(refusal) = self.apply(&Event::Pause, ctx) {
            return Box::pin(std::future::ready(Err(refusal)));
        }
        let (asker, answer) = oneshot::channel();
        self.pausers.push(asker);
        Box::pin(async {
            answer.await.unwrap_or_else(|_| Err(Refusal::internal("the container's actor is gone; try again")))
        })
    }
}

impl Handler<Resume> for Container {
    type Result = Result<(), Refusal>;

    fn handle(&mut self, _: Resume, ctx: &mut Context<Self>) -> Self::Result {
        self.apply(&Event::Resume, ctx)
    }
}

impl Handler<Remove> for Container {
    type Result = Result<(), Refusal>;

    fn handle(&mut self, remove: Remove, ctx: &mut Context<Self>) -> Self::Result {
        self.apply(&Event::Remove { force: remove.force }, ctx)
    }
}

impl Handler<Attach> for Container {
    type Result = ResponseFuture<Result<Option<Output>, Refusal>>;

    fn handle(&mut self, Attach { feed, output }: Attach, _: &mut Context<Self>) -> Self::Result {
        let (console, plan, phase) = (self.estate.console.clone(), self.plan.clone(), self.state.phase);
        let refused = match phase {
            Phase::Leaving | Phase::Exited => Some(Refusal::wrong_state("it is not running")),
            Phase::Removing => Some(Refusal::not_found("it is being removed")),
            Phase::Failed => Some(state::failed()),
            _ if feed.is_some() && !plan.wishes.takes_input() => {
                Some(Refusal::wrong_state("it has no standard input; stdin=yes at its making gives it one"))
            }
            _ => None,
        };
        if let Some(refusal) = refused {
            return Box::pin(std::future::ready(Err(refusal.within(&plan.name))));
        }
        let output = output.then(|| console.take());
        if let Some(feed) = feed {
            console.feed(feed);
        }
        // The run is known ahead of its news: who starts it connects those alone who had come by then.
        let runs = self.estate.run.borrow().is_some();
        Box::pin(async move {
            if runs {
                console.connect(&plan.places.bundle).await.map_err(|refusal| refusal.within(&plan.name))?;
            }
            Ok(output)
        })
    }
}

impl Handler<Resize> for Container {
    type Result = Result<(), Refusal>;

    fn handle(&mut self, Resize(size): Resize, _: &mut Context<Self>) -> Self::Result {
        let refused = |refusal: Refusal| refusal.within(&self.plan.name);
        if !self.plan.wishes.tty {
            return Err(refused(Refusal::wrong_state("it has no terminal; tty=yes at its making gives it one")));
        }
        if !self.view.borrow().has_process() {
            return Err(refused(Refusal::wrong_state("it is not running")));
        }
        let told = Ctl::of(&self.plan.places.bundle).resize(size);
        told.map_err(|e| refused(Refusal::io("the terminal's size", &e)))
    }
}

impl Handler<Inspect> for Container {
    type Result = Arc<Plan>;

    fn handle(&mut self, _: Inspect, _: &mut Context<Self>) -> Arc<Plan> {
        self.plan.clone()
    }
}

impl Handler<Hold> for Container {
    type Result = Result<Source, Refusal>;

    fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Self::Result {
        let kept = self.estate.kept.borrow().as_ref().map(|kept| kept.source.clone());
        kept.ok_or_else(|| Refusal::not_found("it is being removed").within(&self.plan.name))
    }
}
