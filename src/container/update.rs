//! Other limits for a container, at once where it runs and for every start to come.

use actix::prelude::*;

use super::limits::check_swap;
use super::plan::Wishes;
use super::state::{Phase, failed};
use super::{Container, effects};
use crate::cgroup::limits::Limits;
use crate::refusal::Refusal;

/// Gives a container other limits.
#[derive(Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Update {
    /// Those that change.
    pub limits: Limits,
}

impl Handler<Update> for Container {
    type Result = ResponseActFuture<Self, Result<(), Refusal>>;

    fn handle(&mut self, Update { limits }: Update, _: &mut Context<Self>) -> Self::Result {
        let before = self.plan.wishes.limits();
        let limits = joined(limits, &before);
        if let Err(refusal) = self.may_be(&limits) {
            let refusal = refusal.within(&self.plan.name);
            return Box::pin(std::future::ready(Err(refusal)).into_actor(self));
        }
        // First, so that a start by itself meanwhile has them.
        self.replan(|plan| plan.wishes.limit(&limits));
        let run = self.run_now();
        let (plan, ground, turn) = (self.plan.clone(), self.ground.clone(), self.updates.clone());
        let applied = async move {
            // One after the other: the last that is asked for is what stays.
            let _turn = turn.lock_owned().await;
            if run.is_some() { effects::limit(limits, plan, ground).await } else { Ok(()) }
        };
        Box::pin(applied.into_actor(self).map(move |applied, actor, _| match applied {
            // What could not be limited is gone, and what follows it is limited from its start.
            Err(_) if actor.run_now() != run => Ok(()),
            Err(refusal) => {
                actor.replan(|plan| plan.wishes.take_back(&limits, &before));
                Err(refusal.within(&actor.plan.name))
            }
            Ok(()) => Ok(()),
        }))
    }
}

impl Container {
    fn may_be(&self, limits: &Limits) -> Result<(), Refusal> {
        match self.state.phase {
            // Its limits are being written by crun at this moment.
            Phase::Starting => Err(Refusal::wrong_state("it is starting; try again")),
            Phase::Removing => Err(Refusal::not_found("it is being removed")),
            Phase::Failed => Err(failed()),
            _ => check_swap(limits.memory, limits.memory_swap),
        }
    }

    /// The process that runs, if any does.
    fn run_now(&self) -> Option<i32> {
        let view = self.view.borrow();
        view.has_process().then_some(view.pid).flatten()
    }
}

/// The two limits of memory hang together: where one changes, the other is set again beside it.
fn joined(limits: Limits, now: &Limits) -> Limits {
    match (limits.memory, limits.memory_swap) {
        (None, None) => limits,
        (memory, both) => Limits { memory: memory.or(now.memory), memory_swap: both.or(now.memory_swap), ..limits },
    }
}

impl Wishes {
    /// Its limits.
    fn limits(&self) -> Limits {
        Limits { memory: self.memory, memory_swap: self.memory_swap, milli_cpus: self.milli_cpus, pids: self.pids }
    }

    /// Puts other limits in the place of those that were wished for.
    fn limit(&mut self, limits: &Limits) {
        self.memory = limits.memory.or(self.memory);
        self.memory_swap = limits.memory_swap.or(self.memory_swap);
        self.milli_cpus = limits.milli_cpus.or(self.milli_cpus);
        self.pids = limits.pids.or(self.pids);
    }

    /// Puts the limits of `before` back where those of `tried` still stand: another update may have come meanwhile.
    fn take_back(&mut self, tried: &Limits, before: &Limits) {
        fn back<T: PartialEq + Copy>(now: &mut Option<T>, tried: Option<T>, before: Option<T>) {
            if tried.is_some() && *now == tried {
                *now = before;
            }
        }
        back(&mut self.memory, tried.memory, before.memory);
        back(&mut self.memory_swap, tried.memory_swap, before.memory_swap);
        back(&mut self.milli_cpus, tried.milli_cpus, before.milli_cpus);
        back(&mut self.pids, tried.pids, before.pids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_taken_back_and_what_came_later_is_not() {
        let mut wishes = Wishes { memory: Some(1), ..Wishes::default() };
        let before = wishes.limits();
        let tried = joined(Limits { memory: Some(2), pids: Some(5), ..Limits::default() }, &before);
        wishes.limit(&tried);
        wishes.limit(&Limits { pids: Some(6), ..Limits::default() });
        wishes.take_back(&tried, &before);
        assert_eq!(wishes.limits(), Limits { memory: Some(1), pids: Some(6), ..Limits::default() });
    }

    #[test]
    fn memory_and_swap_go_together() {
        let now = Limits { memory: Some(1), memory_swap: Some(2), ..Limits::default() };
        assert_eq!(joined(Limits { memory: Some(3), ..Limits::default() }, &now).memory_swap, Some(2));
        assert_eq!(joined(Limits { pids: Some(3), ..Limits::default() }, &now).memory, None);
    }
}
