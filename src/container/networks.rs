//! A container among its networks: what becomes of one that shares another's.

use std::rc::Rc;

use actix::prelude::*;

use super::Container;
use super::effects::Run;
use super::state::{Event, Phase};
use crate::id::{Name, Signal};
use crate::tools::process::Held;

impl Container {
    /// Sees to it that a run which shares another's network does not outlast it.
    pub(super) fn watch_over(&self, run: &Run, ctx: &mut Context<Self>) {
        let Some(shared) = run.attachment.shared.clone() else { return };
        let process = run.init.held.clone();
        let ending = async move {
            let mut lasts = shared.lasts;
            tokio::select! {
                // The one change there is: its end.
                _ = lasts.changed() => Some((shared.with, process)),
                _ = process.ended() => None,
            }
        };
        ctx.spawn(ending.into_actor(self).map(|cut_off, actor, ctx| {
            if let Some((with, process)) = cut_off {
                actor.cut_off(with, process, ctx);
            }
        }));
    }

    /// What it shared leads nowhere any more: it is asked to stop, and killed where it does not.
    fn cut_off(&mut self, by: Name, process: Rc<Held>, ctx: &mut Context<Self>) {
        if !self.runs(&process) || self.state.phase == Phase::Stopping {
            return;
        }
        ::log::info!("{}: the network of {by}, which it shares, is gone; it is stopped", self.plan.name);
        self.tell("cut-off", vec![("container", by.to_string())]);
        self.change_view(|view| view.cut_off_by = Some(by));
        self.happened(&Event::Kill(self.plan.stop_signal), ctx);
        ctx.run_later(self.plan.stop_timeout, move |actor, ctx| {
            if actor.runs(&process) {
                actor.happened(&Event::Kill(Signal::KILL), ctx);
            }
        });
    }

    /// Whether the run of this process goes on.
    fn runs(&self, process: &Rc<Held>) -> bool {
        self.init.as_ref().is_some_and(|init| Rc::ptr_eq(&init.held, process))
    }
}
