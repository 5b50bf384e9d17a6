//! The freezer: every process of a cgroup stopped in its tracks, and let go on.
//!
//! v1 has a controller of that name and tells of its progress only to whoever asks; v2 has it in every cgroup and tells.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Cgroups, keyed};

/// How often v1 is asked; asking is also what makes it look again.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// Whether the processes of a cgroup are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frozen {
    /// All of them.
    Yes,
    /// It was asked for, and some are on their way.
    NotYet,
    /// It is not asked for, or no longer.
    No,
}

/// A freezing that is under way.
pub struct Freezing {
    dir: Option<PathBuf>,
    is_v1: bool,
}

impl Cgroups {
    /// Asks the kernel to freeze `cgroup` and all below it, or to thaw them. It is done a moment later.
    pub fn set_frozen(&self, cgroup: &str, frozen: bool) -> io::Result<()> {
        let (dir, is_v1) = self.dir("freezer", cgroup).ok_or(io::ErrorKind::Unsupported)?;
        match (is_v1, frozen) {
            (true, true) => fs::write(dir.join("freezer.state"), "FROZEN"),
            (true, false) => fs::write(dir.join("freezer.state"), "THAWED"),
            (false, frozen) => fs::write(dir.join("cgroup.freeze"), if frozen { "1" } else { "0" }),
        }
    }

    /// To wait until `cgroup` is frozen.
    pub fn freezing(&self, cgroup: &str) -> Freezing {
        let (dir, is_v1) = self.dir("freezer", cgroup).unzip();
        Freezing { dir, is_v1: is_v1.unwrap_or(false) }
    }
}

impl Freezing {
    /// Waits until it is frozen, for `limit` at most. Blocks: not for the daemon's thread.
    pub fn wait(&self, limit: Duration) -> io::Result<Frozen> {
        let dir = self.dir.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let deadline = Instant::now() + limit;
        // Opened before the first look, so that no change is missed.
        let events = if self.is_v1 { None } else { Some(File::open(dir.join("cgroup.events"))?) };
        loop {
            let state = self.state(dir)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if state != Frozen::NotYet || left.is_zero() {
                return Ok(state);
            }
            match &events {
                None => breathe(),
                Some(events) => {
                    let mut changed = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
                    poll(&mut changed, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX))?;
                }
            }
        }
    }

    fn state(&self, dir: &std::path::Path) -> io::Result<Frozen> {
        if self.is_v1 {
            let state = fs::read_to_string(dir.join("freezer.state"))?;
            return Ok(match state.trim() {
                "FROZEN" => Frozen::Yes,
                "FREEZING" => Frozen::NotYet,
                _ => Frozen::No,
            });
        }
        let asked = fs::read_to_string(dir.join("cgroup.freeze"))?.trim() == "1";
        Ok(match (asked, keyed(&dir.join("cgroup.events"), "frozen")) {
            (false, _) => Frozen::No,
            (true, Some(1)) => Frozen::Yes,
            (true, _) => Frozen::NotYet,
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "on a worker, and the kernel has no notice to give of a v1 freezer")]
fn breathe() {
    thread::sleep(ASK_EVERY);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files of either version, as the kernel words them.
    #[test]
    fn states_are_read() {
        let dir = std::env::temp_dir().join(format!("gantry-freezer-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let state = |is_v1, files: &[(&str, &str)]| {
            files.iter().for_each(|(file, text)| fs::write(dir.join(file), text).unwrap());
            Freezing { dir: Some(dir.clone()), is_v1 }.wait(Duration::ZERO).unwrap()
        };
        assert_eq!(state(true, &[("freezer.state", "FREEZING\n")]), Frozen::NotYet);
        assert_eq!(state(true, &[("freezer.state", "FROZEN\n")]), Frozen::Yes);
        assert_eq!(state(true, &[("freezer.state", "THAWED\n")]), Frozen::No);
        let v2 = |freeze, frozen| state(false, &[("cgroup.freeze", freeze), ("cgroup.events", frozen)]);
        assert_eq!(v2("1\n", "populated 1\nfrozen 0\n"), Frozen::NotYet);
        assert_eq!(v2("1\n", "populated 1\nfrozen 1\n"), Frozen::Yes);
        assert_eq!(v2("0\n", "populated 1\nfrozen 1\n"), Frozen::No);
        fs::remove_dir_all(&dir).unwrap();
    }
}
