//! The state machine under any sequence of events: every state stays legal, and what was made is freed.

use proptest::prelude::*;

use super::*;
use crate::container::restart::{Pace, Policy};

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Start),
        Just(Event::Stop),
        Just(Event::Kill(Signal::TERM)),
        Just(Event::Kill("HUP".parse().unwrap())),
        Just(Event::Kill(Signal::KILL)),
        Just(Event::Pause),
        Just(Event::Resume),
        any::<bool>().prop_map(|force| Event::Remove { force }),
        Just(Event::Close),
        Just(Event::Succeeded),
        Just(Event::GivenUp),
    ]
}

/// What clients ask for, and what becomes of the actor, while the daemon ends.
fn any_meanwhile() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Start),
        Just(Event::Stop),
        Just(Event::Kill(Signal::TERM)),
        Just(Event::Pause),
        Just(Event::Resume),
        Just(Event::Remove { force: false }),
        Just(Event::Succeeded),
    ]
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let policy = prop_oneof![
        Just(Policy::No),
        Just(Policy::Always),
        (0u32..3).prop_map(|most| Policy::OnFailure { most: (most > 0).then_some(most) })
    ];
    (any::<bool>(), policy, any::<bool>()).prop_map(|(remove_at_end, policy, checked)| Rules {
        // The two exclude each other.
        remove_at_end: remove_at_end && policy == Policy::No,
        restarts: Restarts::new(policy, Pace::default()),
        stop_signal: Signal::TERM,
        checked,
    })
}

/// The answers that the world gives to effects, in any order with what clients ask for.
#[derive(Debug, Default)]
struct World {
    preparing: bool,
    launching: bool,
    running: bool,
    frozen: bool,
    /// It ends by KILL alone.
    stubborn: bool,
    killed: bool,
    releasing: bool,
    reaping: bool,
    freeing: bool,
    /// Timers that run.
    resting: bool,
    deadline: bool,
    watched: bool,
    let_go: bool,
    vanished: bool,
    /// Starts that were accepted and not answered.
    askers: u32,
    /// The container is left alone: what ran for it runs on.
    left: bool,
}

impl World {
    /// The actor panics: its timers and its askers go with it.
    fn lose_actor(&mut self, left: bool) {
        (self.resting, self.deadline, self.watched, self.askers) = (false, false, false, 0);
        self.left |= left;
        self.frozen &= !left;
    }

    fn take(&mut self, effects: &[Effect]) {
        for effect in effects {
            assert!(!self.vanished, "nothing happens after the end");
            match effect {
                Effect::Launch => {
                    assert!(
                        !self.launching && !self.running && !self.releasing && !self.reaping && !self.freeing,
                        "one run at a time"
                    );
                    assert!(!self.resting && !self.deadline, "no timer of another run");
                    (self.launching, self.killed) = (true, false);
                }
                Effect::Freeze => {
                    assert!(self.running && !self.frozen, "what runs is frozen, once");
                    self.frozen = true;
                }
                Effect::Thaw => {
                    assert!(self.running && self.frozen, "what is frozen is thawed");
                    self.frozen = false;
                }
                Effect::CallOff => self.deadline = false,
                Effect::Watch => {
                    assert!(self.running && !self.frozen && !self.watched, "what runs is watched, once");
                    self.watched = true;
                }
                Effect::Unwatch => {
                    assert!(self.watched, "what is watched is left alone");
                    self.watched = false;
                }
                Effect::Rest(_) => {
                    assert!(!self.resting && !self.running && !self.launching, "one wait, for a restart");
                    self.resting = true;
                }
                Effect::CancelRest => {
                    assert!(self.resting, "a wait that is under way");
                    self.resting = false;
                }
                Effect::Release => {
                    assert!(!self.watched && !self.deadline, "no timer outlives the run");
                    (self.running, self.frozen) = (false, false);
                    self.releasing = true;
                }
                Effect::Reap => {
                    assert!(!self.releasing && !self.reaping, "reaped once, when released");
                    self.reaping = true;
                }
                Effect::RefuseStart => self.askers = 0,
                Effect::LetGo => {
                    assert!(!self.let_go || self.left, "a name is let go once");
                    self.let_go = true;
                }
                Effect::Free => {
                    // Of one that was left alone the rest is waited for elsewhere.
                    let nothing_is_on =
                        !self.running && !self.launching && !self.releasing && !self.reaping && !self.freeing;
                    assert!(nothing_is_on || self.left, "freed once, when nothing runs or is under way");
                    assert!(!self.resting, "no timer is left");
                    self.freeing = true;
                }
                Effect::Vanish => {
                    assert!(self.left || !self.reaping && !self.freeing, "nothing is under way at the end");
                    self.vanished = true;
                }
                Effect::Signal(signal) => {
                    assert!(self.running, "signals go to a process that is there");
                    self.killed |= *signal == Signal::KILL;
                }
                Effect::AskToStop => {
                    assert!(
                        self.running && !self.watched,
                        "what is asked to stop is there, and its health is no matter"
                    );
                    self.deadline = true;
                }
            }
        }
    }

