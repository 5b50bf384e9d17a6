//! `crun exec`: one more process in a container, with pipes of ours. Facts are of 1.8.1 and 1.21.
//!
//! What it reads and writes lies in no file: the process document and crun's log are memory of ours, and the pid file is
//! a pipe, which tells that the program runs, or by its end that it could not.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use nix::fcntl::OFlag;
use rustix::fs::MemfdFlags;
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Child;

use super::Tool;
use super::call::{bound_to_us, command, spawn_failed};
use super::crun::{Crun, create_refusal};
use super::spawn::spawn;
use crate::refusal::Refusal;

/// How long the program may take to be executed.
const DEADLINE: Duration = Duration::from_secs(30);
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

/// A program that was executed.
pub struct Running {
    child: Child,
    log: File,
    /// Its process in the daemon's pid namespace.
    pub pid: i32,
    output: Option<Output>,
}

/// What a program writes to its standard output, and to its standard error.
type Output = (pipe::Receiver, pipe::Receiver);

/// One line of crun's log.
#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    level: String,
    #[serde(default)]
    msg: String,
}

/// Executes `program` in the container that crun knows as `id`, with an empty standard input. Answered when it runs.
pub async fn start(crun: &Crun, id: &str, program: Program) -> Result<Running, Refusal> {
    let failed = |e: std::io::Error| spawn_failed(Tool::Crun, &e);
    let log = memory("crun-log", b"").map_err(failed)?;
    let (told, tell) = one_way().map_err(failed)?;
    let (stdout, out) = one_way().map_err(failed)?;
    let (stderr, err) = one_way().map_err(failed)?;
    let log_of_crun = log.try_clone().map_err(failed)?.into();
    let (arguments, document) = arguments(id, program);
    let document = memory("process.json", &document).map_err(failed)?.into();
    // Kept until it is executed: it may be a sealed copy that only our descriptor names.
    let executable = crun.program()?;
    let mut call = bound_to_us(command(&executable.path));
    call.arg("--root").arg(crun.root()).args(arguments);
    call.stdin(Stdio::null()).stdout(out).stderr(err).kill_on_drop(true);
    let mapping = |parent_fd, child_fd| FdMapping { parent_fd, child_fd };
    call.as_std_mut()
        .fd_mappings(vec![mapping(document, 3), mapping(log_of_crun, 4), mapping(tell, 5)])
        .map_err(|e| Refusal::internal(format_args!("descriptors for crun: {e}")))?;
    log::debug!("{:?}", call.as_std());
    // Our copies of the child's ends go with the command.
    let child = spawn(call).await.map_err(failed)?;
    Waiting { child, log, told }.executed((stdout, stderr)).await
}

/// The words of crun's command line, and the process document that they may speak of.
fn arguments(id: &str, program: Program) -> (Vec<OsString>, Vec<u8>) {
    let mut words: Vec<OsString> =
        ["--log=/proc/self/fd/4", "--log-format=json", "exec", "--pid-file", "/proc/self/fd/5"].map(Into::into).into();
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
    async fn executed(mut self, output: Output) -> Result<Running, Refusal> {
        let mut digits = [0; 16];
        let read = tokio::time::timeout(DEADLINE, self.told.read(&mut digits)).await;
        let pid = match &read {
            Ok(Ok(count)) => std::str::from_utf8(&digits[..*count]).ok().and_then(|text| text.trim().parse().ok()),
            _ => None,
        };
        if let Some(pid) = pid {
            return Ok(Running { child: self.child, log: self.log, pid, output: Some(output) });
        }
        let late = read.is_err();
        // Where it has ended already, this only reaps it.
        let _ = self.child.kill().await;
        Err(match last_error(&self.log) {
            Some(words) => refusal(&words),
            None if late => Refusal::timeout(format_args!("crun did not execute the program within {DEADLINE:?}")),
            None => Refusal::tool_failed("crun ended without a word"),
        })
    }
}

impl Running {
    /// Its output, once.
    pub fn take_output(&mut self) -> Option<Output> {
        self.output.take()
    }

    /// Waits for the program's end: its exit code, or 128 and the signal. Refused where it could not be executed after
    /// all, which shows late for a file of no known format.
    pub async fn ended(mut self) -> Result<i32, Refusal> {
        let status = self.child.wait().await.map_err(|e| Refusal::io("waiting for crun exec", &e))?;
        match last_error(&self.log) {
            Some(words) => Err(refusal(&words)),
            None => Ok(status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(255)),
        }
    }
}

/// A pipe: the end that we read, and the end for a child to write.
fn one_way() -> std::io::Result<(pipe::Receiver, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    Ok((pipe::Receiver::from_owned_fd(read)?, write))
}

/// A file that is nowhere, and holds `bytes`.
fn memory(name: &str, bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

/// What crun itself failed by, if it did: the exit status alone may be the program's own.
fn last_error(log: &File) -> Option<String> {
    let mut bytes = vec![0; LOG_MAX];
    let count = log.read_at(&mut bytes, 0).unwrap_or(0);
    let mut entries =
        bytes[..count].split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Entry>(line).ok());
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
        let log = |text: &str| last_error(&memory("log", text.as_bytes()).unwrap());
        assert_eq!(log(""), None);
        assert_eq!(log("{\"msg\":\"careful\",\"level\":\"warning\"}\nnonsense\n"), None);
        assert_eq!(log("{\"msg\":\"no\",\"level\":\"error\"}\n").as_deref(), Some("no"));
    }
}
