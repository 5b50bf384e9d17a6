//! The state machine of a container, pure: state × event gives the next state and what is to be done about it.
//!
//! ```text
//! Preparing -> Created -> Starting -> Running -> Stopping -> Leaving -> Exited -> Removing
//!                 ^           |        ^ |`-----------------------^        |
//!                 `-----------' failed | v             Starting <---------' by hand, or by its policy
//!                                    Paused
//! ```
//!
//! From each of them but the last it can come to Failed, and from there to Removing alone.

mod asked;

use std::time::Duration;

pub use self::asked::failed;
pub use super::phase::Phase;
use super::restart::Restarts;
use crate::id::Signal;
use crate::refusal::Refusal;

/// What a container is made to be, as far as its life depends on that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// To be removed as soon as a run of it has ended (`rm=yes`).
    pub remove_at_end: bool,
    /// Whether it is started again by itself.
    pub restarts: Restarts,
    /// The signal that asks it to stop.
    pub stop_signal: Signal,
    /// It has a health check.
    pub checked: bool,
}

/// How far the restart of a container by itself is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// There is to be none.
    No,
    /// To be waited for so long, once the last run is over and done with.
    Due(Duration),
    /// The wait is under way.
    Resting,
    /// It waits for the last run to be forgotten, or is being started.
    Starting,
}

/// The whole state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where it is.
    pub phase: Phase,
    /// How far its restart by itself is.
    pub again: Again,
    /// How often it was restarted by itself.
    pub restarted: u32,
    /// Somebody has ended it, so that it does not start again by itself.
    pub held_back: bool,
    /// It is being ended because it is unhealthy.
    pub unhealthy: bool,
    /// Its health is being looked after.
    pub watched: bool,
    /// What the runtime keeps of the last run is still being deleted; a new run must wait for that.
    pub reaping: bool,
    /// A start that waits for the reaping.
    pub start_waits: bool,
    /// A stop that waits for the process to be there.
    pub stop_waits: bool,
    /// A signal that waits for the process to be there.
    pub signal_waits: Option<Signal>,
    /// Somebody wants it gone as soon as it comes to rest.
    pub remove_waits: bool,
    /// The same for the daemon's end, before which nothing starts it any more.
    pub closing: bool,
    /// It has run, if only once.
    pub has_run: bool,
    rules: Rules,
}

/// What can happen to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its directories are there.
    Prepared,
    /// They could not be made.
    PrepareFailed,
    /// Asked to start.
    Start,
    /// Its process runs.
    Launched,
    /// It could not be started; what was made for it is undone.
    LaunchFailed,
    /// Asked to stop.
    Stop,
    /// The daemon is to end: to be stopped where it runs, and gone then, whatever else is asked meanwhile.
    Close,
    /// Asked to be sent a signal.
    Kill(Signal),
    /// Asked to be frozen.
    Pause,
    /// Asked to be thawed.
    Resume,
    /// Its processes could not be frozen.
    FreezeFailed,
    /// The stop timeout has passed.
    DeadlinePassed,
    /// Its process has ended.
    Ended {
        /// With another status than 0.
        failed: bool,
        /// How long it ran.
        ran: Duration,
    },
    /// The wait for its restart is over.
    Rested,
    /// Its health check has found it unhealthy, and it is to be restarted then.
    Unhealthy,
    /// Address, ports and mount of the run are free.
    Released,
    /// The runtime has forgotten the run.
    Reaped,
    /// Asked to go.
    Remove {
        /// Even where it runs.
        force: bool,
    },
    /// Nothing of it is left.
    Freed,
    /// Its actor panicked, and another goes on: the timers of the first died with it.
    Succeeded,
    /// There were too many of those.
    GivenUp,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make the run: network, mount, process.
    Launch,
    /// Send a signal to its process.
    Signal(Signal),
    /// Send the stop signal, and wait no longer than the stop timeout.
    AskToStop,
    /// Freeze its processes.
    Freeze,
    /// Let them go on.
    Thaw,
    /// The stop timeout counts no longer.
    CallOff,
    /// Begin to look after its health.
    Watch,
    /// Leave its health alone, a look that is under way too.
    Unwatch,
    /// Wait so long for its restart.
    Rest(Duration),
    /// Wait no longer for it.
    CancelRest,
    /// Free what the run held, what others may wait for first.
    Release,
    /// Have the runtime forget the run.
    Reap,
    /// Tell those who wait for its start that it will not be.
    RefuseStart,
    /// Let go of the name.
    LetGo,
    /// Remove what is left.
    Free,
    /// End the actor.
    Vanish,
}

