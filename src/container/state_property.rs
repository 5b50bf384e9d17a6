//! The state machine under any sequence of events: every state stays legal, and what was made is freed.

use proptest::prelude::*;

use super::*;

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Start),
        Just(Event::Stop),
        Just(Event::Kill(Signal::TERM)),
        Just(Event::Pause),
        Just(Event::Resume),
        Just(Event::DeadlinePassed),
        any::<bool>().prop_map(|force| Event::Remove { force }),
    ]
}

/// The answers that the world gives to effects, in any order with what clients ask for.
#[derive(Default)]
struct World {
    preparing: bool,
    launching: bool,
    running: bool,
    frozen: bool,
    releasing: bool,
    reaping: bool,
    freeing: bool,
    let_go: bool,
    vanished: bool,
    /// Starts that were accepted and not answered.
    askers: u32,
}

impl World {
    fn take(&mut self, effects: &[Effect]) {
        for effect in effects {
            assert!(!self.vanished, "nothing happens after the end");
            match effect {
                Effect::Launch => {
                    assert!(
                        !self.launching && !self.running && !self.releasing && !self.reaping && !self.freeing,
                        "one run at a time"
                    );
                    self.launching = true;
                }
                Effect::Freeze => {
                    assert!(self.running && !self.frozen, "what runs is frozen, once");
                    self.frozen = true;
                }
                Effect::Thaw => {
                    assert!(self.running && self.frozen, "what is frozen is thawed");
                    self.frozen = false;
                }
                Effect::Release => {
                    (self.running, self.frozen) = (false, false);
                    self.releasing = true;
                }
                Effect::Reap => {
                    assert!(!self.releasing && !self.reaping, "reaped once, when released");
                    self.reaping = true;
                }
                Effect::RefuseStart => self.askers = 0,
                Effect::LetGo => {
                    assert!(!self.let_go, "a name is let go once");
                    self.let_go = true;
                }
                Effect::Free => {
                    assert!(
                        !self.running && !self.launching && !self.releasing && !self.reaping && !self.freeing,
                        "freed once, when nothing runs or is under way"
                    );
                    self.freeing = true;
                }
                Effect::Vanish => {
                    assert!(!self.reaping && !self.freeing, "nothing is under way at the end");
                    self.vanished = true;
                }
                Effect::Signal(_) | Effect::AskToStop => {
                    assert!(self.running, "signals go to a process that is there");
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
        } else if self.running {
            due.push(Event::Ended);
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
            Event::Released => self.releasing = false,
            Event::Reaped => self.reaping = false,
            Event::Freed => self.freeing = false,
            _ => {}
        }
        Some(event)
    }
}

proptest! {
    #[test]
    fn any_sequence_is_legal_and_ends_free(asked in prop::collection::vec((any_event(), any::<u8>()), 0..60), rm in any::<bool>()) {
        let mut state = State::new(rm);
        let mut world = World { preparing: true, ..World::default() };
        for (event, pick) in asked {
            if world.vanished { break; }
            let accepted = state.step(&event);
            if event == Event::Start && accepted.is_ok() {
                world.askers += 1;
            }
            world.take(&accepted.unwrap_or_default());
            prop_assert_eq!(state.phase == Phase::Paused, world.frozen);
            if pick % 3 != 0 && let Some(answer) = world.answer(pick) {
                world.take(&state.step(&answer).unwrap());
            }
        }
        // Whoever wants it gone gets it gone, from any state.
        for _ in 0..20 {
            if world.vanished { break; }
            world.take(&state.step(&Event::Remove { force: true }).unwrap_or_default());
            if let Some(answer) = world.answer(1) {
                world.take(&state.step(&answer).unwrap());
            }
        }
        prop_assert!(world.vanished, "{state:?}");
        prop_assert_eq!(world.askers, 0, "every start that was accepted is answered");
    }
}
