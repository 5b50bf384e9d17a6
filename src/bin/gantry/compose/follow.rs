//! Containers that are followed: what they write, line by line, each with its container's name before it.

use std::io::Write;
use std::thread;
use std::time::{Duration, SystemTime};

use gantry::wire::reply::Parsed;

use super::notes::{Note, Teller};
use crate::commands::rows;
use crate::connection::Daemon;
use crate::console::Console;
use crate::failure::Failure;
use crate::flag::Pair;
use crate::request::Request;
use crate::streams::Piece;

/// The most of one line that is held back until it is whole: lines of several containers must not run into each other.
const LINE_MAX: usize = 64 << 10;

/// Colours of names, one after another: those that can be read on light and on dark.
const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];

/// Tells what the container `name` writes, on a thread, to its end.
pub fn start(daemon: &Daemon, name: String, shown: String, options: Vec<Pair>, teller: Teller) -> Result<(), Failure> {
    let daemon = daemon.clone();
    let body = move || {
        // What cannot be followed any more is told as ended: its container may well run on.
        let ended = to_the_end(&daemon, &name, options, &shown, &teller);
        let (exit, behind) = ended.unwrap_or_else(|_| (String::new(), since(SystemTime::now())));
        let _ = teller.send(Note::Ended { shown, exit, behind });
    };
    let thread = thread::Builder::new().name("follow".to_owned()).spawn(body);
    thread.map(|_| ()).map_err(|error| Failure::Io("cannot start a thread".to_owned(), error))
}

/// Follows a container, also where it is found started again, and gives its exit status, empty where it is gone, and what
/// leaves out all that was told.
fn to_the_end(
    daemon: &Daemon,
    name: &str,
    mut options: Vec<Pair>,
    shown: &str,
    teller: &Teller,
) -> Result<(String, Pair), Failure> {
    // By the times of what was told, and not by the clock: what is started again may have written by now.
    let mut behind = since(SystemTime::now());
    loop {
        let last = lines(daemon, name, &options, |stream, text| {
            let line = Note::Line { shown: shown.to_owned(), stream, text };
            teller.send(line).map_err(|_| Failure::NoReader)
        })?;
        behind = last.and_then(|last| after(&last)).unwrap_or(behind);
        let rows = rows::collect(&mut daemon.connect()?, &Request::new("ps").option("name", name.as_bytes()))?;
        let Some(row) = rows.first() else { return Ok((String::new(), behind)) };
        if !matches!(row.get("state"), "running" | "paused" | "stopping") {
            return Ok((row.get("exit").to_owned(), behind));
        }
        options.retain(|(key, _)| !matches!(*key, "since" | "tail"));
        options.push(behind.clone());
    }
}

/// The option that leaves out all that was written before.
fn since(time: SystemTime) -> Pair {
    ("since", humantime::format_rfc3339_nanos(time).to_string().into_bytes())
}

/// The option that leaves out all that was written up to a time as `logs` tells it.
fn after(time: &[u8]) -> Option<Pair> {
    let time = humantime::parse_rfc3339(std::str::from_utf8(time).ok()?).ok()?;
    Some(since(time.checked_add(Duration::from_nanos(1))?))
}

/// Tells of every container of the host that is started from here on, on a thread.
pub fn watch_starts(daemon: &Daemon, teller: Teller) -> Result<(), Failure> {
    let daemon = daemon.clone();
    let body = move || {
        let request = Request::new("events").option("type", b"container");
        let told = daemon.connect().and_then(|mut events| {
            events.exchange(&request, |event, _| match (event.get("action").as_deref(), event.get("name")) {
                (Some("start"), Some(name)) => teller.send(Note::Again { name }).map_err(|_| Failure::NoReader),
                _ => Ok(()),
            })
        });
        // Without events, what somebody else starts again is not shown: no reason to end.
        drop(told);
    };
    let thread = thread::Builder::new().name("events".to_owned()).spawn(body);
    thread.map(|_| ()).map_err(|error| Failure::Io("cannot start a thread".to_owned(), error))
}

/// Hands on what a container wrote, in whole lines, and gives the time of the last of it.
pub fn lines(
    daemon: &Daemon,
    name: &str,
    options: &[Pair],
    mut line: impl FnMut(usize, Vec<u8>) -> Result<(), Failure>,
) -> Result<Option<Vec<u8>>, Failure> {
    let (times, others): (Vec<Pair>, Vec<Pair>) = options.iter().cloned().partition(|(key, _)| *key == "timestamps");
    let mut pieces = Pieces { shows_times: times.iter().any(|(_, value)| value == b"yes"), ..Pieces::default() };
    let request = Request::new("logs").positional(name.as_bytes())?.options(&others);
    let request = request.option("timestamps", b"yes").option("text", b"quoted");
    daemon.connect()?.exchange(&request, |reply, _| pieces.take(reply, &mut line))?;
    // A last line without its end is one all the same.
    for (stream, text) in pieces.begun.into_iter().enumerate().filter(|(_, text)| !text.is_empty()) {
        line(stream, text)?;
    }
    Ok(pieces.last)
}

