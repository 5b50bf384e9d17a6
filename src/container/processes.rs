//! What runs in a container: its cgroup's processes, and what the kernel tells of each.

use std::collections::HashMap;
use std::fs;

use nix::unistd::{SysconfVar, sysconf};

use super::plan::Plan;
use super::{user, userns};
use crate::refusal::Refusal;
use crate::tools::process::beginning;

/// How much of a command line is shown, in bytes.
const COMMAND_MAX: u64 = 4096;

/// One process.
#[derive(Debug, PartialEq)]
pub struct Process {
    /// In the daemon's pid namespace.
    pub pid: i32,
    /// By its name in the container's own files, else by number.
    pub user: String,
    /// CPU time used so far, in seconds.
    pub time: f64,
    /// The kernel's letter: `R` runs, `S` and `D` wait, `T` is stopped, `Z` has ended.
    pub state: char,
    /// Its command line, or its name in brackets where it has none.
    pub command: String,
}

/// Those of `pids` that are still there. Reads what belongs to other processes: not for the daemon's thread.
pub fn look_at(pids: &[i32], plan: &Plan) -> Result<Vec<Process>, Refusal> {
    let names = user::names(&plan.places.rootfs())?;
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    Ok(pids.iter().filter_map(|pid| process(*pid, &names, ticks as f64)).collect())
}

fn process(pid: i32, names: &HashMap<u32, String>, ticks: f64) -> Option<Process> {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).ok();
    let stat = String::from_utf8_lossy(&read("stat")?).into_owned();
    let (name, state, time) = stat_fields(&stat)?;
    let status = String::from_utf8_lossy(&read("status")?).into_owned();
    // Real, effective, saved and file system ids: the effective one tells what it may do.
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()?;
    let uid: u32 = uid;
    // As its own user namespace counts it.
    let uid = userns::first_of(pid).and_then(|first| uid.checked_sub(first)).unwrap_or(uid);
    let words = beginning(format!("/proc/{pid}/cmdline"), COMMAND_MAX).unwrap_or_default();
    let command = command(&words).unwrap_or_else(|| format!("[{name}]"));
    let user = names.get(&uid).cloned().unwrap_or_else(|| uid.to_string());
    Some(Process { pid, user, time: time as f64 / ticks, state, command })
}

/// Name, state, and CPU time in ticks: fields 2, 3, 14 and 15 of `/proc/PID/stat`.
fn stat_fields(stat: &str) -> Option<(&str, char, u64)> {
    // The name may itself hold blanks and parentheses.
    let (head, rest) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once(" (")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((name, fields.first()?.chars().next()?, ticks(11)? + ticks(12)?))
}

/// The arguments, which end in NUL each, joined by blanks.
fn command(bytes: &[u8]) -> Option<String> {
    let words: Vec<_> = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let text = words.join(" ").trim_end().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(stat_fields(stat), Some(("a) b (c", 'S', 300)));
        assert_eq!(command(b"sh\0-c\0sleep 1\0").as_deref(), Some("sh -c sleep 1"));
        assert_eq!(command(b""), None);
        let us = process(i32::try_from(std::process::id()).unwrap(), &HashMap::new(), 100.0).unwrap();
        assert!(us.user.parse::<u32>().is_ok() && !us.command.is_empty());
    }
}
