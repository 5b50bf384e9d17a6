//! `crun exec`: one more process in a container, with pipes of ours. Facts are of 1.8.1 and 1.21.
//!
//! What it reads and writes lies in no file: the process document and crun's log are memory of ours, and the pid file is
//! a pipe, which tells that the program runs, or by its end that it could not.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, fchown};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use rustix::fs::MemfdFlags;
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Child;

use super::Tool;
use super::call::{bound_to_us, command, log_command, spawn_failed};
use super::crun::{Crun, create_refusal};
use super::process::{Held, end_family, start_time};
use super::spawn::spawn;
use super::terminal::{ConsoleSocket, Size};
use crate::fault;
use crate::refusal::Refusal;

/// How long the program may take to be executed.
const DEADLINE: Duration = Duration::from_secs(30);
/// Where crun has the directory of the console socket.
const SOCKET_DIR: i32 = 6;
/// How long crun may take to end when the program has.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of crun's log is read.
const LOG_MAX: usize = 16 << 10;

/// What is to be executed.
pub enum Program {
    /// A process as the runtime spec has it, in JSON.
    Document(Vec<u8>),
    /// Words that JSON cannot carry; everything that is not said is as in the container's own process.
    Words {
        /// The program and its arguments.
        argv: Vec<Vec<u8>>,
        /// Its working directory.
        workdir: String,
        /// Who it runs as.
        uid: u32,
        /// Its group; it has no others.
        gid: u32,
    },
}

/// What the program's standard streams are to be.
#[derive(Clone, Copy, Debug)]
pub enum Streams {
    /// Pipes.
    Pipes {
        /// It has a standard input; else an empty one.
        stdin: bool,
        /// Its standard error goes where its standard output goes.
        merged: bool,
    },
    /// A terminal of the container's, of that size.
    Terminal(Option<Size>),
}

impl Default for Streams {
    fn default() -> Self {
        Self::Pipes { stdin: false, merged: false }
    }
}

/// What is asked of crun.
pub struct Asked {
    /// What is to be executed.
    pub program: Program,
    /// What it reads and writes.
    pub streams: Streams,
    /// Whose its pipes are to be, as the host counts users and groups; root's where nothing is said.
    pub owner: Option<(u32, u32)>,
}

/// A program that was executed.
pub struct Running {
    child: Child,
    log: File,
    /// Its process in the daemon's pid namespace.
    pub pid: i32,
    /// The same, held; one that has ended already cannot be, and need not be.
    pub held: Option<Rc<Held>>,
    io: Option<Io>,
}

/// Our ends of a program's standard streams.
pub struct Io {
    /// Where it reads from, if it reads at all.
    pub input: Option<pipe::Sender>,
    /// What it writes, by the stream's name.
    pub output: Vec<(&'static str, pipe::Receiver)>,
    /// The master side of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
}

/// One line of crun's log.
#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    level: String,
    #[serde(default)]
    msg: String,
}

/// Executes what is `asked` in the container that crun knows as `id`, whose bundle that is. Answered when it runs.
pub async fn start(crun: &Crun, (id, bundle): (&str, &Path), asked: Asked) -> Result<Running, Refusal> {
    let failed = |e: io::Error| spawn_failed(Tool::Crun, &e);
    let log = memory("crun-log", b"").map_err(failed)?;
    let (told, tell) = outward().map_err(failed)?;
    let log_of_crun = log.try_clone().map_err(failed)?.into();
    let mut ends = Ends::of(asked.streams, asked.owner, bundle).map_err(failed)?;
    let (arguments, document) = arguments(id, asked.program, ends.socket.as_ref());
    let document = memory("process.json", &document).map_err(failed)?.into();
    // Kept until it is executed: it may be a sealed copy that only our descriptor names.
    let executable = crun.program()?;
    let mut call = bound_to_us(command(&executable.path));
    call.arg("--root").arg(crun.root()).args(arguments).kill_on_drop(true);
    let [stdin, stdout, stderr] = ends.take_theirs();
    call.stdin(stdin).stdout(stdout).stderr(stderr);
    let mapping = |parent_fd, child_fd| FdMapping { parent_fd, child_fd };
    let mut mappings = vec![mapping(document, 3), mapping(log_of_crun, 4), mapping(tell, 5)];
    if let Some(socket) = &ends.socket {
        mappings.push(mapping(socket.directory().map_err(failed)?, SOCKET_DIR));
    }
    call.as_std_mut()
        .fd_mappings(mappings)
        .map_err(|e| Refusal::internal(format_args!("descriptors for crun: {e}")))?;
    log_command(call.as_std());
    // Our copies of the child's ends go with the command.
    let child = spawn(call).await.map_err(failed)?;
    Waiting { child, log, told }.executed(ends).await
}