    /// One answer that is due, chosen by `pick`.
    fn answer(&mut self, pick: u8) -> Option<Event> {
        let mut due = Vec::new();
        if self.preparing {
            due.extend([Event::Prepared, Event::PrepareFailed]);
        }
        if self.launching {
            due.extend([Event::Launched, Event::LaunchFailed]);
        }
        if self.frozen {
            // One that is frozen does not end, unless something else thaws it.
            due.push(Event::FreezeFailed);
        } else if self.running && (self.killed || !self.stubborn) {
            let ran = Duration::from_secs(u64::from(pick));
            due.push(Event::Ended { failed: pick % 4 < 2, ran });
        }
        if self.deadline {
            due.push(Event::DeadlinePassed);
        }
        if self.watched {
            due.push(Event::Unhealthy);
        }
        if self.resting {
            due.push(Event::Rested);
        }
        if self.releasing {
            due.push(Event::Released);
        } else if self.reaping {
            due.push(Event::Reaped);
        }
        if self.freeing {
            due.push(Event::Freed);
        }
        let event = due.get(usize::from(pick) % due.len().max(1)).cloned()?;
        match event {
            Event::Prepared | Event::PrepareFailed => self.preparing = false,
            Event::Launched => (self.launching, self.running, self.askers) = (false, true, 0),
            Event::LaunchFailed => (self.launching, self.askers) = (false, 0),
            Event::DeadlinePassed => self.deadline = false,
            Event::Rested => self.resting = false,
            Event::Released => self.releasing = false,
            Event::Reaped => self.reaping = false,
            Event::Freed => self.freeing = false,
            _ => {}
        }
        Some(event)
    }
}

impl World {
    /// An event that is no answer.
    fn ask(&mut self, state: &mut State, event: &Event) {
        if matches!(event, Event::Succeeded | Event::GivenUp) {
            self.lose_actor(*event == Event::GivenUp);
        }
        let accepted = state.step(event);
        if *event == Event::Start && accepted.is_ok() {
            self.askers += 1;
        }
        self.take(&accepted.unwrap_or_default());
        assert_legal(state, self);
    }
}

/// What must hold of every state.
fn assert_legal(state: &State, world: &World) {
    assert_eq!(state.phase == Phase::Paused, world.frozen);
    assert!(state.phase != Phase::Failed || world.left && state.again == Again::No);
    assert_eq!(state.again == Again::Resting, world.resting);
    assert_eq!(state.watched, world.watched);
    match state.again {
        Again::No => {}
        Again::Due(_) => assert_eq!(state.phase, Phase::Leaving),
        Again::Resting => assert_eq!(state.phase, Phase::Exited),
        Again::Starting => {
            assert!(state.phase == Phase::Starting || (state.phase == Phase::Exited && state.start_waits));
        }
    }
}

proptest! {
    #[test]
    fn any_sequence_is_legal_and_ends_free(
        asked in prop::collection::vec((any_event(), any::<u8>()), 0..60),
        rules in any_rules(),
    ) {
        let mut state = State::new(rules);
        let mut world = World { preparing: true, ..World::default() };
        for (event, pick) in asked {
            if world.vanished { break; }
            world.ask(&mut state, &event);
            if event == Event::Stop {
                prop_assert!(!state.goes_on(), "a stop is the end of restarts");
            }
            if pick % 3 != 0 && let Some(answer) = world.answer(pick) {
                world.take(&state.step(&answer).unwrap());
                assert_legal(&state, &world);
            }
        }
        // Whoever wants it gone gets it gone, from any state.
        for turn in 0..60 {
            if world.vanished { break; }
            world.take(&state.step(&Event::Remove { force: true }).unwrap_or_default());
            if let Some(answer) = world.answer(turn) {
                world.take(&state.step(&answer).unwrap());
            }
        }
        prop_assert!(world.vanished, "{state:?}");
        prop_assert_eq!(world.askers, 0, "every start that was accepted is answered");
        prop_assert!(!world.resting && !world.deadline && !world.watched, "no timer is left: {:?}", world);
    }

    /// The daemon's end is the end of every container, whatever is asked before, meanwhile and of whatever it is: nobody need
    /// kill it, or ask again.
    #[test]
    fn one_that_is_told_to_close_ends(
        before in prop::collection::vec((any_event(), any::<u8>()), 0..40),
        meanwhile in prop::collection::vec((any_meanwhile(), any::<u8>()), 40),
        rules in any_rules(),
    ) {
        let mut state = State::new(rules);
        let mut world = World { preparing: true, stubborn: true, ..World::default() };
        for (event, pick) in before {
            if world.vanished { break; }
            world.ask(&mut state, &event);
            if pick % 3 != 0 && let Some(answer) = world.answer(pick) {
                world.take(&state.step(&answer).unwrap());
            }
        }
        if !world.vanished {
            world.ask(&mut state, &Event::Close);
        }
        for (event, pick) in meanwhile {
            if world.vanished { break; }
            world.ask(&mut state, &event);
            prop_assert!(event != Event::Start || !state.start_waits, "nothing is started any more");
            if let Some(answer) = world.answer(pick) {
                world.take(&state.step(&answer).unwrap());
            }
        }
        prop_assert!(world.vanished, "{state:?} {world:?}");
        prop_assert_eq!(world.askers, 0, "every start that was accepted is answered");
    }
}
