//! `make load`: plays load files, each against a daemon of its own, and prints what came of it. Arguments are files; all of
//! `tests/load/` where there are none. Over budget is an exit status of 1. `LOAD_ROUNDS` bounds rounds, times and clients, and
//! then no budget is asked. `GANTRYD` is another daemon than the one built beside. Root is needed.
//!
//! `make floods`: the same for floods; the first argument is `floods`, and the others are their names, or none for all.
//! `FLOOD_SECONDS` is how long each lasts.
#![allow(clippy::disallowed_methods, reason = "a load test starts the daemon itself, and its clients rest")]
#![allow(clippy::unwrap_used, reason = "a load test that cannot be played ends there")]

mod daemon;
mod deluge;
mod floods;
mod player;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use daemon::Daemon;
use player::{Outcome, Script, play};

fn main() -> ExitCode {
    assert!(nix::unistd::geteuid().is_root(), "containers need root");
    let dir = PathBuf::from(format!("/tmp/gantry-load-{}", std::process::id()));
    let rootfs = dir.join("busybox");
    let made = Command::new("sh").arg(repository().join("examples/busybox-rootfs.sh")).arg(&rootfs).status().unwrap();
    assert!(made.success(), "{made}");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load of the machine at the start: {}", load.trim_end());
    let given: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let over: usize = match given.split_first() {
        Some((first, names)) if first == "floods" => deluge::all(names, &dir, &rootfs),
        _ => files(&given).iter().map(|file| one(file, &dir, &rootfs)).sum(),
    };
    fs::remove_dir_all(&dir).unwrap();
    if over == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What is to be played.
fn files(given: &[String]) -> Vec<PathBuf> {
    if !given.is_empty() {
        return given.iter().map(PathBuf::from).collect();
    }
    let entries = fs::read_dir(repository().join("tests/load")).unwrap().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "load")).collect();
    found.sort();
    found
}

/// Plays one file, and tells how many budgets it has exceeded.
fn one(file: &Path, dir: &Path, rootfs: &Path) -> usize {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let script = Script::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let script = match std::env::var("LOAD_ROUNDS") {
        Ok(rounds) => script.briefly(rounds.parse().unwrap()),
        Err(_) => script,
    };
    let daemon = Daemon::start(dir, rootfs);
    let outcome = play(&script, &daemon.socket, daemon.pid());
    let outcome = outcome.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    println!("\n{}: {}", file.file_name().unwrap_or_default().display(), script.title);
    print!("{outcome}");
    let over = over(&script, &outcome);
    over.iter().for_each(|what| println!("  OVER BUDGET: {what}"));
    over.len()
}

/// What has been exceeded.
fn over(script: &Script, outcome: &Outcome) -> Vec<String> {
    let mut over = Vec::new();
    for (verb, most) in &script.budget.p99 {
        for (_, times) in outcome.replies.iter().filter(|(found, _)| verb.is_empty() || found == verb) {
            let took = Outcome::at(times, 99);
            if took > *most {
                over.push(format!("{verb} p99 {took:?}, {most:?} at most"));
            }
        }
    }
    let (cpu, grown) = (outcome.cpu_each(), outcome.usage.1.pss.saturating_sub(outcome.usage.0.pss));
    if let Some(most) = script.budget.cpu.filter(|most| cpu > *most) {
        over.push(format!("processor time {cpu:?} a reply, {most:?} at most"));
    }
    if let Some(most) = script.budget.pss.filter(|most| grown > *most) {
        over.push(format!("{} KiB more PSS, {} at most", grown / 1024, most / 1024));
    }
    over
}
