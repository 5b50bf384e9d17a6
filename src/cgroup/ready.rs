//! Migrations made quick: the first process that is moved between cgroups after a while waits for an RCU grace period,
//! some ten milliseconds on an idle host; those right behind it do not.
//!
//! A move takes a per-CPU semaphore for writing, which stays cheap to take until another grace period has passed: kernel
//! `kernel/locking/percpu-rwsem.c`, `kernel/rcu/sync.c`. Whoever is about to have crun move a process asks for that wait
//! ahead, beside its other work.

use std::fs;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::Cgroups;

/// How long after a move another one needs no such wait; a grace period is no shorter on any host seen.
const STAYS_READY: Duration = Duration::from_millis(4);

/// When the host was last made ready.
static LAST: Mutex<Option<Instant>> = Mutex::new(None);

impl Cgroups {
    /// Has the kernel be ready to move processes, by moving ourselves to where we are. Blocks: not for the daemon's
    /// thread. No more than a help: a host that will not have it is as fit as another.
    pub fn make_ready(&self) -> io::Result<()> {
        {
            let mut last = LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if last.is_some_and(|last| last.elapsed() < STAYS_READY) {
                return Ok(());
            }
            *last = Some(Instant::now());
        }
        let own = own_cgroup(&fs::read_to_string("/proc/self/cgroup")?, self.v1("pids").is_some());
        let (dir, _) = own.and_then(|own| self.dir("pids", &own)).ok_or(io::ErrorKind::Unsupported)?;
        fs::write(dir.join("cgroup.procs"), std::process::id().to_string())
    }
}

/// The cgroup that cgroups(7)'s `/proc/PID/cgroup` names for the pids controller: v1's line, or v2's.
fn own_cgroup(text: &str, is_v1: bool) -> Option<String> {
    let wanted =
        |controllers: &str| if is_v1 { controllers.split(',').any(|c| c == "pids") } else { controllers.is_empty() };
    text.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        wanted(controllers).then(|| path.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::own_cgroup;

    #[test]
    fn our_own_cgroup_is_found() {
        let hybrid = "9:name=systemd:/s\n8:pids,x:/p:q\n0::/u\n";
        assert_eq!(own_cgroup(hybrid, true).as_deref(), Some("/p:q"));
        assert_eq!(own_cgroup(hybrid, false).as_deref(), Some("/u"));
        assert_eq!(own_cgroup("1:cpu:/\n", true), None);
    }
}
