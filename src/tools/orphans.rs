//! Processes that we did not start and that became our children, as the subreaper: whoever was above them ended first. A
//! crun that is killed, or fails to execute a program, leaves such. Unreaped they stay for as long as the daemon does,
//! and one of a container's keeps it from ever ending: the kernel lets the first process of a pid namespace go last.

use std::fs;
use std::io;
use std::time::Duration;

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use super::process::start_time;
use super::spawn::{self, Started};

/// How long after a look the next one follows at the soonest, however many children end.
const PAUSE: Duration = Duration::from_millis(100);

/// Reaps them as they end, which the kernel tells, for as long as the daemon lives.
pub fn keep_reaping() -> io::Result<()> {
    let mut ended = signal(SignalKind::child())?;
    actix_rt::spawn(async move {
        while ended.recv().await.is_some() {
            // While a process is being started nobody can say whose it is.
            while !reap() {
                tokio::time::sleep(PAUSE).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
    Ok(())
}

/// Reaps those that have ended. False where it cannot be said now which they are.
fn reap() -> bool {
    let Some(mut ours) = spawn::started() else { return false };
    let children: Vec<Started> =
        children().into_iter().filter_map(|pid| Some(Started { pid, since: start_time(pid)? })).collect();
    ours.retain(|started| children.contains(started));
    for child in children.iter().filter(|child| !ours.contains(child)) {
        if !is_container(child.pid) {
            // Asked without waiting: most of them are still at work.
            let _ = waitid(Id::Pid(Pid::from_raw(child.pid)), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
        }
    }
    true
}

/// Our children, whichever of our threads the kernel counts them to.
fn children() -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Whether it is the first process of a container, whose conmon is gone: whoever watches the container waits for it.
fn is_container(pid: i32) -> bool {
    match (namespace_pids(&pid.to_string()), namespace_pids("self")) {
        (Some(its), Some(ours)) => its.len() > ours.len() && its.last() == Some(&1),
        _ => false,
    }
}

/// The pids of a process in each pid namespace that it is in, from ours to its own: `NSpid` of proc(5).
fn namespace_pids(process: &str) -> Option<Vec<i32>> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    Some(pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_no_container() {
        let us = i32::try_from(std::process::id()).unwrap();
        assert_eq!(namespace_pids("self").unwrap().first(), Some(&us));
        assert!(!is_container(us) && !is_container(i32::MAX));
    }
}
