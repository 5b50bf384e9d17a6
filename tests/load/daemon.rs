//! The daemon that is put under load.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::player::{Script, play};

/// A daemon in a directory of its own, with the image `busybox`.
pub struct Daemon {
    child: Child,
    /// Where it listens.
    pub socket: PathBuf,
}

impl Daemon {
    /// Starts it, and waits until it answers.
    pub fn start(dir: &Path, rootfs: &Path) -> Self {
        let program = std::env::var_os("GANTRYD").unwrap_or_else(|| env!("CARGO_BIN_EXE_gantryd").into());
        let mut command = Command::new(program);
        command.arg("--run").arg(dir.join("run")).arg("--root").arg(dir.join("root"));
        command.args(["--bridge", &format!("gl{}", std::process::id())]).env("GANTRY_LOG", "warn");
        let daemon = Self { child: command.stdin(Stdio::null()).spawn().unwrap(), socket: dir.join("run/gantry.sock") };
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(e) = UnixStream::connect(&daemon.socket) {
            assert!(Instant::now() < deadline, "no answer: {e}");
            std::thread::sleep(Duration::from_millis(5));
        }
        let import = format!("#: before\nimage import {} busybox", rootfs.display());
        let known = dir.join("root").join("imported");
        if !known.exists() {
            play(&Script::parse(&import).unwrap(), &daemon.socket, daemon.child.id()).unwrap();
            fs::write(known, "").unwrap();
        }
        daemon
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}
