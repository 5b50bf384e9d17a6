//! A container frozen and thawed.

use actix::prelude::*;

use super::state::Event;
use super::{Container, Outcome, effects};
use crate::refusal::{Code, Refusal};

impl Container {
    /// Written here and now, so that a freeze and a thaw never overtake each other; waited for elsewhere.
    pub(super) fn freeze(&mut self, ctx: &mut Context<Self>) {
        let (plan, ground) = (self.plan.clone(), self.ground.clone());
        let written = effects::set_frozen(true, &plan, &ground);
        if written.is_ok() {
            self.tell("pause", Vec::new());
        }
        self.spawn(ctx, async move { Outcome::Frozen(effects::frozen(written, plan, ground).await) });
    }

    pub(super) fn frozen(&mut self, result: &Result<(), Refusal>, ctx: &mut Context<Self>) {
        // One that was thawed, or ended, in the meantime is no failure of the freezer.
        if result.as_ref().is_err_and(|refusal| refusal.code() != Code::WrongState) {
            self.happened(&Event::FreezeFailed, ctx);
        }
        for asker in self.pausers.drain(..) {
            let _ = asker.send(result.clone().map_err(|refusal| refusal.within(&self.plan.name)));
        }
    }

    pub(super) fn thaw(&self) {
        match effects::set_frozen(false, &self.plan, &self.ground) {
            Ok(()) => self.tell("resume", Vec::new()),
            Err(refusal) => ::log::error!("{}: {refusal}", self.plan.name),
        }
    }
}
