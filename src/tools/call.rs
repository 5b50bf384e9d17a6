//! One run of a tool to its end.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::Tool;
use super::crun::Program;
use super::process::end_family;
use super::spawn::spawn;
use crate::fault;
use crate::refusal::Refusal;

/// How long a call may take where nothing else is said.
const DEADLINE: Duration = Duration::from_secs(60);
/// How much standard output is taken in; more fails the call.
const STDOUT_MAX: usize = 8 << 20;
/// How much of standard error is kept: its end.
const STDERR_MAX: usize = 16 << 10;
/// What a tool sees of our environment; `XDG_RUNTIME_DIR` and `REGISTRY_AUTH_FILE` say where credentials are.
const ENVIRONMENT: &[&str] = &[
    "HOME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "REGISTRY_AUTH_FILE",
    "CONTAINERS_REGISTRIES_CONF",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];
/// A tool's `PATH`, whatever ours is.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A call in the making. Dropped while it runs, it kills the tool.
pub struct Call {
    tool: Tool,
    command: Command,
    deadline: Duration,
    stdin: Option<Vec<u8>>,
    /// Held until it has ended.
    program: Option<Program>,
}

/// What a finished call gave.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// The end of its standard error.
    pub stderr: Vec<u8>,
}

impl Call {
    pub(super) fn new(tool: Tool, path: &Path) -> Self {
        Self { tool, command: bound_to_us(command(path)), deadline: DEADLINE, stdin: None, program: None }
    }

    /// One argument more.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Some arguments more.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// What it is executed from.
    pub(super) fn holding(mut self, program: Program) -> Self {
        self.program = Some(program);
        self
    }

    /// The directory it runs in.
    pub fn in_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// One variable more of its environment.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// How long it may take.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// What it reads from standard input, which is empty otherwise.
    pub fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.stdin = Some(bytes);
        self
    }

    /// Runs it to its end, whatever its exit status. Refused where it cannot be started, passes its deadline or prints
    /// too much.
    pub async fn finish(mut self) -> Result<Output, Refusal> {
        let name = self.tool.name();
        self.command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        log_command(self.command.as_std());
        let mut child = spawn(self.command).await.map_err(|e| spawn_failed(self.tool, &e))?;
        // Dropped before the child, which is not reaped by then.
        let mut group = Group(child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)));
        let work = converse(&mut child, self.stdin);
        let deadline = fault::deadline(self.deadline);
        match tokio::time::timeout(deadline, work).await {
            Ok(Ok(output)) => {
                group.0 = None;
                Ok(output)
            }
            Ok(Err(e)) => Err(Refusal::tool_failed(format_args!("{name}: {e}"))),
            Err(_) => {
                if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
                    end_family(pid).await;
                }
                drop(group);
                // Killed and reaped here, so that no zombie waits for the runtime to find it.
                let _ = child.kill().await;
                Err(Refusal::timeout(format_args!("{name} did not end within {deadline:?} and was killed")))
            }
        }
    }

    /// Runs it to its end, and takes a failure's last words for the refusal.
    pub async fn succeed(self) -> Result<Output, Refusal> {
        let tool = self.tool;
        let output = self.finish().await?;
        if output.status.success() {
            return Ok(output);
        }
        Err(Refusal::tool_failed(format_args!("{}: {}", tool.name(), output.last_words())))
    }
}

impl Output {
    /// The last line that says something, of standard error or else of standard output.
    pub fn last_words(&self) -> String {
        let last = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
        };
        last(&self.stderr).or_else(|| last(&self.stdout)).unwrap_or_else(|| format!("{} and not a word", self.status))
    }
}

/// The process group of a tool that has not ended: dropped, it is killed, for a tool that nobody waits for any more may wait
/// for what it has started.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // An error means that there is none left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Logs what is called, and with which arguments: of its environment a proxy's address may have a password in it.
pub(super) fn log_command(command: &std::process::Command) {
    log::debug!("{:?} {:?}", command.get_program(), command.get_args().collect::<Vec<_>>());
}

