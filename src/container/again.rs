//! A container that starts again by itself: the wait before, and what is told of it.

use std::time::Duration;

use actix::prelude::*;

use super::Container;
use super::state::Event;
use crate::refusal::Refusal;

impl Container {
    pub(super) fn rest(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        self.cancel_rest(ctx);
        self.rest = Some(ctx.run_later(wait, |actor, ctx| {
            actor.rest = None;
            actor.happened(&Event::Rested, ctx);
            actor.tell("restart", vec![("restarts", actor.state.restarted.to_string())]);
        }));
    }

    pub(super) fn cancel_rest(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.rest.take() {
            ctx.cancel_future(timer);
        }
    }

    /// Nobody waits for the answer to a start that nobody asked for: it is told as an event.
    pub(super) fn tell_failed_restart(&self, refusal: &Refusal) {
        if self.state.goes_on() {
            ::log::warn!("{}: restarting it failed: {refusal}", self.plan.name);
            self.tell("restart-failed", vec![("error", refusal.to_string())]);
        }
    }
}
