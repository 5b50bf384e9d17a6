//! Locks: one daemon on a root and a run directory at a time. The kernel frees them when the daemon dies.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::make_dir;
use crate::config::Config;
use crate::refusal::Refusal;

/// The locks of this run; dropped, they are free.
pub struct Locks {
    run_lock: PathBuf,
    _held: [Flock<File>; 2],
}

/// Takes them, or says who is in the way.
pub fn take(config: &Config) -> Result<Locks, Refusal> {
    // Closed to others; the run directory may be passed through, to the socket.
    make_dir(&config.root, 0o700)?;
    make_dir(&config.run, 0o711)?;
    let run_lock = config.run.join("lock");
    let held = [lock(&config.root, &config.root.join("lock"))?, lock(&config.run, &run_lock)?];
    Ok(Locks { run_lock, _held: held })
}

fn lock(dir: &Path, path: &Path) -> Result<Flock<File>, Refusal> {
    loop {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|e| Refusal::io(path.display(), &e))?;
        let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| match e {
            Errno::EWOULDBLOCK => Refusal::in_use(format_args!("another gantryd works in {}", dir.display())),
            e => Refusal::errno(path.display(), e),
        })?;
        // A daemon that just left may have removed the file between our opening and our locking.
        let same = |file: &File| Some(file.metadata().ok()?.ino() == std::fs::metadata(path).ok()?.ino());
        if same(&locked) == Some(true) {
            return Ok(locked);
        }
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        // The run directory goes with the run; the root stays, as images do.
        let _ = std::fs::remove_file(&self.run_lock);
        if let Some(run) = self.run_lock.parent() {
            // Not empty where it is not ours alone.
            let _ = std::fs::remove_dir(run);
        }
    }
}
