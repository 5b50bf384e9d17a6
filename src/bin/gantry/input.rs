//! Standard input for an attached process without a terminal: its streams stay apart, and every byte goes as it is.
//!
//! The process's request has a tag; beside it, on the same connection, each piece of input is a request of its own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use gantry::wire::reply::Parsed;

use crate::attached::{Output, exit_status};
use crate::command::{Call, Outcome};
use crate::failure::Failure;
use crate::request::Request;

/// The tag of the process's request.
const TAG: &str = "process";

/// The largest piece: a line holds 64 KiB, and a byte takes up to four when it is quoted.
const PIECE_MAX: usize = 15 << 10;

/// How many pieces may be on their way unanswered.
const AHEAD: usize = 4;

/// Sends `request`, feeds it standard input, and gives the exit status.
pub fn follow(call: &mut Call<'_>, request: &Request, mut output: Output<'_>) -> Outcome {
    let mut connection = call.daemon.connect()?;
    connection.send(&request.clone().option("text", b"quoted").tagged_line(TAG))?;
    let answered = feed(connection.writer()?)?;
    loop {
        let line = Parsed::read(connection.next_line()?);
        match (line.tag.as_deref(), line.head.as_str()) {
            (Some(TAG), "OK") => return exit_status(&line),
            (Some(TAG), "ERR") => return Err(Failure::refused(&line.text())),
            (Some(TAG), _) => output.take(&line, connection.is_quiet(), call.console)?,
            // A piece was taken, or the process reads no more, which is no failure: its end tells.
            (None, "OK" | "ERR") => drop(answered.try_send(())),
            _ => {}
        }
    }
}

/// Starts the thread that reads standard input; it wants to hear of each answer. It ends with the process.
fn feed(connection: UnixStream) -> Result<SyncSender<()>, Failure> {
    let (answered, answers) = sync_channel(AHEAD);
    for _ in 0..AHEAD {
        let _ = answered.try_send(());
    }
    let thread = thread::Builder::new().name("input".to_owned()).spawn(move || pump(connection, &answers));
    thread.map_err(|error| Failure::Io("cannot watch standard input".to_owned(), error))?;
    Ok(answered)
}

fn pump(mut connection: UnixStream, answers: &Receiver<()>) {
    let mut stdin = std::io::stdin().lock();
    let mut piece = vec![0; PIECE_MAX];
    loop {
        // What cannot be read is at its end.
        let length = stdin.read(&mut piece).unwrap_or(0);
        let request = Request::new("input").positional(TAG.as_bytes());
        let Ok(request) = request else { return };
        let request = match piece.get(..length).filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => request.argv(&[bytes]),
            None => request.option("eof", b"yes"),
        };
        if answers.recv().is_err() || connection.write_all(&request.line()).is_err() || length == 0 {
            return;
        }
    }
}
