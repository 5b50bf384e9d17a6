//! Processes of containers that became our children, as the subreaper, because the crun above them ended first: one that
//! failed to execute a program leaves its child to whoever comes. Unreaped, it would keep the container from ever ending,
//! as the kernel lets the first process of a pid namespace go last.

use std::fs;

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::process::{Held, start_time};

/// Sees to it that each is reaped, as soon as it has ended.
pub fn reap() {
    for pid in children().into_iter().filter(|pid| is_adopted(*pid)) {
        let Some(held) = start_time(pid).and_then(|start| Held::take(pid, start)) else { continue };
        actix_rt::spawn(async move {
            if held.ended().await {
                // Another that found it too may have been first.
                let _ = waitid(Id::Pid(Pid::from_raw(pid)), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
            }
        });
    }
}

/// Our children, whichever of our threads the kernel counts them to.
fn children() -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Whether a child is of a container's pid namespace, as none that we start is. The first process of such a namespace is
/// left out: its end is its container's, and waited for there.
fn is_adopted(pid: i32) -> bool {
    match (namespace_pids(&pid.to_string()), namespace_pids("self")) {
        (Some(its), Some(ours)) => its.len() > ours.len() && its.last().is_some_and(|innermost| *innermost != 1),
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
    fn what_we_start_is_not_adopted() {
        let us = i32::try_from(std::process::id()).unwrap();
        assert_eq!(namespace_pids("self").unwrap().first(), Some(&us));
        assert!(!is_adopted(us) && !is_adopted(i32::MAX));
    }
}