impl State {
    /// The state a container begins with.
    pub fn new(rules: Rules) -> Self {
        Self {
            phase: Phase::Preparing,
            again: Again::No,
            restarted: 0,
            held_back: false,
            unhealthy: false,
            watched: false,
            reaping: false,
            start_waits: false,
            stop_waits: false,
            signal_waits: None,
            remove_waits: false,
            closing: false,
            has_run: false,
            rules,
        }
    }

    /// Whether it starts again by itself, so that its last end is yet to come.
    pub fn goes_on(&self) -> bool {
        self.again != Again::No
    }

    /// Takes an event in. Refused is only what somebody asked for.
    pub fn step(&mut self, event: &Event) -> Result<Vec<Effect>, Refusal> {
        match event {
            Event::Start => self.start(),
            Event::Stop => Ok(self.stop()),
            Event::Close => Ok(self.close()),
            Event::Kill(signal) => self.kill(*signal),
            Event::Pause => self.pause(),
            Event::Resume => self.resume(),
            Event::Remove { force } => self.remove(*force),
            told => Ok(self.told(told)),
        }
    }

    /// What was done, or happened by itself.
    fn told(&mut self, event: &Event) -> Vec<Effect> {
        use Phase::{Created, Exited, Failed, Leaving, Paused, Preparing, Removing, Running, Starting, Stopping};
        match (event, self.phase) {
            (Event::Prepared, Preparing) => self.arrive(Created),
            (Event::PrepareFailed, Preparing) => self.go(),
            (Event::Launched, Starting) => self.launched(),
            (Event::LaunchFailed, Starting) => self.launch_failed(),
            (Event::DeadlinePassed, Stopping) => vec![Effect::Signal(Signal::KILL)],
            (Event::FreezeFailed, Paused) => self.thaw(),
            (Event::Unhealthy, Running) => self.end_unhealthy(),
            (Event::Ended { failed, ran }, Running | Paused | Stopping) => self.ended(*failed, *ran),
            (Event::Rested, Exited) if self.again == Again::Resting => self.rested(),
            (Event::Released, Leaving) => [vec![Effect::Reap], self.arrive(Exited)].concat(),
            (Event::Reaped, _) => self.reaped(),
            (Event::Freed, Removing) => vec![Effect::Vanish],
            (Event::Freed, Failed) => {
                self.phase = Removing;
                vec![Effect::LetGo, Effect::Vanish]
            }
            (Event::Succeeded, _) => self.succeeded(),
            (Event::GivenUp, _) => self.given_up(),
            // Late or doubled news: a deadline that passes as the process ends, say.
            _ => Vec::new(),
        }
    }

    /// There is to be no restart by itself.
    fn stay_down(&mut self) -> Vec<Effect> {
        match std::mem::replace(&mut self.again, Again::No) {
            Again::Resting => vec![Effect::CancelRest],
            _ => Vec::new(),
        }
    }

    fn thaw(&mut self) -> Vec<Effect> {
        self.phase = Phase::Running;
        [vec![Effect::Thaw], self.watch()].concat()
    }

    fn watch(&mut self) -> Vec<Effect> {
        let begins = self.rules.checked && !std::mem::replace(&mut self.watched, self.rules.checked);
        if begins { vec![Effect::Watch] } else { Vec::new() }
    }

    fn unwatch(&mut self) -> Vec<Effect> {
        if std::mem::take(&mut self.watched) { vec![Effect::Unwatch] } else { Vec::new() }
    }

    fn end_unhealthy(&mut self) -> Vec<Effect> {
        self.unhealthy = true;
        self.end()
    }

