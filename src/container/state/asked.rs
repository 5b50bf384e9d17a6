//! What a container is asked, as events of its state machine: each is refused, or changes the state.

use super::{Effect, Phase, State};
use crate::id::Signal;
use crate::refusal::Refusal;

/// Nothing but its removal can be asked for.
pub fn failed() -> Refusal {
    Refusal::wrong_state("it has failed by a defect of the daemon, and is left alone; 'rm' with force=yes removes it")
}

impl State {
    pub(super) fn start(&mut self) -> Result<Vec<Effect>, Refusal> {
        match self.phase {
            _ if self.closing => Err(Refusal::shutting_down("the daemon is on its way out")),
            Phase::Preparing | Phase::Created | Phase::Leaving | Phase::Exited => Ok(self.start_by_hand()),
            Phase::Starting | Phase::Running => Err(Refusal::wrong_state("it is running already")),
            Phase::Paused => Err(Refusal::wrong_state("it is paused; 'resume' lets it go on")),
            Phase::Stopping => Err(Refusal::wrong_state("it is stopping; wait for its end first")),
            Phase::Removing => Err(Refusal::not_found("it is being removed")),
            Phase::Failed => Err(failed()),
        }
    }

    /// Where a restart was to come, this is it, and at once.
    fn start_by_hand(&mut self) -> Vec<Effect> {
        let mut effects = self.stay_down();
        self.held_back = false;
        self.rules.restarts.begin();
        self.start_waits = true;
        if matches!(self.phase, Phase::Created | Phase::Exited) {
            effects.extend(self.start_if_due());
        }
        effects
    }

    pub(super) fn stop(&mut self) -> Vec<Effect> {
        self.held_back = true;
        let mut effects = self.stay_down();
        if std::mem::take(&mut self.start_waits) {
            effects.push(Effect::RefuseStart);
            return effects;
        }
        effects.extend(self.end());
        effects
    }

    /// One word for both, so that no start comes between the stop and the removal.
    pub(super) fn close(&mut self) -> Vec<Effect> {
        self.closing = true;
        match self.phase {
            Phase::Created | Phase::Exited => self.go(),
            Phase::Failed => self.go_failed(),
            Phase::Removing => Vec::new(),
            _ => self.stop(),
        }
    }

    pub(super) fn end(&mut self) -> Vec<Effect> {
        match self.phase {
            Phase::Starting => {
                self.stop_waits = true;
                Vec::new()
            }
            Phase::Running => {
                self.phase = Phase::Stopping;
                [self.unwatch(), vec![Effect::AskToStop]].concat()
            }
            Phase::Paused => {
                self.phase = Phase::Stopping;
                // In this order, so that the signal is the first that it sees.
                vec![Effect::AskToStop, Effect::Thaw]
            }
            // Asked again: perhaps with a shorter timeout.
            Phase::Stopping => vec![Effect::AskToStop],
            _ => Vec::new(),
        }
    }

    pub(super) fn kill(&mut self, signal: Signal) -> Result<Vec<Effect>, Refusal> {
        match self.phase {
            Phase::Starting | Phase::Running | Phase::Stopping | Phase::Paused => Ok(self.send(signal)),
            Phase::Failed => Err(failed()),
            _ if self.goes_on() => {
                Err(Refusal::wrong_state("it is not running, but will be restarted; 'stop' keeps it from that"))
            }
            _ => Err(Refusal::wrong_state("it is not running")),
        }
    }

    fn send(&mut self, signal: Signal) -> Vec<Effect> {
        // Docker's rule: whoever sends what ends it wants it to stay down.
        self.held_back |= signal == Signal::KILL || signal == self.rules.stop_signal;
        match self.phase {
            Phase::Starting => {
                self.signal_waits = Some(signal);
                Vec::new()
            }
            Phase::Paused if signal == Signal::KILL => self.kill_frozen(),
            // To one that is paused it comes with the resume.
            _ => vec![Effect::Signal(signal)],
        }
    }

    pub(super) fn pause(&mut self) -> Result<Vec<Effect>, Refusal> {
        match self.phase {
            Phase::Running => {
                self.phase = Phase::Paused;
                Ok([self.unwatch(), vec![Effect::Freeze]].concat())
            }
            Phase::Paused => Err(Refusal::wrong_state("it is paused already")),
            Phase::Stopping | Phase::Leaving => Err(Refusal::wrong_state("it is stopping")),
            Phase::Failed => Err(failed()),
            _ => Err(Refusal::wrong_state("it is not running")),
        }
    }

    pub(super) fn resume(&mut self) -> Result<Vec<Effect>, Refusal> {
        match self.phase {
            Phase::Paused => Ok(self.thaw()),
            _ => Err(Refusal::wrong_state("it is not paused")),
        }
    }

    /// A frozen process does not even die on cgroup v1.
    fn kill_frozen(&mut self) -> Vec<Effect> {
        let mut effects = vec![Effect::Signal(Signal::KILL)];
        effects.extend(self.thaw());
        effects
    }

    /// Of one that was left alone nothing is known that could be waited for. What runs of it is killed, and has its ports and
    /// volumes until then: they are let go of, and its name with them, when nothing of it is left.
    fn go_failed(&mut self) -> Vec<Effect> {
        let begun = std::mem::replace(&mut self.remove_waits, true);
        if begun { Vec::new() } else { vec![Effect::Free] }
    }

    pub(super) fn remove(&mut self, force: bool) -> Result<Vec<Effect>, Refusal> {
        match self.phase {
            Phase::Created | Phase::Exited => Ok(self.go()),
            Phase::Removing => Ok(Vec::new()),
            Phase::Failed if force => Ok(self.go_failed()),
            Phase::Failed => Err(failed()),
            // Its process has ended, as who followed its log has seen: it goes as soon as what it held is free.
            Phase::Leaving if !self.goes_on() => {
                self.remove_waits = true;
                Ok(Vec::new())
            }
            _ if !force => Err(Refusal::wrong_state("it is running; stop it first, or say force=yes")),
            Phase::Running | Phase::Stopping => {
                self.remove_waits = true;
                Ok(vec![Effect::Signal(Signal::KILL)])
            }
            Phase::Paused => {
                self.remove_waits = true;
                Ok(self.kill_frozen())
            }
            Phase::Preparing | Phase::Starting | Phase::Leaving => {
                self.remove_waits = true;
                Ok(self.stay_down())
            }
        }
    }
}
