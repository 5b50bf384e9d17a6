//! The state machine, event by event: what each life does.

use super::*;

fn after(events: &[Event]) -> (State, Vec<Effect>) {
    let mut state = State::new(false);
    let effects = events.iter().flat_map(|event| state.step(event).unwrap_or_default()).collect();
    (state, effects)
}

const RUN: [Event; 3] = [Event::Prepared, Event::Start, Event::Launched];

#[test]
fn a_life_from_start_to_end() {
    let (state, effects) = after(
        &[&RUN[..], &[Event::Ended, Event::Released, Event::Reaped, Event::Remove { force: false }, Event::Freed]]
            .concat(),
    );
    assert_eq!(state.phase, Phase::Removing);
    assert_eq!(effects, [Effect::Launch, Effect::Release, Effect::Reap, Effect::LetGo, Effect::Free, Effect::Vanish]);
}

#[test]
fn a_stop_is_heard_while_it_starts() {
    let (state, effects) = after(&[Event::Prepared, Event::Start, Event::Stop, Event::Launched]);
    assert_eq!(state.phase, Phase::Stopping);
    assert_eq!(effects, [Effect::Launch, Effect::AskToStop]);
}

#[test]
fn a_new_run_waits_until_the_last_is_reaped() {
    let (mut state, _) = after(&[&RUN[..], &[Event::Ended, Event::Released]].concat());
    assert_eq!(state.step(&Event::Start).unwrap(), []);
    assert_eq!(state.step(&Event::Reaped).unwrap(), [Effect::Launch]);
}

#[test]
fn what_runs_is_removed_by_force_only() {
    let (mut state, _) = after(&RUN);
    assert!(state.step(&Event::Remove { force: false }).is_err());
    assert_eq!(state.step(&Event::Remove { force: true }).unwrap(), [Effect::Signal(Signal::KILL)]);
    state.step(&Event::Ended).unwrap();
    assert_eq!(state.step(&Event::Released).unwrap(), [Effect::Reap, Effect::LetGo]);
    assert_eq!(state.step(&Event::Reaped).unwrap(), [Effect::Free]);
}

#[test]
fn what_is_frozen_is_thawed_before_it_can_end() {
    let (mut state, effects) = after(&[&RUN[..], &[Event::Pause]].concat());
    assert_eq!((state.phase, effects.last()), (Phase::Paused, Some(&Effect::Freeze)));
    assert!(state.step(&Event::Pause).is_err() && state.step(&Event::Start).is_err());
    assert!(state.step(&Event::Remove { force: false }).is_err());
    let mut stopped = state.clone();
    assert_eq!(stopped.step(&Event::Stop).unwrap(), [Effect::AskToStop, Effect::Thaw]);
    assert_eq!(state.step(&Event::Kill(Signal::TERM)).unwrap(), [Effect::Signal(Signal::TERM)]);
    assert_eq!(state.phase, Phase::Paused);
    let mut killed = state.clone();
    assert_eq!(killed.step(&Event::Kill(Signal::KILL)).unwrap(), [Effect::Signal(Signal::KILL), Effect::Thaw]);
    assert_eq!(state.step(&Event::FreezeFailed).unwrap(), [Effect::Thaw]);
    assert!(state.step(&Event::Resume).is_err());
}

#[test]
fn a_stop_takes_back_a_start_that_waits() {
    let (mut state, _) = after(&[&RUN[..], &[Event::Ended, Event::Released, Event::Start]].concat());
    assert_eq!(state.step(&Event::Stop).unwrap(), [Effect::RefuseStart]);
    assert_eq!(state.step(&Event::Reaped).unwrap(), []);
}

#[test]
fn no_signal_takes_the_place_of_a_removals_kill() {
    let (mut state, _) = after(&[Event::Prepared, Event::Start, Event::Remove { force: true }]);
    state.step(&Event::Kill(Signal::TERM)).unwrap();
    assert_eq!(state.step(&Event::Launched).unwrap(), [Effect::Signal(Signal::TERM), Effect::Signal(Signal::KILL)]);
}

#[test]
fn a_failed_start_leaves_it_created() {
    let (mut state, _) = after(&[Event::Prepared, Event::Start, Event::LaunchFailed]);
    assert_eq!(state.phase, Phase::Created);
    assert_eq!(state.step(&Event::Start).unwrap(), [Effect::Launch]);
}
