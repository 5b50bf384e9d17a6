//! A container told to end: its signals, and the time that it has.

use std::time::Instant;

use actix::prelude::*;

use super::Container;
use super::state::Event;
use crate::id::Signal;

impl Container {
    /// Signals it, and has it killed when its patience is over.
    pub(super) fn ask_to_stop(&mut self, ctx: &mut Context<Self>) {
        self.signal(self.plan.stop_signal);
        let timeout = self.estate.stop_timeout.get();
        if timeout.is_zero() {
            // At once, so that it does not get to the end of its own that the stop signal would begin.
            return self.signal(Signal::KILL);
        }
        let now = Instant::now();
        // Who asks again may make it sooner, never later; nor does the successor of an actor that panicked.
        let at = self.estate.deadline.get().map_or(now + timeout, |earlier| earlier.min(now + timeout));
        self.call_off(ctx);
        self.estate.deadline.set(Some(at));
        let wait = at.saturating_duration_since(now);
        self.patience = Some(ctx.run_later(wait, |actor, ctx| actor.happened(&Event::DeadlinePassed, ctx)));
    }

    pub(super) fn call_off(&mut self, ctx: &mut Context<Self>) {
        self.estate.deadline.set(None);
        if let Some(timer) = self.patience.take() {
            ctx.cancel_future(timer);
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        let run = self.estate.run.borrow();
        let Some(run) = &*run else { return };
        match run.init.held.signal(signal) {
            Ok(()) => self.tell("kill", vec![("signal", signal.to_string())]),
            Err(e) => ::log::warn!("{}: signal {signal}: {e}", self.plan.name),
        }
    }
}
