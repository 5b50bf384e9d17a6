//! A process that the client is attached to: what it writes comes out here, and its exit status is the client's.
//!
//! A terminal, and standard input, belong in a file of their own beside this one: there the connection turns raw behind
//! `OK raw id=`.

use gantry::wire::reply::Parsed;

use crate::command::{Call, Outcome};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::request::Request;
use crate::signals::Proxy;
use crate::streams::Streams;

/// Sends `request`, writes what the process writes, and gives its exit status.
pub fn follow(call: &mut Call<'_>, request: &Request, mut progress: Progress, proxy: Option<&Proxy>) -> Outcome {
    let request = request.clone().option("text", b"quoted");
    let mut streams = Streams::default();
    let console = &mut *call.console;
    let done = call.daemon.connect()?.exchange(&request, |line, is_last| match line.head.as_str() {
        "LOG" => {
            progress.clear();
            streams.write(line, is_last, console)
        }
        "PROGRESS" => {
            if let Some((proxy, name)) = proxy.zip(started(line)) {
                proxy.aim(&name);
            }
            progress.update(line, console);
            Ok(())
        }
        _ => Ok(()),
    })?;
    exit_status(&done)
}

/// The container that a line of progress tells of, once there is one.
fn started(line: &Parsed) -> Option<String> {
    line.get("id").or_else(|| line.get("name")).filter(|name| !name.is_empty())
}

fn exit_status(done: &Parsed) -> Outcome {
    let exit = done.get("exit").and_then(|exit| exit.parse().ok());
    exit.ok_or_else(|| Failure::Garbled(format!("OK {}, without an exit status", done.text())))
}