/// A command with the environment that every tool gets, in a process group of its own so that a terminal's Ctrl-C
/// reaches the daemon alone.
#[expect(clippy::disallowed_methods, reason = "the one place that makes commands")]
pub(super) fn command(path: &Path) -> Command {
    let mut command = Command::new(path);
    // Not LC_ALL: only how characters are encoded matters, and every other category is a file more for each process to load.
    command.env_clear().env("PATH", PATH).env("TZ", "UTC").env("LC_CTYPE", "C.UTF-8").process_group(0);
    for key in ENVIRONMENT {
        if let Some(value) = std::env::var_os(key) {
            command.env(key, value);
        }
    }
    command
}

/// A command whose process dies with the daemon, even where that is killed: nobody would be left to take back what it
/// goes on writing. What it makes has the usual modes whatever our umask is.
#[expect(unsafe_code, reason = "nothing but pre_exec reaches between fork and exec")]
pub(super) fn bound_to_us(mut command: Command) -> Command {
    let parent = rustix::process::getpid();
    let bind = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        // A parent that died before the line above sends no signal any more.
        match rustix::process::getppid() {
            Some(now) if now == parent => Ok(()),
            _ => Err(std::io::ErrorKind::Interrupted.into()),
        }
    };
    // SAFETY: the closure makes three system calls and allocates nothing, so it may run in a forked child of a threaded
    // process.
    unsafe { command.pre_exec(bind) };
    command
}

/// What it means that a tool cannot be started.
pub(super) fn spawn_failed(tool: Tool, error: &std::io::Error) -> Refusal {
    match error.kind() {
        std::io::ErrorKind::OutOfMemory => {
            Refusal::out_of_memory(format_args!("{} could not be started: {error}", tool.name()))
        }
        _ => Refusal::tool_failed(format_args!("{} could not be started: {error}", tool.name())),
    }
}

async fn converse(child: &mut Child, stdin: Option<Vec<u8>>) -> std::io::Result<Output> {
    let input = child.stdin.take();
    let feed = async {
        if let (Some(mut input), Some(bytes)) = (input, stdin) {
            // A tool that does not read its input to the end tells why by its exit status.
            let _ = input.write_all(&bytes).await;
        }
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ((), stdout, stderr) = futures::join!(feed, read_all(stdout), read_end(stderr));
    Ok(Output { stdout: stdout?, stderr: stderr?, status: child.wait().await? })
}

async fn read_all(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(STDOUT_MAX as u64 + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() > STDOUT_MAX {
        return Err(std::io::Error::other(format!("it printed more than {STDOUT_MAX} bytes")));
    }
    Ok(bytes)
}

async fn read_end(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        while pipe.read_buf(&mut bytes).await? > 0 {
            if bytes.len() > 2 * STDERR_MAX {
                bytes.drain(..bytes.len() - STDERR_MAX);
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// The daemon's death, as the kernel sees it: the end of the thread that forked.
    #[test]
    fn a_tool_dies_with_the_daemon() {
        let file = std::env::temp_dir().join(format!("gantry-deathsig-{}", std::process::id()));
        let target = file.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let script = format!("echo $$ $(umask) >{0}.new; mv {0}.new {0}; exec sleep 1000", target.display());
            let mut command = bound_to_us(command(Path::new("/bin/sh")));
            runtime.block_on(async {
                // Leaked with the runtime, so that neither kills it by being dropped.
                std::mem::forget(command.args(["-c", &script]).spawn().unwrap());
                while !target.exists() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
            std::mem::forget(runtime);
        });
        thread.join().unwrap();
        let said = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let (pid, umask) = said.trim().split_once(' ').unwrap();
        assert_eq!(umask, "0022");
        // Nobody waits for it, so that it stays as a zombie.
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_else(|_| ") Z".to_owned());
        let deadline = Instant::now() + Duration::from_secs(20);
        while !state().contains(") Z") {
            assert!(Instant::now() < deadline, "it lives: {}", state());
            std::thread::yield_now();
        }
    }
}
