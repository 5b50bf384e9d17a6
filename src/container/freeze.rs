//! A container frozen and thawed.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::Container;
use super::plan::Plan;
use super::state::Event;
use crate::cgroup::freezer::Frozen;
use crate::refusal::{Code, Refusal};
use crate::undo::Ground;
use crate::worker::beside;

/// How long the processes of a container may take to come to where they can be frozen.
const FREEZE_PATIENCE: Duration = Duration::from_secs(10);

impl Container {
    /// Written here and now, so that a freeze and a thaw never overtake each other; waited for elsewhere.
    pub(super) fn freeze(&mut self, ctx: &mut Context<Self>) {
        let (plan, ground) = (self.plan.clone(), self.ground.clone());
        let written = set_frozen(true, &plan, &ground);
        if written.is_ok() {
            self.tell("pause", Vec::new());
        }
        self.spawn(ctx, frozen(written, plan, ground), |actor, result, ctx| actor.frozen(&result, ctx));
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
        match set_frozen(false, &self.plan, &self.ground) {
            Ok(()) => self.tell("resume", Vec::new()),
            Err(refusal) => ::log::error!("{}: {refusal}", self.plan.name),
        }
    }
}

/// Tells the kernel to freeze the container's processes, or to let them go on.
fn set_frozen(frozen: bool, plan: &Plan, ground: &Ground) -> Result<(), Refusal> {
    let told = ground.cgroups.set_frozen(&plan.places.cgroup, frozen);
    told.map_err(|e| Refusal::io("the cgroup's freezer", &e))
}

/// Waits until they are frozen, where the kernel could be told.
async fn frozen(told: Result<(), Refusal>, plan: Arc<Plan>, ground: Ground) -> Result<(), Refusal> {
    told?;
    let freezing = ground.cgroups.freezing(&plan.places.cgroup);
    beside(move || match freezing.wait(FREEZE_PATIENCE) {
        Ok(Frozen::Yes) => Ok(()),
        Ok(Frozen::No) | Err(_) => Err(Refusal::wrong_state("it was resumed, or ended, before it was paused")),
        Ok(Frozen::NotYet) => {
            Err(Refusal::timeout("a process of it cannot be frozen: it waits in the kernel, for a disk perhaps"))
        }
    })
    .await
}
