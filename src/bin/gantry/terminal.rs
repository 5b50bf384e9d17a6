//! A terminal for an attached process: behind `OK raw id=` the connection is the terminal, byte for byte.

use std::io::{BufReader, IsTerminal, Read, Write, stdin};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::{process, thread};

use nix::sys::signal::{SigSet, Signal};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::attached::{Output, exit_status};
use crate::command::{Call, Outcome};
use crate::connection::{Connection, Daemon};
use crate::console::Console;
use crate::detach::Keys;
use crate::failure::Failure;
use crate::request::Request;

/// The keys that leave the process running and its terminal behind, where none are named: as in docker.
const DETACH: &str = "ctrl-p,ctrl-q";

/// Sends `request`, is the process's terminal until it ends or is left, and gives its exit status.
pub fn follow(call: &mut Call<'_>, request: &Request, mut output: Output<'_>, takes_input: bool) -> Outcome {
    if takes_input && !stdin().is_terminal() {
        return Err(Failure::Usage("-it needs a terminal on standard input; leave out -t for a pipe".to_owned()));
    }
    let keys = Keys::read(call.value("detach-keys").and_then(|typed| typed.to_str()).unwrap_or(DETACH))?;
    let request = with_size(request.clone());
    let mut connection = call.daemon.connect()?;
    let done = connection.exchange(&request, |line, is_last| output.take(line, is_last, call.console))?;
    drop(output);
    if !done.rest.starts_with(b"raw ") {
        return exit_status(&done);
    }
    let id = done.get("id").unwrap_or_default();
    let raw = Arc::new(RawMode::enter(takes_input));
    let served = serve(call, connection, &id, &raw, takes_input.then_some(keys));
    // Its other handles are with threads that only the process's end stops.
    raw.leave();
    served?;
    exit_status(&call.daemon.connect()?.ask(&Request::new("wait").positional(id.as_bytes())?)?)
}

/// Is the terminal, until the process ends.
fn serve(
    call: &mut Call<'_>,
    connection: Connection,
    id: &str,
    raw: &Arc<RawMode>,
    keys: Option<Keys>,
) -> Result<(), Failure> {
    watch_signals(call.daemon, id, raw)?;
    let (reader, writer) = connection.into_streams()?;
    if let Some(keys) = keys {
        forward_keys(writer, raw, keys)?;
    }
    show(reader, call.console)
}

/// Adds the size of the client's terminal, where it has one.
fn with_size(request: Request) -> Request {
    match tcgetwinsize(stdin()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
            let (rows, cols) = (size.ws_row.to_string(), size.ws_col.to_string());
            request.option("rows", rows.as_bytes()).option("cols", cols.as_bytes())
        }
        _ => request,
    }
}

/// The client's terminal passing on every key, until it is left.
struct RawMode(Option<Termios>);

impl RawMode {
    /// Nothing changes where nothing is typed, or where standard input is no terminal.
    fn enter(takes_input: bool) -> Self {
        let before = takes_input.then(|| tcgetattr(stdin()).ok()).flatten();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            let _ = tcsetattr(stdin(), OptionalActions::Drain, &raw);
        }
        Self(before)
    }

    /// As it was before.
    fn leave(&self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(stdin(), OptionalActions::Drain, before);
        }
    }
}

/// Copies what the process writes, until the daemon closes.
fn show(mut reader: BufReader<UnixStream>, console: &mut Console) -> Result<(), Failure> {
    let mut piece = [0; 16 << 10];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                let bytes = piece.get(..length).unwrap_or_default();
                console.out.write_all(bytes).and_then(|()| console.out.flush()).map_err(Failure::output)?;
            }
            Err(error) => return Err(Failure::Io("cannot read from the daemon".to_owned(), error)),
        }
    }
}

/// Passes keys on, on a thread that ends with the client.
fn forward_keys(mut writer: UnixStream, raw: &Arc<RawMode>, mut keys: Keys) -> Result<(), Failure> {
    let raw = Arc::clone(raw);
    start("keys", move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = stdin().lock().read(&mut piece) {
            let (bytes, is_left) = keys.sift(piece.get(..length).unwrap_or_default());
            if writer.write_all(&bytes).is_err() {
                return;
            }
            if is_left {
                raw.leave();
                process::exit(0);
            }
        }
        // The end of what is typed is the end of what the process reads; it may go on writing.
        let _ = writer.shutdown(Shutdown::Write);
    })
}

/// A window that changes its size changes the process's; a signal that ends the client leaves the terminal whole.
fn watch_signals(daemon: &Daemon, id: &str, raw: &Arc<RawMode>) -> Result<(), Failure> {
    let endings = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];
    let signals: SigSet = endings.into_iter().chain([Signal::SIGWINCH]).collect();
    signals.thread_block().map_err(|errno| Failure::Io("cannot block signals".to_owned(), errno.into()))?;
    let (daemon, id, raw) = (daemon.clone(), id.to_owned(), Arc::clone(raw));
    start("signals", move || {
        while let Ok(signal) = signals.wait() {
            if signal != Signal::SIGWINCH {
                raw.leave();
                process::exit(128 + signal as i32);
            }
            // A terminal of the wrong size is no reason to give it up.
            let _ = resize(&daemon, &id);
        }
    })
}

fn resize(daemon: &Daemon, id: &str) -> Result<(), Failure> {
    let request = with_size(Request::new("resize").positional(id.as_bytes())?);
    daemon.connect()?.ask(&request).map(|_| ())
}

fn start(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.map(|_| ()).map_err(|error| Failure::Io("cannot start a thread".to_owned(), error))
}
