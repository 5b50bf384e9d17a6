//! crun: makes, starts and deletes containers. Facts are of 1.8.1 and 1.21.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::filters::{self, Filters};
use super::sealed::Sealed;
use super::{Call, Tool, Tools};
use crate::refusal::{Code, Refusal};

/// How long a `crun` call may take: it is a matter of milliseconds, but the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(30);

/// What crun keeps in its state directory beside the containers: seccomp filters that it compiled. 1.8.1 of Debian 12 is
/// built without that, 1.21 of Debian 13 with it.
pub const CACHE: &str = ".cache";

/// crun with the state directory that this daemon uses.
#[derive(Clone, Debug)]
pub struct Crun {
    tools: Tools,
    root: PathBuf,
    /// The copy that is run, once there is one.
    sealed: Rc<RefCell<Option<Rc<Sealed>>>>,
    filters: Filters,
}

/// The program, to be held until it was executed.
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    _sealed: Option<Rc<Sealed>>,
}

impl Crun {
    /// crun, keeping its state under `root`.
    pub fn new(tools: Tools, root: PathBuf) -> Self {
        let crun = Self { tools, root, sealed: Rc::default(), filters: Filters::default() };
        // The copy is made ahead. Where there is no crun, whoever needs it is told.
        let _ = crun.program();
        crun
    }

    /// The program, for conmon to run: a sealed copy of it where one can be made, the file itself elsewhere.
    pub fn program(&self) -> Result<Program, Refusal> {
        let path = self.tools.path(Tool::Crun)?;
        let mut sealed = self.sealed.borrow_mut();
        if sealed.as_ref().is_none_or(|sealed| !sealed.is_of(&path)) {
            let made = Sealed::copy(&path).map(Rc::new);
            *sealed = made.inspect_err(|e| log::debug!("no sealed copy of {}: {e}", path.display())).ok();
        }
        let path = sealed.as_ref().map_or(path, |sealed| sealed.path());
        Ok(Program { path, _sealed: sealed.clone() })
    }

    /// Its state directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The seccomp filters it has compiled.
    pub fn filters(&self) -> &Filters {
        &self.filters
    }

    /// Where it leaves the filter that it compiled for a container.
    pub fn filter_file(&self, id: &str) -> PathBuf {
        self.root.join(id).join(filters::FILE)
    }

    fn call(&self) -> Result<Call, Refusal> {
        let program = self.program()?;
        let call = Call::new(Tool::Crun, &program.path).holding(program);
        Ok(call.deadline(DEADLINE).arg("--root").arg(&self.root))
    }

    /// Lets a created container's process run.
    ///
    /// Done as `crun start` itself does it, by a byte into the fifo that the container's init waits at: 0.06 ms in place
    /// of 4 ms for a process. Where the fifo is not as expected, `crun start` it is.
    pub async fn start(&self, id: &str) -> Result<(), Refusal> {
        match open_exec_fifo(&self.root.join(id).join("exec.fifo")) {
            Ok(()) => Ok(()),
            Err(error) => {
                log::debug!("exec.fifo of {id}: {error}; falling back to crun start");
                self.call()?.arg("start").arg(id).succeed().await.map(drop)
            }
        }
    }

    /// Kills what is left of a container and forgets it. One that crun does not know is no error.
    pub async fn delete(&self, id: &str) -> Result<(), Refusal> {
        let deleted = self.call()?.args(["delete", "--force"]).arg(id).succeed().await;
        match deleted {
            Err(refusal) if self.forget_half(id) => log::debug!("{refusal}; what was left of its state is removed"),
            other => drop(other?),
        }
        Ok(())
    }

    /// A `crun delete` that was killed half-way leaves a state directory that no later one can read: its document is
    /// gone, and so is whatever ran. True where that was so, and the rest is removed: a few small files.
    fn forget_half(&self, id: &str) -> bool {
        let state = self.root.join(id);
        state.is_dir() && !state.join("config.json").exists() && std::fs::remove_dir_all(&state).is_ok()
    }
}

/// Writes the byte that the container's init waits for at its end of the fifo. Opened without blocking: an init that has
/// died leaves nobody to read (`ENXIO`). Removed before the byte, as `crun state` says "running" once it is gone.
fn open_exec_fifo(path: &Path) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut fifo = std::fs::OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    std::fs::remove_file(path)?;
    fifo.write_all(b"0")
}

/// What crun's own words at the creation of a container mean to the asker.
pub fn create_refusal(words: &str) -> Refusal {
    let words = words.trim();
    let code = if words.starts_with("executable file `") || words.starts_with("executable path is empty") {
        Code::NoCommand
    } else if words.starts_with("open executable") || is_no_program(words) {
        Code::NotExecutable
    } else {
        Code::ToolFailed
    };
    match code {
        Code::ToolFailed => Refusal::new(code, format_args!("crun: {words}")),
        code => Refusal::new(code, words),
    }
}

/// What 1.21 says of a file that is there and cannot be executed.
fn is_no_program(words: &str) -> bool {
    let why = ["is not executable", "is not a regular file"];
    words.starts_with("the path `") && why.iter().any(|why| words.contains(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_get_their_code() {
        let code = |words| create_refusal(words).code();
        assert_eq!(
            code("executable file `/bin/nope` not found in $PATH: No such file or directory\n"),
            Code::NoCommand
        );
        assert_eq!(code("open executable: Permission denied"), Code::NotExecutable);
        assert_eq!(code("the path `/x` exists but it is not executable: Operation not permitted"), Code::NotExecutable);
        assert_eq!(code("the path `/x` is not a regular file: Operation not permitted"), Code::NotExecutable);
        assert_eq!(code("make `/x` private: No such file or directory"), Code::ToolFailed);
    }
}
