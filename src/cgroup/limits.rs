//! Limits of a cgroup changed while its processes run.

use std::fs;
use std::io;

use super::Cgroups;

/// The period that CPU limits are counted in, in microseconds; the kernel's default.
const CPU_PERIOD: u64 = 100_000;

/// Limits to change; what is not there stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// CPU time in thousandths of a CPU.
    pub milli_cpus: Option<u32>,
    /// Processes and threads; 0 for no limit.
    pub pids: Option<u32>,
}

impl Limits {
    /// Whether none is to change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Each as a controller, the file of its cgroup, and what is written there.
    fn files(&self, is_v1: bool) -> Vec<(&'static str, &'static str, String)> {
        let mut files = Vec::new();
        if let Some(bytes) = self.memory {
            files.push(("memory", if is_v1 { "memory.limit_in_bytes" } else { "memory.max" }, bytes.to_string()));
        }
        if let Some(thousandths) = self.milli_cpus {
            let quota = u64::from(thousandths) * (CPU_PERIOD / 1000);
            files.push(match is_v1 {
                true => ("cpu", "cpu.cfs_quota_us", quota.to_string()),
                false => ("cpu", "cpu.max", format!("{quota} {CPU_PERIOD}")),
            });
        }
        if let Some(limit) = self.pids {
            files.push(("pids", "pids.max", if limit == 0 { "max".to_owned() } else { limit.to_string() }));
        }
        files
    }
}

impl Cgroups {
    /// Changes the limits of `cgroup`, one after the other until one fails. Lowering one of memory takes as long as the
    /// kernel needs to free what is above it: not for the daemon's thread.
    pub fn set_limits(&self, cgroup: &str, limits: &Limits) -> io::Result<()> {
        for (controller, file, value) in limits.files(!self.is_v2()) {
            let (dir, _) = self.dir(controller, cgroup).ok_or(io::ErrorKind::Unsupported)?;
            fs::write(dir.join(file), value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_have_their_files() {
        let limits = Limits { memory: Some(64 << 20), milli_cpus: Some(1500), pids: Some(0) };
        let text = |is_v1| limits.files(is_v1).iter().map(|(_, f, v)| format!("{f}={v}")).collect::<Vec<_>>().join(";");
        assert_eq!(text(true), "memory.limit_in_bytes=67108864;cpu.cfs_quota_us=150000;pids.max=max");
        assert_eq!(text(false), "memory.max=67108864;cpu.max=150000 100000;pids.max=max");
        assert!(Limits::default().is_empty() && !limits.is_empty());
    }
}