    fn launched(&mut self) -> Vec<Effect> {
        self.phase = Phase::Running;
        self.again = Again::No;
        self.has_run = true;
        let mut effects: Vec<_> = self.signal_waits.take().map(Effect::Signal).into_iter().collect();
        if std::mem::take(&mut self.stop_waits) {
            self.phase = Phase::Stopping;
            effects.push(Effect::AskToStop);
        } else {
            effects.extend(self.watch());
        }
        // Whatever else was asked meanwhile: who wants it gone by force is not to wait for it.
        if self.remove_waits {
            effects.push(Effect::Signal(Signal::KILL));
        }
        effects
    }

    /// A restart by itself that fails is tried again, as one that ends at once would be.
    fn launch_failed(&mut self) -> Vec<Effect> {
        let tried_again = self.goes_on() && !self.held_back;
        let wait = if tried_again { self.rules.restarts.after_failed_start() } else { None };
        self.again = wait.map_or(Again::No, Again::Due);
        self.arrive(if self.has_run { Phase::Exited } else { Phase::Created })
    }

    fn ended(&mut self, failed: bool, ran: Duration) -> Vec<Effect> {
        let mut effects = self.unwatch();
        if self.phase == Phase::Stopping {
            effects.push(Effect::CallOff);
        }
        (self.phase, self.reaping) = (Phase::Leaving, true);
        let wait = match std::mem::take(&mut self.unhealthy) {
            _ if self.held_back || self.remove_waits => None,
            true => Some(self.rules.restarts.next(ran)),
            false => self.rules.restarts.after(failed, ran),
        };
        self.again = wait.map_or(Again::No, Again::Due);
        effects.push(Effect::Release);
        effects
    }

    fn rested(&mut self) -> Vec<Effect> {
        self.again = Again::Starting;
        self.restarted = self.restarted.saturating_add(1);
        self.start_waits = true;
        self.start_if_due()
    }

    /// The timers that are to run are begun anew.
    fn succeeded(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.phase == Phase::Stopping {
            effects.push(Effect::AskToStop);
        }
        if self.again == Again::Resting {
            effects.push(Effect::Rest(self.rules.restarts.next(Duration::ZERO)));
        }
        if self.watched {
            effects.push(Effect::Watch);
        }
        effects
    }

    /// Left as it is. Where it is being removed, that is finished all the same.
    fn given_up(&mut self) -> Vec<Effect> {
        let (phase, restarted, closing) = (self.phase, self.restarted, self.closing);
        *self = Self { phase, restarted, closing, ..Self::new(self.rules.clone()) };
        match phase {
            Phase::Removing => vec![Effect::LetGo, Effect::Free],
            _ if closing => self.go(),
            _ => {
                self.phase = Phase::Failed;
                Vec::new()
            }
        }
    }

    /// Comes to rest in `phase`: what waited for that has its turn.
    fn arrive(&mut self, phase: Phase) -> Vec<Effect> {
        self.phase = phase;
        self.stop_waits = false;
        self.signal_waits = None;
        // With `rm=yes` it goes when it has run; while it is only made, it waits for its start.
        if self.remove_waits || self.closing || (self.rules.remove_at_end && phase == Phase::Exited) {
            return self.go();
        }
        if let Again::Due(wait) = self.again {
            self.again = Again::Resting;
            return vec![Effect::Rest(wait)];
        }
        self.start_if_due()
    }

    fn start_if_due(&mut self) -> Vec<Effect> {
        if self.reaping || !std::mem::take(&mut self.start_waits) {
            return Vec::new();
        }
        self.phase = Phase::Starting;
        vec![Effect::Launch]
    }

    fn reaped(&mut self) -> Vec<Effect> {
        self.reaping = false;
        match self.phase {
            Phase::Exited => self.start_if_due(),
            Phase::Removing => vec![Effect::Free],
            _ => Vec::new(),
        }
    }

    fn go(&mut self) -> Vec<Effect> {
        self.phase = Phase::Removing;
        let mut effects = self.stay_down();
        effects.push(Effect::LetGo);
        if std::mem::take(&mut self.start_waits) {
            effects.push(Effect::RefuseStart);
        }
        // What is being reaped works on the same journal.
        if !self.reaping {
            effects.push(Effect::Free);
        }
        effects
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "state_property.rs"]
mod property;
