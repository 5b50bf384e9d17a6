//! The state machine of a container, pure: state × event gives the next state and what is to be done about it.
//!
//! ```text
//! Preparing -> Created -> Starting -> Running -> Stopping -> Leaving -> Exited -> Removing
//!                 ^           |        ^ |`-----------------------^        |
//!                 `-----------' failed | v             Starting <---------'
//!                                    Paused
//! ```

use crate::id::Signal;
use crate::refusal::Refusal;

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its directories are being made.
    Preparing,
    /// Made, and not running yet.
    Created,
    /// Network, rootfs and process are being made.
    Starting,
    /// Its process runs.
    Running,
    /// Every process of it is frozen, or about to be.
    Paused,
    /// It was asked to stop, and has not yet.
    Stopping,
    /// Its process has ended; address, ports and mount are being freed.
    Leaving,
    /// Ended, and everything it ran with is free.
    Exited,
    /// Its name is free; what is left of it is being removed.
    Removing,
}

impl Phase {
    /// The state as the wire names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing | Self::Created | Self::Starting => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping | Self::Leaving => "stopping",
            Self::Exited | Self::Removing => "exited",
        }
    }
}

/// The whole state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where it is.
    pub phase: Phase,
    /// What the runtime keeps of the last run is still being deleted; a new run must wait for that.
    pub reaping: bool,
    /// A start that waits for the reaping.
    pub start_waits: bool,
    /// A stop that waits for the process to be there.
    pub stop_waits: bool,
    /// A signal that waits for the process to be there.
    pub signal_waits: Option<Signal>,
    /// To be removed as soon as a run of it has ended (`rm=yes`).
    pub remove_at_end: bool,
    /// Somebody wants it gone as soon as it comes to rest.
    pub remove_waits: bool,
    /// It has run, if only once.
    pub has_run: bool,
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
    Ended,
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
    pub fn new(remove_at_end: bool) -> Self {
        Self {
            phase: Phase::Preparing,
            reaping: false,
            start_waits: false,
            stop_waits: false,
            signal_waits: None,
            remove_at_end,
            remove_waits: false,
            has_run: false,
        }
    }

    /// Takes an event in. Refused is only what somebody asked for.
    pub fn step(&mut self, event: &Event) -> Result<Vec<Effect>, Refusal> {
        match event {
            Event::Start => self.start(),
            Event::Stop => Ok(self.stop()),
            Event::Kill(signal) => self.kill(*signal),
            Event::Pause => self.pause(),
            Event::Resume => self.resume(),
            Event::Remove { force } => self.remove(*force),
            told => Ok(self.told(told)),
        }
    }

    /// What was done, or happened by itself.
    fn told(&mut self, event: &Event) -> Vec<Effect> {
        use Phase::{Created, Exited, Leaving, Paused, Preparing, Removing, Running, Starting, Stopping};
        match (event, self.phase) {
            (Event::Prepared, Preparing) => self.arrive(Created),
            (Event::PrepareFailed, Preparing) => self.go(),
            (Event::Launched, Starting) => self.launched(),
            (Event::LaunchFailed, Starting) => self.arrive(if self.has_run { Exited } else { Created }),
            (Event::DeadlinePassed, Stopping) => vec![Effect::Signal(Signal::KILL)],
            (Event::FreezeFailed, Paused) => self.thaw(),
            (Event::Ended, Running | Paused | Stopping) => {
                self.phase = Leaving;
                self.reaping = true;
                vec![Effect::Release]
            }
            (Event::Released, Leaving) => [vec![Effect::Reap], self.arrive(Exited)].concat(),
            (Event::Reaped, _) => self.reaped(),
            (Event::Freed, Removing) => vec![Effect::Vanish],
            // Late or doubled news: a deadline that passes as the process ends, say.
            _ => Vec::new(),
        }
    }

    fn start(&mut self) -> Result<Vec<Effect>, Refusal> {
        match self.phase {
            Phase::Preparing => self.start_waits = true,
            Phase::Exited if self.reaping => self.start_waits = true,
            Phase::Created | Phase::Exited => {
                self.phase = Phase::Starting;
                return Ok(vec![Effect::Launch]);
            }
            Phase::Starting | Phase::Running => return Err(Refusal::wrong_state("it is running already")),
            Phase::Paused => return Err(Refusal::wrong_state("it is paused; 'resume' lets it go on")),
            Phase::Stopping | Phase::Leaving => {
                return Err(Refusal::wrong_state("it is stopping; wait for its end first"));
            }
            Phase::Removing => return Err(Refusal::not_found("it is being removed")),
        }
        Ok(Vec::new())
    }

    fn stop(&mut self) -> Vec<Effect> {
        if std::mem::take(&mut self.start_waits) {
            return vec![Effect::RefuseStart];
        }
        match self.phase {
            Phase::Starting => {
                self.stop_waits = true;
                Vec::new()
            }
            Phase::Running => {
                self.phase = Phase::Stopping;
                vec![Effect::AskToStop]
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

    fn kill(&mut self, signal: Signal) -> Result<Vec<Effect>, Refusal> {
        match self.phase {
            Phase::Starting => {
                self.signal_waits = Some(signal);
                Ok(Vec::new())
            }
            Phase::Running | Phase::Stopping => Ok(vec![Effect::Signal(signal)]),
            Phase::Paused if signal == Signal::KILL => Ok(self.kill_frozen()),
            // It waits for the resume.
            Phase::Paused => Ok(vec![Effect::Signal(signal)]),
            _ => Err(Refusal::wrong_state("it is not running")),
        }
    }

    fn pause(&mut self) -> Result<Vec<Effect>, Refusal> {
        match self.phase {
            Phase::Running => {
                self.phase = Phase::Paused;
                Ok(vec![Effect::Freeze])
            }
            Phase::Paused => Err(Refusal::wrong_state("it is paused already")),
            Phase::Stopping | Phase::Leaving => Err(Refusal::wrong_state("it is stopping")),
            _ => Err(Refusal::wrong_state("it is not running")),
        }
    }

    fn resume(&mut self) -> Result<Vec<Effect>, Refusal> {
        match self.phase {
            Phase::Paused => Ok(self.thaw()),
            _ => Err(Refusal::wrong_state("it is not paused")),
        }
    }

    fn thaw(&mut self) -> Vec<Effect> {
        self.phase = Phase::Running;
        vec![Effect::Thaw]
    }

    /// A frozen process does not even die on cgroup v1.
    fn kill_frozen(&mut self) -> Vec<Effect> {
        let mut effects = vec![Effect::Signal(Signal::KILL)];
        effects.extend(self.thaw());
        effects
    }

    fn remove(&mut self, force: bool) -> Result<Vec<Effect>, Refusal> {
        match self.phase {
            Phase::Created | Phase::Exited => Ok(self.go()),
            Phase::Removing => Ok(Vec::new()),
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
                Ok(Vec::new())
            }
        }
    }

    fn launched(&mut self) -> Vec<Effect> {
        self.phase = Phase::Running;
        self.has_run = true;
        let mut effects: Vec<_> = self.signal_waits.take().map(Effect::Signal).into_iter().collect();
        if std::mem::take(&mut self.stop_waits) {
            self.phase = Phase::Stopping;
            effects.push(Effect::AskToStop);
        }
        // Whatever else was asked meanwhile: who wants it gone by force is not to wait for it.
        if self.remove_waits {
            effects.push(Effect::Signal(Signal::KILL));
        }
        effects
    }

    /// Comes to rest in `phase`: what waited for that has its turn.
    fn arrive(&mut self, phase: Phase) -> Vec<Effect> {
        self.phase = phase;
        self.stop_waits = false;
        self.signal_waits = None;
        // With `rm=yes` it goes when it has run; while it is only made, it waits for its start.
        if self.remove_waits || (self.remove_at_end && phase == Phase::Exited) {
            return self.go();
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
        let mut effects = vec![Effect::LetGo];
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
