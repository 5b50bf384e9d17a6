//! Limits of a cgroup changed while its processes run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Cgroups;

/// The period that CPU limits are counted in, in microseconds; the kernel's default.
const CPU_PERIOD: u64 = 100_000;

/// Limits to change; what is not there stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Memory and swap together in bytes, -1 for as much swap as there is. Goes with `memory`, which v2 takes it off from.
    pub memory_swap: Option<i64>,
    /// CPU time in thousandths of a CPU.
    pub milli_cpus: Option<u32>,
    /// Processes and threads; 0 for no limit.
    pub pids: Option<u32>,
}

/// A file of a cgroup, by its controller, and what is written there.
type Setting = (&'static str, &'static str, String);

impl Limits {
    /// Whether none is to change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What to write, in that order. `swap_now` is v1's limit of memory and swap together as it is.
    fn settings(&self, is_v1: bool, swap_now: Option<u64>) -> Vec<Setting> {
        let mut settings = if is_v1 { self.memory_v1(swap_now) } else { self.memory_v2() };
        if let Some(thousandths) = self.milli_cpus {
            let quota = u64::from(thousandths) * (CPU_PERIOD / 1000);
            settings.push(match is_v1 {
                true => ("cpu", "cpu.cfs_quota_us", quota.to_string()),
                false => ("cpu", "cpu.max", format!("{quota} {CPU_PERIOD}")),
            });
        }
        if let Some(limit) = self.pids {
            settings.push(("pids", "pids.max", if limit == 0 { "max".to_owned() } else { limit.to_string() }));
        }
        settings
    }

    /// The kernel keeps the limit of memory alone at or below that of both at every moment (`EINVAL` otherwise): the
    /// greater is raised first, and lowered last.
    fn memory_v1(&self, swap_now: Option<u64>) -> Vec<Setting> {
        let memory = self.memory.map(|bytes| ("memory", "memory.limit_in_bytes", bytes.to_string()));
        let both = self.memory_swap.map(|bytes| ("memory", "memory.memsw.limit_in_bytes", bytes.to_string()));
        let wanted = self.memory_swap.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(u64::MAX);
        match swap_now.is_none_or(|now| wanted >= now) {
            true => both.into_iter().chain(memory).collect(),
            false => memory.into_iter().chain(both).collect(),
        }
    }

    fn memory_v2(&self) -> Vec<Setting> {
        let memory = self.memory.map(|bytes| ("memory", "memory.max", bytes.to_string()));
        let swap = self.memory_swap.map(|both| match u64::try_from(both) {
            Ok(both) => both.saturating_sub(self.memory.unwrap_or(0)).to_string(),
            Err(_) => "max".to_owned(),
        });
        memory.into_iter().chain(swap.map(|swap| ("memory", "memory.swap.max", swap))).collect()
    }
}

impl Cgroups {
    /// Changes the limits of `cgroup`, all of them or none. Lowering one of memory takes as long as the kernel needs to
    /// free what is above it: not for the daemon's thread.
    pub fn set_limits(&self, cgroup: &str, limits: &Limits) -> io::Result<()> {
        let swap_now =
            self.dir("memory", cgroup).and_then(|(dir, _)| super::number(&dir.join("memory.memsw.limit_in_bytes")));
        let mut settings = Vec::new();
        for (controller, file, value) in limits.settings(!self.is_v2(), swap_now) {
            let (dir, _) = self.dir(controller, cgroup).ok_or(io::ErrorKind::Unsupported)?;
            settings.push((dir.join(file), value));
        }
        write_all(&settings)
    }
}

/// Writes each, and puts back those that were written where one cannot be.
fn write_all(settings: &[(PathBuf, String)]) -> io::Result<()> {
    let mut before: Vec<(&Path, String)> = Vec::new();
    for (path, value) in settings {
        let written = fs::read_to_string(path).and_then(|was| fs::write(path, value).map(|()| was));
        match written {
            Ok(was) => before.push((path, was)),
            Err(error) => {
                for (path, was) in before.into_iter().rev() {
                    if let Err(e) = fs::write(path, was.trim()) {
                        log::error!("{} cannot be put back to {}: {e}", path.display(), was.trim());
                    }
                }
                return Err(error);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(limits: &Limits, is_v1: bool, swap_now: Option<u64>) -> String {
        let settings = limits.settings(is_v1, swap_now);
        settings.iter().map(|(_, file, value)| format!("{file}={value}")).collect::<Vec<_>>().join(";")
    }

    #[test]
    fn both_versions_have_their_files() {
        let limits = Limits { memory: Some(64 << 20), memory_swap: None, milli_cpus: Some(1500), pids: Some(0) };
        assert_eq!(text(&limits, true, None), "memory.limit_in_bytes=67108864;cpu.cfs_quota_us=150000;pids.max=max");
        assert_eq!(text(&limits, false, None), "memory.max=67108864;cpu.max=150000 100000;pids.max=max");
        assert!(Limits::default().is_empty() && !limits.is_empty());
    }

    #[test]
    fn the_greater_limit_is_raised_first_and_lowered_last() {
        let limits = |memory_swap| Limits { memory: Some(10), memory_swap: Some(memory_swap), ..Limits::default() };
        let (memory, both) = ("memory.limit_in_bytes=10", "memory.memsw.limit_in_bytes");
        assert_eq!(text(&limits(20), true, Some(15)), format!("{both}=20;{memory}"));
        assert_eq!(text(&limits(20), true, Some(30)), format!("{memory};{both}=20"));
        assert_eq!(text(&limits(-1), true, Some(30)), format!("{both}=-1;{memory}"));
        assert_eq!(text(&limits(25), false, None), "memory.max=10;memory.swap.max=15");
        assert_eq!(text(&limits(-1), false, None), "memory.max=10;memory.swap.max=max");
    }

    #[test]
    fn what_fails_in_part_is_put_back() {
        let dir = std::env::temp_dir().join(format!("gantry-limits-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (a, b, none) = (dir.join("a"), dir.join("b"), dir.join("none/c"));
        fs::write(&a, "1\n").unwrap();
        fs::write(&b, "max 100\n").unwrap();
        let settings = [(a.clone(), "7".to_owned()), (b.clone(), "8 100".to_owned()), (none, "9".to_owned())];
        write_all(&settings).unwrap_err();
        assert_eq!((fs::read_to_string(&a).unwrap(), fs::read_to_string(&b).unwrap()), ("1".into(), "max 100".into()));
        write_all(&settings[..2]).unwrap();
        assert_eq!((fs::read_to_string(&a).unwrap(), fs::read_to_string(&b).unwrap()), ("7".into(), "8 100".into()));
        fs::remove_dir_all(&dir).unwrap();
    }
}
