//! The state machine, event by event: what each life does.

use super::*;
use crate::container::restart::{Pace, Policy};
use crate::refusal::Code;

const SECOND: Duration = Duration::from_secs(1);
/// Seconds where the daemon has tenths, tens and sixties: nothing here depends on the numbers.
const PACE: Pace = Pace { first: SECOND, most: SECOND.saturating_mul(3), steady: SECOND.saturating_mul(5) };

fn rules(policy: Policy) -> Rules {
    Rules { remove_at_end: false, restarts: Restarts::new(policy, PACE), stop_signal: Signal::TERM, checked: false }
}

fn after(events: &[Event]) -> (State, Vec<Effect>) {
    follow(rules(Policy::No), events)
}

fn follow(rules: Rules, events: &[Event]) -> (State, Vec<Effect>) {
    let mut state = State::new(rules);
    let effects = events.iter().flat_map(|event| state.step(event).unwrap_or_default()).collect();
    (state, effects)
}

const RUN: [Event; 3] = [Event::Prepared, Event::Start, Event::Launched];
const END: Event = Event::Ended { failed: false, ran: SECOND };
/// From the end of one run to the next.
const ROUND: [Event; 5] = [END, Event::Released, Event::Reaped, Event::Rested, Event::Launched];

#[test]
fn a_life_from_start_to_end() {
    let (state, effects) = after(
        &[&RUN[..], &[END, Event::Released, Event::Reaped, Event::Remove { force: false }, Event::Freed]].concat(),
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
    let (mut state, _) = after(&[&RUN[..], &[END, Event::Released]].concat());
    assert_eq!(state.step(&Event::Start).unwrap(), []);
    assert_eq!(state.step(&Event::Reaped).unwrap(), [Effect::Launch]);
}

#[test]
fn what_has_ended_is_asked_for_before_it_has_come_to_rest() {
    let (mut removed, _) = after(&[&RUN[..], &[END]].concat());
    let mut started = removed.clone();
    assert_eq!(removed.step(&Event::Remove { force: false }).unwrap(), []);
    assert_eq!(removed.step(&Event::Released).unwrap(), [Effect::Reap, Effect::LetGo]);
    assert_eq!(started.step(&Event::Start).unwrap(), []);
    assert_eq!(started.step(&Event::Released).unwrap(), [Effect::Reap]);
    assert_eq!(started.step(&Event::Reaped).unwrap(), [Effect::Launch]);
}

#[test]
fn what_runs_is_removed_by_force_only() {
    let (mut state, _) = after(&RUN);
    assert!(state.step(&Event::Remove { force: false }).is_err());
    assert_eq!(state.step(&Event::Remove { force: true }).unwrap(), [Effect::Signal(Signal::KILL)]);
    state.step(&END).unwrap();
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
    let (mut state, _) = after(&[&RUN[..], &[END, Event::Released, Event::Start]].concat());
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

#[test]
fn an_end_is_followed_by_another_run() {
    let (mut state, effects) = follow(rules(Policy::Always), &[&RUN[..], &ROUND, &ROUND, &ROUND, &ROUND].concat());
    let rests: Vec<_> = effects
        .iter()
        .filter_map(|effect| if let Effect::Rest(wait) = effect { Some(wait.as_secs()) } else { None })
        .collect();
    assert_eq!(rests, [1, 2, 3, 3]);
    assert_eq!((state.phase, state.restarted, state.goes_on()), (Phase::Running, 4, false));
    state.step(&Event::Ended { failed: false, ran: PACE.steady }).unwrap();
    assert!(state.goes_on(), "known before the end is told");
    assert_eq!(state.step(&Event::Released).unwrap(), [Effect::Reap, Effect::Rest(SECOND)]);
}

#[test]
fn a_restart_waits_until_the_last_run_is_reaped() {
    let (mut state, _) = follow(rules(Policy::Always), &[&RUN[..], &[END, Event::Released, Event::Rested]].concat());
    assert_eq!((state.phase, state.goes_on()), (Phase::Exited, true));
    assert_eq!(state.step(&Event::Reaped).unwrap(), [Effect::Launch]);
}

#[test]
fn a_stop_at_any_time_is_the_end_of_restarts() {
    let all = [&RUN[..], &ROUND, &ROUND].concat();
    for count in 1..all.len() {
        let (mut state, _) = follow(rules(Policy::Always), &all[..count]);
        let effects = state.step(&Event::Stop).unwrap();
        assert!(!state.goes_on(), "{count}: {effects:?}");
        let more = [Event::Launched, END, Event::Released, Event::Reaped, Event::Rested];
        let effects: Vec<_> = more.iter().flat_map(|event| state.step(event).unwrap()).collect();
        assert!(
            !effects.iter().any(|effect| matches!(effect, Effect::Launch | Effect::Rest(_))),
            "{count}: {effects:?}"
        );
    }
}

#[test]
fn a_start_during_the_wait_is_at_once() {
    let (mut state, _) = follow(rules(Policy::Always), &[&RUN[..], &[END, Event::Released, Event::Reaped]].concat());
    assert_eq!(state.step(&Event::Start).unwrap(), [Effect::CancelRest, Effect::Launch]);
    assert_eq!((state.restarted, state.goes_on()), (0, false));
    assert_eq!(state.step(&Event::Rested).unwrap(), [], "a timer that was late");
}

#[test]
fn what_waits_for_its_restart_can_be_removed() {
    let (mut state, _) = follow(rules(Policy::Always), &[&RUN[..], &[END, Event::Released, Event::Reaped]].concat());
    assert!(state.step(&Event::Kill(Signal::KILL)).is_err() && !state.held_back);
    let effects = state.step(&Event::Remove { force: false }).unwrap();
    assert_eq!(effects, [Effect::CancelRest, Effect::LetGo, Effect::Free]);
}

#[test]
fn what_is_sent_to_end_it_ends_its_restarts() {
    for (signal, goes_on) in [("KILL", false), ("TERM", false), ("HUP", true)] {
        let signal = signal.parse().unwrap();
        let (state, _) = follow(rules(Policy::Always), &[&RUN[..], &[Event::Kill(signal), END]].concat());
        assert_eq!(state.goes_on(), goes_on, "{signal}");
    }
}

#[test]
fn a_restart_that_fails_is_tried_again() {
    let round = [END, Event::Released, Event::Reaped, Event::Rested, Event::LaunchFailed];
    let (mut state, _) = follow(rules(Policy::OnFailure { most: Some(1) }), &[&RUN[..], &round].concat());
    assert_eq!(state.phase, Phase::Exited, "it had ended well");
    state = follow(rules(Policy::Always), &[&RUN[..], &round].concat()).0;
    assert_eq!((state.phase, state.again), (Phase::Exited, Again::Resting));
    assert_eq!(state.step(&Event::Rested).unwrap(), [Effect::Launch]);
    // Ended by hand meanwhile, it is not.
    state.step(&Event::Stop).unwrap();
    assert_eq!(state.step(&Event::LaunchFailed).unwrap(), []);
    assert_eq!((state.phase, state.goes_on()), (Phase::Exited, false));
}

#[test]
fn an_unhealthy_one_is_stopped_and_started() {
    let checked = Rules { checked: true, ..rules(Policy::No) };
    let (mut state, effects) = follow(checked, &RUN);
    assert_eq!(effects, [Effect::Launch, Effect::Watch]);
    assert_eq!(state.step(&Event::Unhealthy).unwrap(), [Effect::Unwatch, Effect::AskToStop]);
    let mut stopped = state.clone();
    assert_eq!(state.step(&END).unwrap(), [Effect::CallOff, Effect::Release]);
    assert_eq!(state.step(&Event::Released).unwrap(), [Effect::Reap, Effect::Rest(SECOND)]);
    // Whoever stops it then means it.
    stopped.step(&Event::Stop).unwrap();
    stopped.step(&END).unwrap();
    assert!(!stopped.goes_on());
}

#[test]
fn health_is_left_alone_while_it_is_frozen() {
    let checked = Rules { checked: true, ..rules(Policy::No) };
    let (mut state, _) = follow(checked, &RUN);
    assert_eq!(state.step(&Event::Pause).unwrap(), [Effect::Unwatch, Effect::Freeze]);
    assert_eq!(state.step(&Event::Resume).unwrap(), [Effect::Thaw, Effect::Watch]);
}

#[test]
fn a_start_between_the_daemons_end_and_its_own_is_refused() {
    let (mut made, effects) = after(&[Event::Prepared, Event::Close]);
    assert_eq!(effects, [Effect::LetGo, Effect::Free]);
    assert_eq!(made.step(&Event::Start).unwrap_err().code(), Code::ShuttingDown);
    let (mut preparing, effects) = after(&[Event::Close]);
    assert_eq!(effects, []);
    assert_eq!(preparing.step(&Event::Start).unwrap_err().code(), Code::ShuttingDown);
    assert_eq!(preparing.step(&Event::Prepared).unwrap(), [Effect::LetGo, Effect::Free]);
    let (mut leaving, _) = after(&[&RUN[..], &[END, Event::Close]].concat());
    assert!(leaving.step(&Event::Start).is_err());
    assert_eq!(leaving.step(&Event::Released).unwrap(), [Effect::Reap, Effect::LetGo]);
}

#[test]
fn the_daemons_end_is_a_stop_that_is_waited_for_and_a_removal() {
    let (mut starting, _) = after(&[Event::Prepared, Event::Start, Event::Close]);
    assert_eq!(starting.step(&Event::Launched).unwrap(), [Effect::AskToStop]);
    assert_eq!(starting.step(&Event::DeadlinePassed).unwrap(), [Effect::Signal(Signal::KILL)]);
    assert_eq!(starting.step(&END).unwrap(), [Effect::CallOff, Effect::Release]);
    assert_eq!(starting.step(&Event::Released).unwrap(), [Effect::Reap, Effect::LetGo]);
    assert_eq!(starting.step(&Event::Reaped).unwrap(), [Effect::Free]);
    let (mut succeeded, _) = after(&[&RUN[..], &[Event::Close]].concat());
    assert_eq!(succeeded.step(&Event::Succeeded).unwrap(), [Effect::AskToStop]);
    assert_eq!(succeeded.step(&Event::GivenUp).unwrap(), [Effect::LetGo, Effect::Free]);
}

#[test]
fn what_has_failed_is_let_go_of_when_nothing_of_it_is_left() {
    for asked in [Event::Remove { force: true }, Event::Close] {
        let (mut failed, _) = after(&[&RUN[..], &[Event::GivenUp]].concat());
        assert_eq!(failed.step(&asked).unwrap(), [Effect::Free]);
        assert_eq!(failed.step(&Event::Close).unwrap(), [], "it is under way");
        assert_eq!(failed.phase, Phase::Failed);
        assert_eq!(failed.step(&Event::Freed).unwrap(), [Effect::LetGo, Effect::Vanish]);
    }
}
