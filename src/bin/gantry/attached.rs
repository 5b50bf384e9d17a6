//! A process that the client is attached to: what it writes comes out here, and its exit status is the client's.

use gantry::wire::reply::Parsed;

use crate::command::{Call, Outcome};
use crate::console::Console;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::request::Request;
use crate::signals::Proxy;
use crate::streams::Streams;
use crate::{input, terminal};

/// What a process has, and the client is.
#[derive(Clone, Copy)]
pub struct With {
    /// A terminal.
    pub terminal: bool,
    /// A standard input.
    pub input: bool,
}

impl With {
    /// What `-t` and `-i` say.
    pub fn typed(call: &Call<'_>) -> Result<Self, Failure> {
        Ok(Self { terminal: call.has("tty")?, input: call.has("interactive")? })
    }
}

/// Sends `request`, is the process's streams or its terminal, and gives its exit status.
pub fn follow(call: &mut Call<'_>, request: &Request, output: Output<'_>, with: With) -> Outcome {
    match (with.terminal, with.input) {
        (true, takes_input) => terminal::follow(call, request, output, takes_input),
        (false, true) => input::follow(call, request, output),
        (false, false) => watch(call, request, output),
    }
}

/// The same for a process that reads nothing.
fn watch(call: &mut Call<'_>, request: &Request, mut output: Output<'_>) -> Outcome {
    let request = request.clone().option("text", b"quoted");
    let console = &mut *call.console;
    let done = call.daemon.connect()?.exchange(&request, |line, is_last| output.take(line, is_last, console))?;
    exit_status(&done)
}

/// What is done with the data lines of an attached process.
pub struct Output<'a> {
    streams: Streams,
    progress: Progress,
    proxy: Option<&'a Proxy>,
}

impl<'a> Output<'a> {
    /// Shows `progress` until there is output, and aims `proxy` as soon as there is a container.
    pub fn new(progress: Progress, proxy: Option<&'a Proxy>) -> Self {
        Self { streams: Streams::default(), progress, proxy }
    }

    /// Takes in one line; `is_last` where the next must be waited for.
    pub fn take(&mut self, line: &Parsed, is_last: bool, console: &mut Console) -> Result<(), Failure> {
        match line.head.as_str() {
            "LOG" => {
                self.progress.clear();
                self.streams.write(line, is_last, console)?;
            }
            "EVENT" => self.streams.lost(line, console)?,
            "PROGRESS" => {
                if let Some((proxy, name)) = self.proxy.zip(started(line)) {
                    proxy.aim(&name);
                }
                self.progress.update(line, console);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The container that a line of progress tells of, once there is one.
fn started(line: &Parsed) -> Option<String> {
    line.get("id").or_else(|| line.get("name")).filter(|name| !name.is_empty())
}

/// The exit status that a final line tells.
pub fn exit_status(done: &Parsed) -> Outcome {
    let exit = done.get("exit").and_then(|exit| exit.parse().ok());
    exit.ok_or_else(|| Failure::Garbled(format!("OK {}, without an exit status", done.text())))
}
