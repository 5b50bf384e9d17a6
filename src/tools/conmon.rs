//! conmon: one small process that watches one container, keeps its output and its exit status. Facts are of 2.1.6 and
//! 2.1.12.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::Child;

use super::call::{command, log_command, spawn_failed};
use super::crun::{Crun, Program, create_refusal};
use super::process::end_family;
use super::spawn::spawn_inheriting;
use super::terminal::Size;
use super::{Tool, Tools};
use crate::fault;
use crate::refusal::Refusal;

/// How long conmon and the `crun create` under it may take to say how that went.
const CREATE_DEADLINE: Duration = Duration::from_secs(60);
/// The longest line on the sync pipe that is read.
const LINE_MAX: u64 = 64 << 10;

/// What conmon is to watch.
pub struct Watch<'a> {
    /// The id that crun knows the container by.
    pub id: &'a str,
    /// The bundle: `config.json` lies there, conmon's sockets and fifos come there, and it is conmon's working
    /// directory, where it leaves `oom`.
    pub bundle: &'a Path,
    /// Where output goes, in the k8s-file format.
    pub log: &'a Path,
    /// It has a standard input, open until somebody ends it through the attach socket; else an empty one.
    pub stdin: bool,
    /// Its standard streams are a terminal.
    pub terminal: bool,
}

/// A conmon that was started, and waits for leave to go on.
pub struct Waiting {
    child: Leashed,
    start: OwnedFd,
    sync: pipe::Receiver,
    /// conmon is yet to execute it.
    _crun: Program,
}

/// A conmon that is killed where it is dropped: it would take the end of the pipe for leave to go on.
struct Leashed(Option<Child>);

impl Leashed {
    /// Its end is no longer ours to see to.
    fn let_off(mut self) -> Result<Child, Refusal> {
        self.0.take().ok_or_else(|| Refusal::internal("a conmon that was started is not known"))
    }

    fn pid(&self) -> Option<i32> {
        self.0.as_ref()?.id().and_then(|pid| i32::try_from(pid).ok())
    }

    async fn kill(mut self) {
        if let Some(mut child) = self.0.take()
            && let Err(e) = child.kill().await
        {
            log::warn!("conmon, which waits for nothing, could not be killed: {e}");
        }
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.start_kill();
        }
    }
}

/// A conmon that watches a created container.
pub struct Monitor {
    child: Child,
    /// The container's first process, in the daemon's pid namespace.
    pub init: i32,
}

/// One line of the sync pipe (api-version 1).
#[derive(Deserialize)]
struct Sync {
    data: i32,
    #[serde(default)]
    message: String,
}

/// Starts conmon, which does nothing until [`Waiting::create`] lets it: time to write down its pid.
///
/// `--sync` keeps it our child, so that its end and exit status are told by the kernel; it still outlives us, having a
/// session of its own and no parent-death signal.
pub async fn start(tools: &Tools, crun: &Crun, watch: &Watch<'_>) -> Result<Waiting, Refusal> {
    let failed = |e: &std::io::Error| spawn_failed(Tool::Conmon, e);
    let (start_read, start) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|e| failed(&e.into()))?;
    let (sync, sync_write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|e| failed(&e.into()))?;
    let sync = pipe::Receiver::from_owned_fd(sync).map_err(|e| failed(&e))?;
    let mut conmon = command(&tools.path(Tool::Conmon)?);
    let program = crun.program()?;
    conmon.args(arguments(&program.path, crun.root(), watch)).current_dir(watch.bundle);
    // conmon itself closes them to what it executes.
    conmon.env("_OCI_SYNCPIPE", sync_write.as_raw_fd().to_string());
    conmon.env("_OCI_STARTPIPE", start_read.as_raw_fd().to_string());
    if watch.terminal {
        // Its console socket is made there, with a path that must fit into 107 bytes.
        conmon.env_remove("TMPDIR");
    }
    conmon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    log_command(conmon.as_std());
    let child = spawn_inheriting(conmon, vec![sync_write, start_read]).await.map_err(|e| failed(&e))?;
    Ok(Waiting { child: Leashed(Some(child)), start, sync, _crun: program })
}

fn arguments(crun: &Path, crun_root: &Path, watch: &Watch<'_>) -> Vec<OsString> {
    let bundle = watch.bundle;
    let prefixed = |prefix: &str, path: &Path| {
        let mut value = OsString::from(prefix);
        value.push(path);
        value
    };
    let mut args: Vec<OsString> =
        ["--api-version", "1", "--sync", "--no-sync-log", "--full-attach"].map(Into::into).into();
    for (flag, value) in [
        ("-c", watch.id.into()),
        ("-u", watch.id.into()),
        ("-n", watch.id.into()),
        ("-r", crun.into()),
        ("-b", bundle.into()),
        ("-p", bundle.join("pidfile").into()),
        ("-l", prefixed("k8s-file:", watch.log)),
        ("--exit-dir", bundle.join("exit").into()),
        ("--runtime-arg", prefixed("--root=", crun_root)),
    ] {
        args.extend([OsString::from(flag), value]);
    }
    if watch.stdin {
        args.push("-i".into());
    }
    if watch.terminal {
        // A terminal's input is ended by its keys, never by a descriptor's end.
        args.extend(["-t", "--leave-stdin-open"].map(Into::into));
    }
    args
}

