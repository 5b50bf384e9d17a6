//! One look at a container's health: a process in it, ended in time, with all that came of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::LocalBoxFuture;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::check::Check;
use super::record::Look;
use crate::container::exec::{self, Output, Wishes};
use crate::container::plan::Plan;
use crate::id::{ExecId, Signal};
use crate::refusal::{Code, Refusal};
use crate::tools::process::{Held, Kin, has_variable, hold, kin, kindred};
use crate::undo::Ground;
use crate::worker::beside;

/// How much of what it writes is kept, in bytes; Docker's bound.
const OUTPUT_MAX: usize = 4096;
/// The variable by which everything that a look starts is known again.
const MARK: &str = "GANTRY_HEALTH";
/// How often what is left of a look is looked for: a process may have had a child since the last time.
const ROUNDS: usize = 8;
/// How long one that was killed may take to be gone, before it is looked for again.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long what is left of a look that took too long may take to be ended before that is told.
const GRACE: Duration = Duration::from_secs(5);

/// What came of a look.
pub struct Looked {
    /// What it has found. None where it was abandoned, or the container does not run any more.
    pub found: Option<Look>,
    /// To be driven to its end: what is left of it cannot be ended yet, as it waits for a disk, say, or is frozen.
    pub rest: Option<LocalBoxFuture<'static, ()>>,
}

impl From<Option<Look>> for Looked {
    fn from(found: Option<Look>) -> Self {
        Self { found, rest: None }
    }
}

/// Looks once, or abandons that where `abandoned` ends.
pub async fn look(plan: Arc<Plan>, check: Arc<Check>, ground: Ground, mut abandoned: oneshot::Receiver<()>) -> Looked {
    let start = SystemTime::now();
    let told = |exit, output: String| Looked::from(Some(Look { start, end: SystemTime::now(), exit, output }));
    let mark = match ExecId::random() {
        Ok(id) => format!("{MARK}={id}"),
        Err(refusal) => return told(None, refusal.to_string()),
    };
    let argv = check.argv.iter().map(|word| word.clone().into_bytes()).collect();
    let wishes = Wishes { argv, env: vec![mark.clone()], ..Wishes::default() };
    let (exec, output, watch) = match exec::start(plan.clone(), wishes, None, ground.clone()).await {
        Ok(started) => started,
        Err(refusal) if refusal.code() == Code::WrongState => return None.into(),
        Err(refusal) => return told(None, refusal.to_string()),
    };
    let pid = exec.pid;
    let mut ended = Box::pin(futures::future::join(watch, collect(output)));
    let in_time = tokio::select! {
        ((), text) = &mut ended => Some(Some(text)),
        () = tokio::time::sleep(check.timeout) => Some(None),
        _ = &mut abandoned => None,
    };
    let is_over = matches!(in_time, Some(Some(_)));
    let mut rest: LocalBoxFuture<'static, ()> = Box::pin(async move {
        if !is_over {
            sweep(&mark, Some(pid), &plan, &ground).await;
            // One that is frozen ends when it is thawed.
            ended.await;
        }
        sweep(&mark, None, &plan, &ground).await;
    });
    if in_time == Some(None) {
        let is_left = timeout(GRACE, &mut rest).await.is_err();
        let looked = told(None, format!("it took longer than {:?}", check.timeout));
        return Looked { rest: is_left.then_some(rest), ..looked };
    }
    rest.await;
    match (in_time.flatten(), exec.ended().await) {
        (None, _) => None.into(),
        (Some(text), Ok(exit)) => told(Some(exit.code), text),
        (Some(_), Err(refusal)) => told(None, refusal.to_string()),
    }
}

/// Kills what a look has started: its own process where that runs yet, every one that has its mark, and those that put it
/// off but have a parent or share a session with one of these.
async fn sweep(mark: &str, own: Option<i32>, plan: &Arc<Plan>, ground: &Ground) {
    for _ in 0..ROUNDS {
        let (cgroups, plan, mark) = ((*ground.cgroups).clone(), plan.clone(), mark.to_owned());
        let found = beside(move || Ok(family(&mark, own, &cgroups.processes(&plan.places.cgroup)))).await;
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

/// Those of `pids` that belong to the look with that mark and process.
fn family(mark: &str, own: Option<i32>, pids: &[i32]) -> Vec<Held> {
    let alive: Vec<Kin> = pids.iter().filter_map(|pid| kin(*pid)).collect();
    let marked = alive.iter().map(|one| one.pid).filter(|pid| Some(*pid) == own || has_variable(*pid, mark)).collect();
    hold(&members(marked, &alive), &alive)
}

/// Those of `all` that are in `first`, share a session with one of them, or descend from one.
fn members(first: HashSet<i32>, all: &[Kin]) -> HashSet<i32> {
    let sessions =
        |members: &HashSet<i32>| all.iter().filter(|one| members.contains(&one.pid)).map(|one| one.session).collect();
    kindred(first, all, sessions)
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
    fn the_marked_and_theirs_are_found() {
        let one = |pid, parent, session| Kin { pid, parent, session, start: 0 };
        // crun makes the session before it forks the process: nobody in it has its number.
        let all = [one(1, 0, 1), one(21, 1, 20), one(22, 21, 20), one(23, 22, 23), one(24, 1, 23), one(30, 1, 30)];
        let found = |marked: &[i32]| {
            let mut found: Vec<i32> = members(marked.iter().copied().collect(), &all).into_iter().collect();
            found.sort_unstable();
            found
        };
        assert_eq!(found(&[22]), [21, 22, 23, 24]);
        assert_eq!(found(&[24]), [23, 24], "its parent has ended");
        assert!(found(&[]).is_empty());
    }
}
