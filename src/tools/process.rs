//! Processes that are not our children, or no longer: told apart by pid and start time, waited for by pidfd.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;

use crate::worker::look;
use crate::{fault, id, readiness};

/// How long until a process that cannot be watched is looked at again.
const UNWATCHED: Duration = Duration::from_secs(1);
/// How much of a process's environment is looked at, in bytes.
const ENVIRONMENT_MAX: u64 = 256 << 10;

/// The first `most` bytes of a file that says itself how long it is, as what a process has for its environment does: it may
/// lay that over any of its memory (`PR_SET_MM`, prctl(2)).
pub fn beginning(path: impl AsRef<Path>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// When `pid` was started: field 22 of `/proc/PID/stat`, in clock ticks since boot. None where there is no such process.
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may itself hold blanks and parentheses.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

/// Whose a process is, and since when it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kin {
    /// Its pid.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its session: the pid of the process that began it.
    pub session: i32,
    /// When it was started, as [`start_time`] has it.
    pub start: u64,
}

/// Whose `pid` is. None where there is no such process, or only its exit status is left of it.
pub fn kin(pid: i32) -> Option<Kin> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // From the third field on: state, parent, group, session, … (proc(5)).
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let number = |at: usize| fields.get(at).and_then(|text| text.parse().ok());
    let is_alive = !matches!(fields.first(), Some(&"Z" | &"X"));
    is_alive.then_some(Kin { pid, parent: number(1)?, session: number(3)?, start: fields.get(19)?.parse().ok()? })
}

/// `first` and all that descend from it, with those in sessions that one of these began: what a tool leaves behind is found
/// though its parent has ended. For a worker: it reads all of `/proc`.
pub fn family(first: i32) -> Vec<Held> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all: Vec<Kin> = pids.filter_map(kin).collect();
    hold(&members(first, &all), &all)
}

fn members(first: i32, all: &[Kin]) -> HashSet<i32> {
    // A session has the number of who began it. That of `first` itself is perhaps ours.
    kindred(HashSet::from([first]), all, HashSet::clone)
}

/// `first`, and those of `all` that descend from one of these or are in one of the `sessions` that go by what is found so far.
pub fn kindred(first: HashSet<i32>, all: &[Kin], sessions: impl Fn(&HashSet<i32>) -> HashSet<i32>) -> HashSet<i32> {
    let mut members = first;
    loop {
        let sessions = sessions(&members);
        let is_one = |one: &&Kin| members.contains(&one.parent) || sessions.contains(&one.session);
        let more: HashSet<i32> = all.iter().filter(is_one).map(|one| one.pid).collect();
        if more.is_subset(&members) {
            return members;
        }
        members.extend(more);
    }
}

/// Takes hold of those of `all` that are `members` and still there.
pub fn hold(members: &HashSet<i32>, all: &[Kin]) -> Vec<Held> {
    all.iter().filter(|one| members.contains(&one.pid)).filter_map(|one| Held::take(one.pid, one.start)).collect()
}

/// Kills a tool and its [`family`]: one that hangs is perhaps waiting for what it has started.
pub async fn end_family(first: i32) {
    for held in look(move || family(first)).await.unwrap_or_default() {
        if let Err(e) = held.signal(id::Signal::KILL) {
            log::warn!("a process of a tool that hangs cannot be killed: {e}");
        }
    }
}

/// Whether `pid` was executed with `variable` (`NAME=VALUE`) at the beginning of its environment, or forked from one that was.
pub fn has_variable(pid: i32, variable: &str) -> bool {
    let environment = beginning(format!("/proc/{pid}/environ"), ENVIRONMENT_MAX).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|one| one == variable.as_bytes())
}

/// A process held by a pidfd: whatever becomes of its pid, it is this process that is meant.
pub struct Held(OwnedFd);

impl Held {
    /// Takes hold of `pid`, if it is still the process that was started at `start`.
    pub fn take(pid: i32, start: u64) -> Option<Self> {
        let fd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        // Asked behind the open: from there on the descriptor and the pid are of one process or the pid is stale.
        (start_time(pid) == Some(start)).then_some(Self(fd))
    }

    /// Whether it has not ended yet.
    pub fn is_there(&self) -> bool {
        let mut watched = [PollFd::new(&self.0, PollFlags::IN)];
        // What cannot be told is no end.
        poll(&mut watched, Some(&Timespec::default())).map_or(true, |ended| ended == 0)
    }

    /// Sends it a signal. One that has ended takes none, which is no error.
    pub fn signal(&self, signal: id::Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.0, raw(signal)) {
            Err(Errno::SRCH) | Ok(()) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Waits until it has ended, be it a zombie that somebody must still reap.
    pub async fn ended(&self) {
        while self.is_there() {
            if self.watched().await.is_err() {
                // There is no descriptor left to watch it by; there may be one later.
                tokio::time::sleep(UNWATCHED).await;
            }
        }
    }

    async fn watched(&self) -> io::Result<()> {
        if fault::is_used_up("pidfds") {
            return Err(Errno::MFILE.into());
        }
        let fd = readiness::watch(self.0.try_clone()?, Interest::READABLE)?;
        fd.readable().await.map(drop)
    }

    /// The same, but false when `limit` passed first.
    pub async fn ended_within(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.ended()).await.is_ok()
    }

    /// Sees to it that it ends: waits `patience` for it to go by itself, then kills it. False when even that failed.
    pub async fn end(&self, patience: Duration) -> bool {
        if self.ended_within(patience).await {
            return true;
        }
        if let Err(e) = self.signal(id::Signal::KILL) {
            log::warn!("cannot kill a process: {e}");
        }
        self.ended_within(Duration::from_secs(5)).await
    }
}

/// The same signal as rustix has it, which names no real-time signal.
#[expect(unsafe_code, reason = "rustix has no checked way to a real-time signal")]
fn raw(signal: id::Signal) -> Signal {
    // SAFETY: an `id::Signal` is a signal number of Linux by construction, and it is only sent to another process: no
    // handler or mask of ours, for which glibc keeps two numbers to itself, is touched.
    unsafe { Signal::from_raw_unchecked(signal.number()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_has_no_end_the_beginning_is_read() {
        assert_eq!(beginning("/dev/zero", 1000).unwrap(), vec![0; 1000]);
        assert_eq!(beginning("/proc/self/comm", 2).unwrap().len(), 2);
    }

    #[test]
    fn a_family_is_found_by_parents_and_by_the_sessions_that_it_began() {
        let one = |pid, parent, session| Kin { pid, parent, session, start: 0 };
        // 10 is in the session of whoever started it; 12 has lost its parent, and 13 has a session of its own.
        let all = [one(1, 0, 1), one(10, 1, 5), one(11, 10, 11), one(12, 1, 11), one(13, 12, 13), one(20, 1, 5)];
        let mut found: Vec<i32> = members(10, &all).into_iter().collect();
        found.sort_unstable();
        assert_eq!(found, [10, 11, 12, 13]);
        assert_eq!(members(99, &all), HashSet::from([99]));
    }
}
