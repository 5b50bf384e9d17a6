//! The cgroup of the tools that the daemon starts: what they take is not counted against a limit that is the daemon's own.

use std::fs::{self, File};
use std::io::{self, Write};

use super::Cgroups;

/// Its name, beside those of containers, which are ids.
pub const NAME: &str = "helpers";

/// A cgroup that processes are put into.
#[derive(Debug)]
pub struct Helpers {
    procs: File,
}

impl Cgroups {
    /// Makes that cgroup under `parent`, where memory is counted; one that is there is as good.
    pub fn helpers(&self, parent: &str) -> io::Result<Helpers> {
        let (dir, _) = self.dir("memory", &format!("{parent}/{NAME}")).ok_or(io::ErrorKind::Unsupported)?;
        fs::create_dir_all(&dir)?;
        Ok(Helpers { procs: File::options().write(true).open(dir.join("cgroup.procs"))? })
    }
}

impl Helpers {
    /// Puts a process into it, with whatever that starts from now on.
    pub fn take(&self, pid: i32) -> io::Result<()> {
        // One write, as the kernel takes it for one process.
        (&self.procs).write_all(pid.to_string().as_bytes())
    }
}
