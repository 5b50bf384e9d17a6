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
        if self.stop_timeout.is_zero() {
            // At once, so that it does not get to the end of its own that the stop signal would begin.
            return self.signal(Signal::KILL);
        }
        let at = Instant::now() + self.stop_timeout;
        match &self.deadline {
            // Who asks again may make it sooner, never later.
            Some((earlier, _)) if *earlier <= at => return,
            Some((_, timer)) => drop(ctx.cancel_future(*timer)),
            None => {}
        }
        let timer = ctx.run_later(self.stop_timeout, |actor, ctx| actor.happened(&Event::DeadlinePassed, ctx));
        self.deadline = Some((at, timer));
    }

    pub(super) fn call_off(&mut self, ctx: &mut Context<Self>) {
        if let Some((_, timer)) = self.deadline.take() {
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
