//! What a process takes of the host, as /proc tells it.

use std::fs;
use std::time::Duration;

/// What a process takes.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Proportional set size in bytes: memory shared with other processes counts in parts.
    pub pss: u64,
    /// Open descriptors.
    pub fds: usize,
    /// Processor time used so far, in the program and in the kernel for it.
    pub cpu: Duration,
}

impl Usage {
    /// Of a process that runs.
    pub fn of(pid: u32) -> Result<Self, String> {
        let read = |what: &str| fs::read_to_string(format!("/proc/{pid}/{what}")).map_err(|e| format!("{what}: {e}"));
        let rollup = read("smaps_rollup")?;
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss")?;
        let pss: u64 = pss.trim().trim_end_matches(" kB").parse().map_err(|_| "no number for Pss")?;
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).map_err(|e| e.to_string())?.count();
        let stat = read("stat")?;
        // The name in parentheses may hold blanks; behind it the 12th and 13th field are ticks of 10 ms (proc(5)).
        let fields: Vec<&str> = stat.rsplit_once(") ").ok_or("no stat")?.1.split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or_default();
        Ok(Self { pss: pss * 1024, fds, cpu: Duration::from_millis(10 * (ticks(11) + ticks(12))) })
    }
}