/// Both ends of the streams of a program that is to be executed.
struct Ends {
    theirs: Vec<Stdio>,
    input: Option<pipe::Sender>,
    output: Vec<(&'static str, pipe::Receiver)>,
    /// Where the terminal will come from; the program's streams are then made by crun.
    socket: Option<ConsoleSocket>,
    size: Option<Size>,
}

impl Ends {
    fn of(streams: Streams, owner: Option<(u32, u32)>, bundle: &Path) -> io::Result<Self> {
        let mut ends = Self { theirs: Vec::new(), input: None, output: Vec::new(), socket: None, size: None };
        let (stdin, merged) = match streams {
            Streams::Pipes { stdin, merged } => (stdin, merged),
            Streams::Terminal(size) => {
                let mut salt = [0; 8];
                getrandom::fill(&mut salt).map_err(io::Error::other)?;
                let name = format!("console-{:016x}", u64::from_ne_bytes(salt));
                (ends.socket, ends.size) = (Some(ConsoleSocket::bind(bundle, &name)?), size);
                return Ok(ends);
            }
        };
        let give = |end: &OwnedFd| owner.map_or(Ok(()), |(uid, gid)| fchown(end, Some(uid), Some(gid)));
        ends.theirs.push(if stdin {
            let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
            give(&read)?;
            ends.input = Some(pipe::Sender::from_owned_fd(write)?);
            read.into()
        } else {
            Stdio::null()
        });
        let (stdout, out) = outward()?;
        give(&out)?;
        ends.output.push(("stdout", stdout));
        let err = if merged {
            out.try_clone()?
        } else {
            let (stderr, err) = outward()?;
            give(&err)?;
            ends.output.push(("stderr", stderr));
            err
        };
        ends.theirs.extend([out.into(), err.into()]);
        Ok(ends)
    }

    /// The program's ends, to be given away.
    fn take_theirs(&mut self) -> [Stdio; 3] {
        let mut theirs = std::mem::take(&mut self.theirs).into_iter();
        std::array::from_fn(|_| theirs.next().unwrap_or_else(Stdio::null))
    }

    /// Our ends, now that it runs.
    async fn ours(self) -> io::Result<Io> {
        let Some(socket) = self.socket else {
            return Ok(Io { input: self.input, output: self.output, terminal: None });
        };
        let terminal = socket.receive().await?;
        if let Some(size) = self.size {
            size.apply(&terminal)?;
        }
        fcntl(&terminal, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // A terminal's master side is read and written as a pipe is; that it is none is not looked at.
        let input = pipe::Sender::from_owned_fd_unchecked(terminal.try_clone()?)?;
        let output = pipe::Receiver::from_owned_fd_unchecked(terminal.try_clone()?)?;
        Ok(Io { input: Some(input), output: vec![("stdout", output)], terminal: Some(terminal) })
    }
}

/// The words of crun's command line, and the process document that they may speak of.
fn arguments(id: &str, program: Program, socket: Option<&ConsoleSocket>) -> (Vec<OsString>, Vec<u8>) {
    let mut words: Vec<OsString> =
        ["--log=/proc/self/fd/4", "--log-format=json", "exec", "--pid-file", "/proc/self/fd/5"].map(Into::into).into();
    if let Some(socket) = socket {
        words.extend(["--tty".into(), "--console-socket".into(), socket.path_by(SOCKET_DIR).into()]);
    }
    match program {
        Program::Document(json) => {
            words.extend(["--process", "/proc/self/fd/3", id].map(Into::into));
            (words, json)
        }
        Program::Words { argv, workdir, uid, gid } => {
            words.extend(["--cwd", &workdir, "--user", &format!("{uid}:{gid}"), id].map(Into::into));
            words.extend(argv.into_iter().map(OsString::from_vec));
            (words, Vec::new())
        }
    }
}

/// A crun that has not yet said how it went.
struct Waiting {
    child: Child,
    log: File,
    told: pipe::Receiver,
}

impl Waiting {
    async fn executed(mut self, ends: Ends) -> Result<Running, Refusal> {
        let mut digits = [0; 16];
        let (mut ours, mut io) = (Box::pin(ends.ours()), None);
        // A terminal is sized as soon as it is there, which is before the pid is told.
        let told = async {
            loop {
                tokio::select! {
                    biased;
                    made = &mut ours, if io.is_none() => io = Some(made),
                    read = self.told.read(&mut digits) => break read,
                }
            }
        };
        let read = tokio::time::timeout(fault::deadline(DEADLINE), told).await;
        let pid = match &read {
            Ok(Ok(count)) => std::str::from_utf8(&digits[..*count]).ok().and_then(|text| text.trim().parse().ok()),
            _ => None,
        };
        if let Some(pid) = pid {
            let io = match io {
                Some(io) => Ok(io),
                None => tokio::time::timeout(fault::deadline(DEADLINE), ours).await,
            };
            return match io {
                Ok(Ok(io)) => {
                    let held = start_time(pid).and_then(|start| Held::take(pid, start)).map(Rc::new);
                    Ok(Running { child: self.child, log: self.log, pid, held, io: Some(io) })
                }
                Ok(Err(e)) => Err(Refusal::io("the program's terminal", &e)),
                Err(_) => Err(Refusal::timeout(format_args!("crun gave no terminal within {DEADLINE:?}"))),
            };
        }
        let late = read.is_err();
        if late {
            end(&mut self.child).await;
        } else {
            let _ = self.child.kill().await;
        }
        Err(match last_error(&beginning(&self.log)) {
            Some(words) => refusal(&words),
            None if late => Refusal::timeout(format_args!("crun did not execute the program within {DEADLINE:?}")),
            None => Refusal::tool_failed("crun ended without a word"),
        })
    }
}

impl Running {
    /// Our ends of its standard streams, once.
    pub fn take_io(&mut self) -> Option<Io> {
        self.io.take()
    }

