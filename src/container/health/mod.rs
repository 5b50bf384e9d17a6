//! The health of a container: what its check is, what it has found, and when it looks again. One timer for each container
//! that has a check and runs, and none for any other.

pub mod check;
mod probe;
pub mod record;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use actix::prelude::*;
use actix_rt::task::JoinHandle;
use tokio::sync::oneshot;

pub use self::check::Check;
use self::probe::Looked;
pub use self::record::{Health, Look};
use super::Container;
use super::state::Event;

/// What a container with a health check keeps of it.
pub struct Monitor {
    check: Arc<Check>,
    health: Health,
    /// When the run began.
    began: Instant,
    timer: Option<SpawnHandle>,
    /// A look that is under way; it is abandoned by taking the sender away.
    look: Option<Under>,
    /// What is left of one that took too long, and perhaps cannot be ended.
    rest: Option<JoinHandle<()>>,
}

/// A look under way.
struct Under {
    began: Instant,
    wanted: Option<oneshot::Sender<()>>,
}

impl Monitor {
    /// The monitor of a container that has not run yet.
    pub fn new(check: Check) -> Self {
        let check = Arc::new(check);
        Self { check, health: Health::default(), began: Instant::now(), timer: None, look: None, rest: None }
    }
}

impl Container {
    /// A run begins, and nothing is known of its health.
    pub(super) fn health_begins(&mut self) {
        let Some(monitor) = &mut self.monitor else { return };
        monitor.began = Instant::now();
        monitor.health.begin();
        self.show_health();
    }

    /// The run has ended, and its health is no matter.
    pub(super) fn health_ends(&mut self) {
        let Some(monitor) = &mut self.monitor else { return };
        monitor.health.end();
        self.show_health();
    }

    /// Looks when the interval has passed.
    pub(super) fn watch_health(&mut self, ctx: &mut Context<Self>) {
        let Some(monitor) = &mut self.monitor else { return };
        // A look that was abandoned and has not ended yet comes first.
        if monitor.look.is_none() && monitor.timer.is_none() {
            monitor.timer = Some(ctx.run_later(monitor.check.interval, Self::look));
        }
    }

    /// Looks no more, and gives up the look that is under way.
    pub(super) fn leave_health(&mut self, ctx: &mut Context<Self>) {
        let Some(monitor) = &mut self.monitor else { return };
        if let Some(timer) = monitor.timer.take() {
            ctx.cancel_future(timer);
        }
        if let Some(look) = &mut monitor.look {
            look.wanted = None;
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        let (plan, ground) = (self.plan.clone(), self.ground.clone());
        let Some(monitor) = &mut self.monitor else { return };
        let (wanted, abandoned) = oneshot::channel();
        monitor.timer = None;
        monitor.look = Some(Under { began: Instant::now(), wanted: Some(wanted) });
        if monitor.rest.as_ref().is_some_and(|rest| !rest.is_finished()) {
            // There is not to be a second one beside it.
            let now = SystemTime::now();
            let found = Look { start: now, end: now, exit: None, output: "the last one cannot be ended".to_owned() };
            return self.looked(Some(found), ctx);
        }
        let look = probe::look(plan, monitor.check.clone(), ground, abandoned);
        // Goes on to its end where the container is removed meanwhile: what it started is to be reaped.
        let (teller, found) = oneshot::channel();
        actix_rt::spawn(async move {
            let Looked { found, rest } = look.await;
            let _ = teller.send((found, rest.map(actix_rt::spawn)));
        });
        self.spawn(ctx, found, |actor, told, ctx| {
            let (found, rest) = told.unwrap_or_default();
            if let Some(monitor) = &mut actor.monitor {
                monitor.rest = rest;
            }
            actor.looked(found, ctx);
        });
    }

    /// A look is over; what it has found counts unless it was abandoned.
    pub(super) fn looked(&mut self, found: Option<Look>, ctx: &mut Context<Self>) {
        let Some(monitor) = &mut self.monitor else { return };
        let look = monitor.look.take().filter(|look| look.wanted.is_some());
        if let (Some(look), Some(found)) = (look, found) {
            let since_start = look.began.saturating_duration_since(monitor.began);
            monitor.health.take(found, since_start, &monitor.check);
            let is_bad = monitor.health.status == Some(record::Status::Unhealthy);
            let restarts = is_bad && monitor.check.restart;
            self.show_health();
            if restarts {
                self.estate.stop_timeout.set(self.plan.stop_timeout);
                self.happened(&Event::Unhealthy, ctx);
            }
        }
        if self.state.watched {
            self.watch_health(ctx);
        }
    }

    /// Shows what is known, and tells where it is another status.
    fn show_health(&self) {
        let Some(monitor) = &self.monitor else { return };
        let status = monitor.health.status;
        let before = self.view.borrow().health.as_ref().and_then(|health| health.status);
        let health = Arc::new(monitor.health.clone());
        self.change_view(|view| view.health = Some(health));
        if let Some(status) = status.filter(|status| Some(*status) != before) {
            self.tell("health", vec![("health", status.as_str().to_owned())]);
        }
    }
}
