//! One look at a container's health: a process in it, ended in time, with all that came of it.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use super::check::Check;
use super::record::Look;
use crate::container::exec::{self, Output, Wishes};
use crate::container::plan::Plan;
use crate::id::Signal;
use crate::refusal::{Code, Refusal};
use crate::tools::process::{Held, Kin, kin};
use crate::undo::Ground;
use crate::worker::beside;

/// How much of what it writes is kept, in bytes; Docker's bound.
const OUTPUT_MAX: usize = 4096;
/// How often what is left of a look is looked for: a process may have had a child since the last time.
const ROUNDS: usize = 8;
/// How long one that was killed may take to be gone, before it is looked for again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks once. None where it was abandoned (`abandoned` ends), or the container does not run any more.
pub async fn look(
    plan: Arc<Plan>,
    check: Arc<Check>,
    ground: Ground,
    mut abandoned: oneshot::Receiver<()>,
) -> Option<Look> {
    let start = SystemTime::now();
    let told = |exit, output: String| Some(Look { start, end: SystemTime::now(), exit, output });
    let argv = check.argv.iter().map(|word| word.clone().into_bytes()).collect();
    let (exec, output, watch) =
        match exec::start(plan.clone(), Wishes { argv, ..Wishes::default() }, ground.clone()).await {
            Ok(started) => started,
            Err(refusal) if refusal.code() == Code::WrongState => return None,
            Err(refusal) => return told(None, refusal.to_string()),
        };
    let mut ended = pin!(futures::future::join(watch, collect(output)));
    let in_time = tokio::select! {
        ((), text) = &mut ended => Some(Some(text)),
        () = tokio::time::sleep(check.timeout) => Some(None),
        _ = &mut abandoned => None,
    };
    sweep(exec.pid, &plan, &ground).await;
    if !matches!(in_time, Some(Some(_))) {
        // One that is frozen ends when it is thawed.
        ended.await;
        sweep(exec.pid, &plan, &ground).await;
    }
    match (in_time?, exec.ended().await) {
        (None, _) => told(None, format!("it took longer than {:?}", check.timeout)),
        (Some(text), Ok(exit)) => told(Some(exit.code), text),
        (Some(_), Err(refusal)) => told(None, refusal.to_string()),
    }
}

/// Kills what a look has left: every process of its session, and those that left the session but have a parent in it.
async fn sweep(pid: i32, plan: &Arc<Plan>, ground: &Ground) {
    for _ in 0..ROUNDS {
        let (cgroups, plan) = ((*ground.cgroups).clone(), plan.clone());
        let found = beside(move || Ok(family(pid, &cgroups.processes(&plan.places.cgroup)))).await;
        let left = found.unwrap_or_else(|refusal: Refusal| {
            log::warn!("what a health check left: {refusal}");
            Vec::new()
        });
        if left.is_empty() {
            return;
        }
        for held in &left {
            if let Err(e) = held.signal(Signal::KILL) {
                log::warn!("a process that a health check left: {e}");
            }
        }
        futures::future::join_all(left.iter().map(|held| held.ended_within(PATIENCE))).await;
    }
}

/// Those of `pids` that belong to the look of `pid`.
fn family(pid: i32, pids: &[i32]) -> Vec<Held> {
    let alive: Vec<Kin> = pids.iter().filter_map(|pid| kin(*pid)).collect();
    let members = members(pid, &alive);
    let taken = alive.iter().filter(|one| members.contains(&one.pid)).filter_map(|one| Held::take(one.pid, one.start));
    taken.collect()
}

/// A session and its descendants.
fn members(session: i32, all: &[Kin]) -> HashSet<i32> {
    let mut members: HashSet<i32> = all.iter().filter(|one| one.session == session).map(|one| one.pid).collect();
    members.extend(all.iter().map(|one| one.pid).filter(|pid| *pid == session));
    loop {
        let children = all.iter().filter(|one| members.contains(&one.parent) || members.contains(&one.session));
        let more: HashSet<i32> = children.map(|one| one.pid).filter(|pid| !members.contains(pid)).collect();
        if more.is_empty() {
            return members;
        }
        members.extend(more);
    }
}

/// The beginning of what a look writes. All of it is read, lest the process waits for us.
async fn collect(mut output: Output) -> String {
    let mut bytes = Vec::new();
    while let Some(chunk) = output.next().await {
        bytes.extend(chunk.bytes.into_iter().take(OUTPUT_MAX.saturating_sub(bytes.len())));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_and_those_who_left_it_are_found() {
        let one = |pid, parent, session| Kin { pid, parent, session, start: 0 };
        let all = [
            one(1, 0, 1),
            one(20, 1, 20),
            one(21, 20, 20),
            // Its parent has ended.
            one(22, 1, 20),
            // It has made a session of its own, and has a child in it and one beyond.
            one(23, 21, 23),
            one(24, 1, 23),
            one(30, 1, 30),
        ];
        let mut found: Vec<i32> = members(20, &all).into_iter().collect();
        found.sort_unstable();
        assert_eq!(found, [20, 21, 22, 23, 24]);
        assert!(members(40, &all).is_empty());
    }
}