impl Waiting {
    /// conmon's own pid.
    pub fn pid(&self) -> Option<i32> {
        self.child.pid()
    }

    /// Ends conmon, for which there is nothing to do after all.
    pub async fn dismiss(self) {
        self.child.kill().await;
    }

    /// Lets conmon create the container, and waits for the one line that says how it went.
    pub async fn create(self) -> Result<Monitor, Refusal> {
        let Self { child, start, sync, _crun } = self;
        nix::unistd::write(&start, b"x").map_err(|e| Refusal::errno("conmon's start pipe", e))?;
        drop(start);
        let mut line = Vec::new();
        let mut reader = BufReader::new(sync).take(LINE_MAX);
        let deadline = fault::deadline(CREATE_DEADLINE);
        let read = tokio::time::timeout(deadline, reader.read_until(b'\n', &mut line)).await;
        let verdict = match read {
            Ok(Ok(_)) => verdict(&line),
            Ok(Err(e)) => Err(Refusal::tool_failed(format_args!("conmon's sync pipe: {e}"))),
            Err(_) => {
                // crun, and what it has begun to make of itself, are not in the container's cgroup yet.
                if let Some(pid) = child.pid() {
                    end_family(pid).await;
                }
                Err(Refusal::timeout(format_args!("conmon and crun did not create the container within {deadline:?}")))
            }
        };
        match verdict {
            Ok(init) => Ok(Monitor { child: child.let_off()?, init }),
            Err(refusal) => {
                child.kill().await;
                Err(refusal)
            }
        }
    }
}

/// The init's pid, or why there is none, as conmon writes it: one line of JSON.
pub(crate) fn verdict(line: &[u8]) -> Result<i32, Refusal> {
    if line.is_empty() {
        return Err(Refusal::tool_failed("conmon ended without a word; is crun a program that runs?"));
    }
    let sync: Sync = serde_json::from_slice(line)
        .map_err(|e| Refusal::tool_failed(format_args!("conmon wrote {:?}: {e}", String::from_utf8_lossy(line))))?;
    if sync.data > 0 { Ok(sync.data) } else { Err(create_refusal(&sync.message)) }
}

impl Monitor {
    /// Waits until conmon has ended. Its status is the container's own: the exit code, or 128 and the signal.
    pub async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends conmon itself, where it hangs. Its container's process, if there is one yet, becomes our child.
    pub async fn kill(&mut self) -> std::io::Result<ExitStatus> {
        self.child.start_kill()?;
        self.child.wait().await
    }
}

/// The fifos by which a conmon that runs is told things.
///
/// conmon 2.1.6 reads all that is there and, of two lines, takes the first one twice. So each line is a packet of its own
/// (`O_DIRECT` on a pipe, pipe(2)): one read never gives two of them.
pub struct Ctl {
    bundle: PathBuf,
}

impl Ctl {
    /// Those of the conmon whose bundle that is.
    pub fn of(bundle: &Path) -> Self {
        Self { bundle: bundle.to_owned() }
    }

    /// Has it put a new file in its log's place and write there from now on. It ends where it cannot make `LOG.tmp`, but
    /// takes one that is there.
    pub fn reopen_log(&self) -> io::Result<()> {
        self.tell("ctl", "2 0 0\n")
    }

    /// Gives the container's terminal a size.
    pub fn resize(&self, size: Size) -> io::Result<()> {
        self.tell("winsz", &format!("{} {}\n", size.rows, size.cols))
    }

    /// Writes one line to a fifo. Never waits: `ENXIO` says that conmon is gone, `EAGAIN` that it does not read.
    fn tell(&self, fifo: &str, line: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).custom_flags(nix::libc::O_NONBLOCK).open(self.bundle.join(fifo))?;
        fcntl(&file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK | OFlag::O_DIRECT))?;
        file.write_all(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;

    #[test]
    fn the_sync_line_tells() {
        assert_eq!(verdict(br#"{"data": 16516}"#).unwrap(), 16516);
        let refusal = verdict(b"{\"data\": -1, \"message\": \"executable file `x` not found\\n\"}").unwrap_err();
        assert_eq!(refusal.code(), Code::NoCommand);
        assert_eq!(verdict(b"").unwrap_err().code(), Code::ToolFailed);
        assert_eq!(verdict(b"nonsense").unwrap_err().code(), Code::ToolFailed);
    }
}
