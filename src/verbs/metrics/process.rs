//! What the daemon's own process takes, under the names that Prometheus' client libraries use.

use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};

use super::exposition::{Exposition, Kind};

/// Adds it; what the kernel does not tell is left out.
pub fn expose(text: &mut Exposition) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut add = |name: &str, kind, help: &str, value: Option<String>| {
        text.metric(name, kind, help, value.map(|value| ([], value)));
    };
    let cpu = cpu().map(|time| time.to_string());
    add("process_cpu_seconds_total", Kind::Counter, "Processor time of the daemon itself.", cpu);
    let resident = field(&status, "VmRSS:").map(|kib| (kib * 1024).to_string());
    add("process_resident_memory_bytes", Kind::Gauge, "Memory that the daemon has in use.", resident);
    let virtual_size = field(&status, "VmSize:").map(|kib| (kib * 1024).to_string());
    add("process_virtual_memory_bytes", Kind::Gauge, "Address space of the daemon.", virtual_size);
    let threads = field(&status, "Threads:").map(|n| n.to_string());
    add("process_threads", Kind::Gauge, "Threads of the daemon.", threads);
    let open = open_descriptors().map(|n| n.to_string());
    add("process_open_fds", Kind::Gauge, "Descriptors that the daemon has open.", open);
    let most = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft.to_string());
    add("process_max_fds", Kind::Gauge, "Descriptors that the daemon may have open.", most);
    add("process_start_time_seconds", Kind::Gauge, "When the daemon began, in seconds since 1970.", start());
}

/// The number behind `key` in `/proc/self/status` (proc(5)).
fn field(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

fn cpu() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Some(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// All but the one by which they are counted.
fn open_descriptors() -> Option<usize> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

/// The same at every look, as it is what the kernel noted: ticks since the boot, and when that was.
fn start() -> Option<String> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything; the time is the twentieth field behind it.
    let ticks: f64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    let boot = field(&fs::read_to_string("/proc/stat").ok()?, "btime ")?;
    Some(format!("{:.2}", boot as f64 + ticks / per_second as f64))
}
