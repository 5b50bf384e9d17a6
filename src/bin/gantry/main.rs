//! `gantry`: the client. A docker-like command line becomes lines of the protocol; replies become tables, streams and
//! exit statuses.
//!
//! ```text
//! argv -> cli -> registry entry -> request -> connection -> reply -> console, exit status
//!                      \-> flag -> value, environment          \-> table, human, progress, streams
//! ```
//!
//! A blocking program with one thread (and one more for signals, where they are passed on). It uses the wire's grammar
//! and the codes of the daemon's library and nothing else of it: no verb's meaning that the daemon can tell.

mod attached;
mod cli;
mod command;
mod commands;
mod compose;
mod connection;
mod console;
mod container_flags;
mod detach;
#[cfg(test)]
mod dockers;
mod environment;
mod failure;
mod filter;
mod flag;
mod human;
mod input;
mod listing_flags;
mod live;
mod progress;
mod registry;
mod request;
mod restore;
mod row;
mod shell;
mod signals;
mod streams;
mod table;
mod template;
mod terminal;
mod value;

use std::ffi::OsString;
use std::process::ExitCode;

use command::Call;
use connection::Daemon;
use console::Console;

fn main() -> ExitCode {
    let typed: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(carry_out(&typed, &mut Console::of_process()))
}

/// Reads the command line, does what it says, and gives the exit status.
fn carry_out(typed: &[OsString], console: &mut Console) -> u8 {
    let matches = match cli::parser().try_get_matches_from(typed) {
        Ok(matches) => matches,
        Err(error) => return explain(&error, typed, console),
    };
    let Some(cli::Chosen { entry, matches: inner, group }) = cli::chosen(&matches) else { return 1 };
    let mut call = Call { entry, matches: inner, group, daemon: &Daemon::at(cli::socket_of(&matches)), console };
    let outcome = (entry.act)(&mut call);
    match outcome.and_then(|status| console.flush().map(|()| status)) {
        Ok(status) => status,
        Err(failure) => {
            console.complain(&failure);
            failure.status(entry.failed)
        }
    }
}

/// Help that was asked for goes to the output; a command line that cannot be read is told to the person.
fn explain(error: &clap::Error, typed: &[OsString], console: &mut Console) -> u8 {
    let text = error.render().to_string();
    if error.use_stderr() {
        let _ = write!(console.err, "{text}");
        let _ = console.flush();
        return cli::unreadable(typed);
    }
    let _ = write!(console.out, "{text}");
    u8::from(console.flush().is_err())
}