/// What comes in pieces and is told in whole lines.
#[derive(Default)]
struct Pieces {
    /// What was begun of a line of standard output and of standard error.
    begun: [Vec<u8>; 2],
    /// Whether the time stands before each line.
    shows_times: bool,
    /// The time of the last piece.
    last: Option<Vec<u8>>,
}

impl Pieces {
    fn take(
        &mut self,
        reply: &Parsed,
        line: &mut impl FnMut(usize, Vec<u8>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if reply.head != "LOG" {
            return Ok(());
        }
        let piece = Piece::read(&reply.rest)?;
        let Some(text) = self.begun.get_mut(piece.stream) else { return Ok(()) };
        if let Some(time) = piece.time {
            if self.shows_times && text.is_empty() {
                text.extend_from_slice(&time);
                text.push(b' ');
            }
            self.last = Some(time);
        }
        text.extend_from_slice(&piece.text);
        if piece.is_part && text.len() < LINE_MAX { Ok(()) } else { line(piece.stream, std::mem::take(text)) }
    }
}

/// Writes lines with their containers' names before them.
pub struct Printer {
    names: Vec<String>,
    width: usize,
    is_coloured: bool,
    has_names: bool,
}

impl Printer {
    /// For these containers, and others that may come.
    pub fn new(names: Vec<String>, is_coloured: bool, has_names: bool) -> Self {
        let width = names.iter().map(String::len).max().unwrap_or(0);
        Self { names, width, is_coloured, has_names }
    }

    /// Writes one line.
    pub fn line(&mut self, console: &mut Console, shown: &str, stream: usize, text: &[u8]) -> Result<(), Failure> {
        let head = if self.has_names { self.head(shown) } else { String::new() };
        let out = if stream == 0 { &mut console.out } else { &mut console.err };
        let written =
            out.write_all(head.as_bytes()).and_then(|()| out.write_all(text)).and_then(|()| out.write_all(b"\n"));
        written.and_then(|()| out.flush()).map_err(Failure::output)
    }

    fn head(&mut self, shown: &str) -> String {
        let known = self.names.iter().position(|name| name == shown);
        let index = known.unwrap_or_else(|| {
            self.names.push(shown.to_owned());
            self.names.len() - 1
        });
        self.width = self.width.max(shown.len());
        let padded = format!("{shown:width$}  |", width = self.width);
        match COLOURS.get(index % COLOURS.len()).filter(|_| self.is_coloured) {
            Some(colour) => format!("\x1b[{colour}m{padded}\x1b[0m "),
            None => format!("{padded} "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_whole_lines() {
        for (shows_times, time) in [(true, "T "), (false, "")] {
            let mut pieces = Pieces { shows_times, ..Pieces::default() };
            let mut told = Vec::new();
            for reply in [
                "LOG stdout+ T \"a\"",
                "LOG stderr T \"e\"",
                "LOG stdout T \"b\"",
                "PROGRESS",
                "LOG stdout+ T \"rest\"",
                "LOG stdout+ U \"less\"",
            ] {
                let mut line = |stream, text| {
                    told.push((stream, String::from_utf8(text).unwrap()));
                    Ok(())
                };
                pieces.take(&Parsed::read(reply.as_bytes()), &mut line).unwrap();
            }
            assert_eq!(told, [(1, format!("{time}e")), (0, format!("{time}ab"))]);
            assert_eq!(pieces.begun[0], format!("{time}restless").into_bytes());
            assert_eq!(pieces.last.as_deref(), Some(&b"U"[..]));
        }
    }

    #[test]
    fn what_was_told_is_left_out_and_nothing_else() {
        let after = |time: &str| String::from_utf8(after(time.as_bytes()).unwrap().1).unwrap();
        assert_eq!(after("2026-11-21T21:02:37.832192415Z"), "2026-11-21T21:02:37.832192416Z");
        assert_eq!(after("2026-12-31T23:59:59.999999999Z"), "2027-01-01T00:00:00.000000000Z");
        assert_eq!(super::after(b"T"), None);
    }

    #[test]
    fn a_line_without_end_is_told_in_parts() {
        let mut pieces = Pieces::default();
        let mut told = 0;
        for _ in 0..3 {
            let piece = format!("LOG stdout+ \"{}\"", "x".repeat(LINE_MAX / 2));
            let mut line = |_, text: Vec<u8>| {
                told += text.len();
                Ok(())
            };
            pieces.take(&Parsed::read(piece.as_bytes()), &mut line).unwrap();
        }
        assert_eq!((told, pieces.begun[0].len()), (LINE_MAX, LINE_MAX / 2));
    }

    #[test]
    fn names_line_up_and_have_colours() {
        let mut plain = Printer::new(vec!["db-1".to_owned(), "web-10".to_owned()], false, true);
        assert_eq!([plain.head("db-1"), plain.head("web-10")], ["db-1    | ", "web-10  | "]);
        let mut coloured = Printer::new(vec!["a-1".to_owned()], true, true);
        assert_eq!(coloured.head("a-1"), "\x1b[36ma-1  |\x1b[0m ");
        assert_eq!(coloured.head("b-1"), "\x1b[33mb-1  |\x1b[0m ");
    }
}