    /// Waits for the program's end: its exit code, or 128 and the signal. Refused where it could not be executed after
    /// all, which shows late for a file of no known format, and where crun stays when the program has gone.
    pub async fn ended(mut self) -> Result<i32, Refusal> {
        let hung = async {
            if let Some(held) = &self.held {
                held.ended().await;
            }
            tokio::time::sleep(PATIENCE).await;
        };
        let status = tokio::select! {
            status = self.child.wait() => status.map_err(|e| Refusal::io("waiting for crun exec", &e))?,
            () = hung => {
                end(&mut self.child).await;
                return Err(Refusal::timeout("crun did not end though the program had, and was killed"));
            }
        };
        match last_error(&beginning(&self.log)) {
            Some(words) => Err(refusal(&words)),
            None => Ok(status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(255)),
        }
    }
}

/// Kills a crun that hangs, with all that it has started.
async fn end(crun: &mut Child) {
    if let Some(pid) = crun.id().and_then(|pid| i32::try_from(pid).ok()) {
        end_family(pid).await;
    }
    let _ = crun.kill().await;
}

/// A pipe: the end that we read, and the end for a child to write.
fn outward() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    Ok((pipe::Receiver::from_owned_fd(read)?, write))
}

/// A file that is nowhere, and holds `bytes`.
fn memory(name: &str, bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

/// What is in a log, from its beginning as far as that is of interest.
fn beginning(log: &File) -> Vec<u8> {
    let mut bytes = vec![0; LOG_MAX];
    let count = log.read_at(&mut bytes, 0).unwrap_or(0);
    bytes.truncate(count);
    bytes
}

/// What crun itself failed by, if it did, as its log says: the exit status alone may be the program's own.
pub(crate) fn last_error(log: &[u8]) -> Option<String> {
    let mut entries = log.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Entry>(line).ok());
    entries.rfind(|entry| entry.level == "error").map(|entry| entry.msg)
}

/// What crun's own words mean to the asker.
fn refusal(words: &str) -> Refusal {
    let words = words.trim();
    if words.contains("Exec format error") {
        return Refusal::not_executable(words);
    }
    if words.starts_with("chdir") {
        return Refusal::bad_value(format_args!("workdir=: {words}"));
    }
    let gone = ["is paused", "is not running", "not in `running` state", "does not exist"];
    if gone.iter().any(|part| words.contains(part)) {
        return Refusal::wrong_state(words);
    }
    create_refusal(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;

    #[test]
    fn words_get_their_code() {
        for (words, code) in [
            ("executable file `x` not found in $PATH: No such file or directory", Code::NoCommand),
            ("open executable: Operation not permitted", Code::NotExecutable),
            ("exec: Exec format error", Code::NotExecutable),
            ("chdir `/nowhere`: No such file or directory", Code::BadValue),
            ("the container `ab` is paused", Code::WrongState),
            ("something else", Code::ToolFailed),
        ] {
            assert_eq!(refusal(words).code(), code, "{words}");
        }
    }

    #[test]
    fn only_errors_of_the_log_count() {
        let log = |text: &str| last_error(&beginning(&memory("log", text.as_bytes()).unwrap()));
        assert_eq!(log(""), None);
        assert_eq!(log("{\"msg\":\"careful\",\"level\":\"warning\"}\nnonsense\n"), None);
        assert_eq!(log("{\"msg\":\"no\",\"level\":\"error\"}\n").as_deref(), Some("no"));
    }
}
