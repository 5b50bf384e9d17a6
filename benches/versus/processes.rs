//! What an engine's processes take, told apart by the network they are in: an engine's own, or a container's.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::arena::Network;

/// What is no part of any engine: what measures it.
const MEASURING: [&str; 5] = ["wrk", "docker-registry", "skopeo", "docker", "gantry"];
/// What stays for each container beside it.
const MONITORS: [&str; 4] = ["conmon", "containerd-shim", "docker-proxy", "rootlessport"];

/// What a kind of processes takes together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// How many there are.
    pub count: usize,
    /// Proportional set size in KiB: memory that processes share counts in parts.
    pub pss: u64,
    /// Processor time used so far by them and by their children that ended.
    pub cpu: Duration,
}

/// The processes of one engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Its daemons.
    pub engine: Sum,
    /// Those that stay for each container: shims, conmon, proxies.
    pub monitors: Sum,
    /// The containers' own.
    pub containers: Sum,
}

struct Process {
    parent: i32,
    name: String,
    network: u64,
    cpu: Duration,
}

impl Taken {
    /// At this moment.
    pub fn now(network: &Network) -> Self {
        let inode = network.inode();
        let all: HashMap<i32, Process> = pids().filter_map(|pid| Some((pid, Process::read(pid)?))).collect();
        let mut taken = Self::default();
        for (pid, process) in &all {
            let sum = if process.network == inode {
                match &process.name {
                    name if MEASURING.contains(&name.as_str()) => continue,
                    name if MONITORS.iter().any(|monitor| name.starts_with(monitor)) => &mut taken.monitors,
                    _ => &mut taken.engine,
                }
            } else if descends(*pid, inode, &all) {
                &mut taken.containers
            } else {
                continue;
            };
            sum.count += 1;
            sum.pss += pss(*pid).unwrap_or_default();
            sum.cpu += process.cpu;
        }
        taken
    }

    /// What the engine takes for itself and its containers, without these.
    pub fn overhead(&self) -> u64 {
        self.engine.pss + self.monitors.pss
    }
}

/// Whether a process has an ancestor in that network.
fn descends(pid: i32, network: u64, all: &HashMap<i32, Process>) -> bool {
    let parents = std::iter::successors(all.get(&pid), |process| all.get(&process.parent));
    parents.skip(1).any(|process| process.network == network)
}

impl Process {
    /// None where it has ended meanwhile, or is a zombie.
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        // Ticks of 10 ms: utime, stime, and those of children that were waited for; proc(5).
        let ticks: u64 = fields.get(11..15)?.iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            name: head.split_once('(')?.1.to_owned(),
            network: fs::metadata(format!("/proc/{pid}/ns/net")).ok()?.ino(),
            cpu: Duration::from_millis(10 * ticks),
        })
    }
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn pss(pid: i32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?.trim().trim_end_matches(" kB").parse().ok()
}
