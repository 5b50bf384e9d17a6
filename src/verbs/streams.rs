//! Standard streams as a client asks for them: options that `run`, `exec`, `attach` and `resize` share, and the way from
//! lines to a raw connection.

use super::stream::LogOptions;
use super::{Args, Call, Line, Opt, Refusal};
use crate::container::exec::Output;
use crate::container::feed::{Feed, Feeder};
use crate::id::Name;
use crate::tools::terminal::{SIDE_MAX, Size};

/// Whether there is a standard input.
pub const STDIN: Opt = Opt::once("stdin", "yes|no", "a standard input, fed by 'input' or raw");
/// Whether they are a terminal.
pub const TTY: Opt = Opt::once("tty", "yes|no", "a terminal");
/// Whether the connection becomes them.
pub const RAW: Opt = Opt::once("raw", "yes|no", "turn the connection into its standard streams; with a terminal, yes");
/// The terminal's height.
pub const ROWS: Opt = Opt::once("rows", "N", "the terminal's height, 1 to 1000");
/// The terminal's width.
pub const COLS: Opt = Opt::once("cols", "N", "the terminal's width, 1 to 1000");

/// Reads `rows=` and `cols=`, which go together.
pub fn size(args: &mut Args) -> Result<Option<Size>, Refusal> {
    match (side(args, "rows")?, side(args, "cols")?) {
        (Some(rows), Some(cols)) => Ok(Some(Size { rows, cols })),
        (None, None) => Ok(None),
        _ => Err(Refusal::bad_option("rows= and cols= go together")),
    }
}

fn side(args: &mut Args, key: &str) -> Result<Option<u16>, Refusal> {
    match args.number(key)? {
        Some(count) if !(1..=SIDE_MAX).contains(&count) => {
            Err(Refusal::bad_value(format_args!("{key}=: a terminal has 1 to {SIDE_MAX}")))
        }
        count => Ok(count),
    }
}

/// A process's standard streams, for a connection to become.
pub struct Raw {
    /// Where to it sends what it reads; without one, nowhere.
    pub input: Option<Feeder>,
    /// What the process writes; its end is the connection's.
    pub output: Output,
}

/// Whether the connection is to become raw: where that is not said, with a terminal and no wish for lines.
pub fn is_raw(said: Option<bool>, tty: bool, options: &LogOptions) -> Result<bool, Refusal> {
    match said {
        Some(true) if options.is_any() => {
            Err(Refusal::bad_option("text= and timestamps= are of lines, not of raw=yes"))
        }
        Some(raw) => Ok(raw),
        None => Ok(tty && !options.is_any()),
    }
}

/// Begins a request that wants the connection raw: refused with a tag and beside tagged requests. What follows its line is
/// kept for the process from here on.
pub fn claim(call: &Call) -> Result<(), Refusal> {
    call.hold_lines();
    if call.tag.is_some() {
        return Err(Refusal::bad_option("raw=yes takes the whole connection: ask without a tag, or say raw=no"));
    }
    if call.has_neighbours {
        return Err(Refusal::busy("requests with a tag are running on this connection, which raw=yes takes whole"));
    }
    Ok(())
}

/// Both ends of an input, where there is to be one.
pub fn input(wanted: bool) -> (Option<Feeder>, Option<Feed>) {
    let ends = wanted.then(crate::container::feed::channel);
    ends.map_or((None, None), |(feeder, feed)| (Some(feeder), Some(feed)))
}

/// The final line of a request that turned raw.
pub fn turn(call: &Call, raw: Raw, id: &dyn std::fmt::Display) -> Line {
    call.turn_raw(raw);
    Line::raw(&id.to_string())
}

/// What has no terminal has no size.
pub fn check_size(size: Option<Size>, tty: bool) -> Result<(), Refusal> {
    match size {
        Some(_) if !tty => Err(Refusal::bad_option("rows= and cols= go with tty=yes")),
        _ => Ok(()),
    }
}

/// Tells a client whom it is with, before the first output.
pub async fn tell(call: &Call, stage: &str, name: &Name, id: &dyn std::fmt::Display) {
    call.line(&Line::progress(&["stage", "name", "id"], &[&stage, name, id])).await;
}
