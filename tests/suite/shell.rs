//! Commands of the host, as a user types them, each with a deadline.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// After how many seconds a command is killed.
const DEADLINE: u64 = 120;

/// What a command gave.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Its standard output, where it succeeded.
    #[track_caller]
    pub fn succeeds(self) -> String {
        assert!(self.status.success(), "{}\n{}{}", self.status, self.stdout, self.stderr);
        self.stdout
    }
}

/// A command that is killed at its deadline, in the environment of a user who has gantry installed.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("timeout");
    let path = std::env::var("PATH").unwrap_or_default();
    let bins = binary("gantry").parent().map(Path::to_owned).unwrap_or_default();
    let deadline = patience(DEADLINE).as_secs().to_string();
    command.args(["--foreground", "--kill-after=5", &deadline]).arg(program);
    command.env("PATH", format!("{}:{path}:/usr/sbin:/sbin", bins.display())).current_dir(repository());
    command
}

/// Runs `command` to its end.
#[track_caller]
pub fn finish(command: &mut Command) -> Output {
    let output = command.stdin(std::process::Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output { status: output.status, stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// Makes a program of `text`, which begins with `#!`. A child writes it: had we it open for writing, so had whatever process
/// another test is just starting, and nobody can run a file that somebody may write to (ETXTBSY).
#[track_caller]
pub fn program(path: &Path, text: &str) {
    let write = "printf %s \"$1\" >\"$0\"; chmod 755 \"$0\"";
    finish(command("sh").args(["-euc", write]).arg(path).arg(text)).succeeds();
}

/// Runs a script of the shell.
#[track_caller]
pub fn sh(script: &str) -> Output {
    finish(command("bash").args(["-o", "pipefail", "-euc", script]))
}

/// Where a binary of ours is: cargo says it at run time, so that a suite that was carried to another machine finds it.
pub fn binary(name: &str) -> PathBuf {
    let built = match name {
        "gantryd" => env!("CARGO_BIN_EXE_gantryd"),
        _ => env!("CARGO_BIN_EXE_gantry"),
    };
    std::env::var_os(format!("CARGO_BIN_EXE_{name}")).map_or_else(|| built.into(), PathBuf::from)
}

/// The repository, or what a suite that was carried to another machine has of it.
pub fn repository() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// A bound on a hang, never a measure of speed: `GANTRY_SUITE_PATIENCE` times as long on a machine that is slow, which an
/// emulated one is.
pub fn patience(seconds: u64) -> Duration {
    let times = std::env::var("GANTRY_SUITE_PATIENCE").map_or(1, |times| times.parse().expect("how many times"));
    Duration::from_secs(seconds * times)
}

/// How long socat bears silence once its own input has ended, in seconds: half of one by itself, which a busy machine does
/// not always keep.
pub fn socat_bears() -> u64 {
    patience(3).as_secs()
}

/// Where what is made once is kept.
pub fn scratch() -> PathBuf {
    std::env::var_os("CARGO_TARGET_TMPDIR").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from)
}

/// The root file system of the host's busybox, made once and kept.
pub fn busybox_rootfs() -> &'static Path {
    static ROOTFS: OnceLock<PathBuf> = OnceLock::new();
    ROOTFS.get_or_init(|| {
        let tmp = scratch();
        let (made, kept) = (tmp.join(format!("busybox.{}", std::process::id())), tmp.join("busybox"));
        if !kept.exists() {
            sh(&format!("examples/busybox-rootfs.sh {}", made.display())).succeeds();
            // Another process may have been first, and its tree is as good.
            if std::fs::rename(&made, &kept).is_err() {
                std::fs::remove_dir_all(&made).unwrap();
            }
        }
        kept
    })
}

/// Waits until `done` says so, and fails at the deadline.
#[track_caller]
pub fn until(deadline: Duration, what: &str, done: impl FnMut() -> bool) {
    assert!(waits(deadline, done), "not within {deadline:?}: {what}");
}

/// Waits until `done` says so, and tells whether it did before the deadline. The only waiting in the suite that is not a
/// blocking call.
pub fn waits(deadline: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    // Where looking is slow, looking more often would make it all the slower.
    let pause = patience(1) / 200;
    loop {
        if done() {
            return true;
        } else if Instant::now() > end {
            return false;
        }
        std::thread::sleep(pause);
    }
}

#[test]
fn a_rootfs_runs_its_own_programs() {
    let rootfs = busybox_rootfs().display();
    assert_eq!(sh(&format!("chroot {rootfs} /bin/sh -c 'cat /www/index.html | wc -l'")).succeeds().trim(), "1");
}
