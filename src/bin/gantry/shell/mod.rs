//! `gantry shell`: lines of the protocol as they are typed, with a history and completion, and replies as they come.
//!
//! ```text
//! prompt (rustyline; complete, history) -> connection -> reader -> queue -> main: the reply of the line just sent
//!                                                                      \-> printer: what comes while a line is typed
//! ```
//!
//! It knows no verb: a line without a tag is answered before the next prompt, one with a tag meanwhile. Ctrl-C at a reply
//! hangs up and connects again, which ends all looking and waiting, as the protocol has it.

mod complete;
mod forms;
mod history;
mod queue;
mod talk;

use std::io::{IsTerminal, Read, Write, stdin};
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gantry::wire::reply::Parsed;
use gantry::wire::words;
use nix::sys::signal::{SigSet, Signal};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor, ExternalPrinter};

use crate::command::{Call, Outcome};
use crate::failure::Failure;
use crate::restore::Terminal;
use complete::Helper;
use queue::Queue;
use talk::Talk;

/// What stands before a line that is typed.
const PROMPT: &str = "gantry> ";

/// How long a prompt may take to stand: a bound on a hang.
const ENTERED: Duration = Duration::from_secs(2);

/// Talks until the end of what is typed, `quit`, or the end of the daemon.
pub fn shell(call: &mut Call<'_>) -> Outcome {
    if stdin().is_terminal() && call.console.out_is_terminal { interactive(call) } else { scripted(call) }
}

/// Where nobody watches: every line goes out, every reply comes back; 1 where one of them was `ERR`.
fn scripted(call: &mut Call<'_>) -> Outcome {
    let mut connection = call.daemon.connect()?;
    let mut writer = connection.writer()?;
    let sender = thread::Builder::new().name("input".to_owned()).spawn(move || {
        // What cannot be sent any more is answered by the end of the replies.
        let _ = std::io::copy(&mut stdin().lock(), &mut writer);
        let _ = writer.shutdown(Shutdown::Write);
    });
    sender.map_err(|error| Failure::Io("cannot read standard input".to_owned(), error))?;
    let out = &mut call.console.out;
    let mut status = 0;
    loop {
        let line = match connection.next_line() {
            Ok(line) => line,
            // All is answered.
            Err(Failure::WentAway) => return Ok(status),
            Err(failure) => return Err(failure),
        };
        out.write_all(line).and_then(|()| out.write_all(b"\n")).map_err(Failure::output)?;
        let parsed = Parsed::read(line);
        status |= u8::from(parsed.head == "ERR");
        let is_raw = parsed.head == "OK" && parsed.rest.starts_with(b"raw ");
        if connection.is_quiet() || is_raw {
            out.flush().map_err(Failure::output)?;
        }
        if is_raw {
            let (mut streams, _) = connection.into_streams()?;
            return copy(&mut streams, out).map(|()| status);
        }
    }
}

fn copy(from: &mut impl Read, out: &mut impl Write) -> Result<(), Failure> {
    let mut piece = [0; 16 << 10];
    loop {
        let length = from.read(&mut piece).map_err(|e| Failure::Io("cannot read from the daemon".to_owned(), e))?;
        if length == 0 {
            return Ok(());
        }
        let bytes = piece.get(..length).unwrap_or_default();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(Failure::output)?;
    }
}

fn interactive(call: &mut Call<'_>) -> Outcome {
    let (queue, terminal) = (Arc::new(Queue::default()), Terminal::now());
    watch_signals(&queue, &terminal)?;
    let mut talk = Talk::begin(call.daemon.clone(), Arc::clone(&queue))?;
    let (mut editor, history) = editor(call)?;
    let printer = editor.create_external_printer().map_err(told)?;
    print_at_the_prompt(printer, Arc::clone(&queue), terminal)?;
    loop {
        queue.at_prompt(true);
        let typed = editor.readline(PROMPT);
        queue.at_prompt(false);
        let line = match typed {
            Ok(line) => line,
            // The line is thrown away, the session is not.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(0),
            Err(error) => return Err(told(error)),
        };
        // An empty line and a comment are never answered; a line that cannot be split is, with the reason.
        let words = words::split(line.as_bytes());
        if words.as_ref().is_ok_and(Vec::is_empty) {
            continue;
        }
        let _ = editor.add_history_entry(line.as_str());
        history.keep(&mut editor);
        let is_tagged = words.is_ok_and(|words| words.first().is_some_and(|word| word.starts_with(b"@")));
        talk.say(&line, is_tagged, &mut call.console.out)?;
    }
}

fn editor(call: &Call<'_>) -> Result<(Editor<Helper, FileHistory>, history::Place), Failure> {
    let config = Config::builder()
        .max_history_size(history::LINES_MAX)
        .and_then(|config| config.history_ignore_dups(true))
        .map_err(told)?
        // What is typed behind a blank is not kept: it may be a secret.
        .history_ignore_space(true)
        .completion_type(rustyline::CompletionType::List)
        // A terminal that is left in the middle of a line is then as it was, but for its modes.
        .bracketed_paste(false)
        .build();
    let mut editor = Editor::with_config(config).map_err(told)?;
    editor.set_helper(Some(Helper::new(call.daemon.clone())));
    let place = history::Place::of_user();
    place.load(&mut editor);
    Ok((editor, place))
}

fn told(error: ReadlineError) -> Failure {
    match error {
        ReadlineError::Io(error) => Failure::Io("cannot use the terminal".to_owned(), error),
        other => Failure::Usage(format!("cannot use the terminal: {other}")),
    }
}

/// Ctrl-C at a reply interrupts it; what ends the client leaves the terminal as it was.
fn watch_signals(queue: &Arc<Queue>, terminal: &Terminal) -> Result<(), Failure> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGHUP, Signal::SIGTERM, Signal::SIGQUIT].into_iter().collect();
    signals.thread_block().map_err(|errno| Failure::Io("cannot block signals".to_owned(), errno.into()))?;
    let (queue, terminal) = (Arc::clone(queue), terminal.clone());
    let thread = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        while let Ok(signal) = signals.wait() {
            if signal != Signal::SIGINT {
                terminal.restore();
                std::process::exit(128 + signal as i32);
            }
            queue.interrupt();
        }
    });
    thread.map(|_| ()).map_err(|error| Failure::Io("cannot watch signals".to_owned(), error))
}

/// Shows what comes while a line is typed, above that line. Where the daemon closes meanwhile, as it does behind `quit`, that
/// is the end: nobody need press a key for it.
fn print_at_the_prompt(
    mut printer: impl ExternalPrinter + Send + 'static,
    queue: Arc<Queue>,
    terminal: Terminal,
) -> Result<(), Failure> {
    let thread = thread::Builder::new().name("printer".to_owned()).spawn(move || {
        while let Some(line) = queue.take_at_prompt() {
            if printer.print(line).is_err() {
                return;
            }
        }
        await_prompt(&terminal);
        terminal.restore();
        // To the left of what was being typed, which is on the screen still.
        println!("\r\n# the daemon has closed the connection");
        std::process::exit(0);
    });
    thread.map(|_| ()).map_err(|error| Failure::Io("cannot start a thread".to_owned(), error))
}

/// Waits until the prompt stands, as it is about to: what it makes of the terminal can be put back only then.
#[expect(clippy::disallowed_methods, reason = "a thread of its own, for a moment; nobody tells of a terminal's modes")]
fn await_prompt(terminal: &Terminal) {
    let end = Instant::now() + ENTERED;
    while terminal.is_as_it_was() && Instant::now() < end {
        thread::sleep(Duration::from_millis(1));
    }
}
