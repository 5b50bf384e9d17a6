//! A container's log as `LOG` lines: what `logs` and `run attach=yes` share.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{oneshot, watch};

use super::{Args, Call, Line, Opt, Refusal};
use crate::container::View;
use crate::container::exec::split::Piece;
use crate::container::follow::{READ_MAX, Read, Reader};
use crate::container::log::Record;
use crate::container::state::Phase;
use crate::wire::reply::LogHead;
use crate::wire::units;

/// How often a log is looked at of which the host gives no notice: its user has all the inotify instances that it may have.
const LOOK: Duration = Duration::from_millis(200);

/// How the text of a line is written.
pub const TEXT: Opt = Opt::once("text", "plain|quoted", "quoted: each text one quoted word, byte for byte");
/// Tells that files of the log were put away before this client, which was slow, had read them.
pub const LOST: [&str; 2] = ["type", "files"];
/// Whether the time stands before it.
pub const TIMESTAMPS: Opt = Opt::once("timestamps", "yes|no", "the time before each text, RFC 3339 with nanoseconds");

/// How lines are shown.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    quoted: bool,
    timestamps: bool,
    /// Only what was written from then on, in the form of [`Record::time`].
    pub since: Option<String>,
}

impl LogOptions {
    /// Reads `text=` and `timestamps=`.
    pub fn read(args: &mut Args) -> Result<Self, Refusal> {
        let quoted = args.value("text", |text| match text {
            "plain" => Ok(false),
            "quoted" => Ok(true),
            other => Err(Refusal::bad_value(format_args!("{other:?} is neither plain nor quoted"))),
        })?;
        Ok(Self { quoted: quoted.unwrap_or(false), timestamps: args.flag("timestamps")?, since: None })
    }

    /// Whether any is other than the default.
    pub fn is_any(&self) -> bool {
        self.quoted || self.timestamps
    }

    /// Reads `since=` as well.
    pub fn with_since(mut self, args: &mut Args) -> Result<Self, Refusal> {
        let moment = args.value("since", |text| units::moment(text, SystemTime::now()))?;
        self.since = moment.map(|time| humantime::format_rfc3339_nanos(time).to_string());
        Ok(self)
    }

    fn shows(&self, record: &Record<'_>) -> bool {
        self.since.as_ref().is_none_or(|since| record.is_since(since))
    }

    fn line(&self, record: &Record<'_>, text: &[u8]) -> Line {
        let time = self.timestamps.then(|| record.time());
        let head = LogHead { stream: record.stream, partial: record.partial, time: time.as_deref() };
        Line::log(&head, text, self.quoted)
    }

    /// A piece of what an exec wrote to `stream`, read at `time`.
    pub fn piece(&self, stream: &str, time: SystemTime, piece: &Piece) -> Line {
        let time = self.timestamps.then(|| humantime::format_rfc3339_nanos(time).to_string());
        let head = LogHead { stream, partial: piece.partial, time: time.as_deref() };
        Line::log(&head, &piece.text, self.quoted)
    }
}

/// The beginning of a character whose rest stands in the next piece of the same line.
#[derive(Default)]
struct Torn(Vec<u8>);

impl Torn {
    /// The text of a piece with its characters whole: one that the last piece began is put before it, one that it only
    /// begins itself is kept back.
    fn mend(&mut self, record: &Record<'_>) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.0);
        text.extend_from_slice(record.text);
        if record.partial {
            self.0 = text.split_off(whole_characters(&text));
        }
        text
    }
}

/// Up to where `text` holds whole characters: all of it, or less by the one to three bytes of one that is begun.
fn whole_characters(text: &[u8]) -> usize {
    for back in 1..=text.len().min(3) {
        let at = text.len() - back;
        let length = match text[at] {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            0x80..=0xbf => continue,
            _ => return text.len(),
        };
        return if length > back { at } else { text.len() };
    }
    text.len()
}

/// A log on its way to a client.
pub struct Stream {
    reader: Reader,
    options: LogOptions,
    /// Whose it is.
    view: watch::Receiver<Arc<View>>,
    /// Of standard output and of standard error.
    torn: [Torn; 2],
}

impl Stream {
    /// What `reader` reads, shown as `options` say, of the container of `view`.
    pub fn new(reader: Reader, options: LogOptions, view: watch::Receiver<Arc<View>>) -> Self {
        Self { reader, options, view, torn: Default::default() }
    }

    /// One record as a line, where it is to be shown.
    fn line(&mut self, record: &Record<'_>) -> Option<Line> {
        if !self.options.shows(record) {
            return None;
        }
        if self.options.quoted {
            return Some(self.options.line(record, record.text));
        }
        let torn = &mut self.torn[usize::from(record.stream == "stderr")];
        let text = torn.mend(record);
        Some(self.options.line(record, &text))
    }

    /// What was begun and will not be ended.
    async fn flush(&mut self, call: &Call) {
        for (stream, torn) in ["stdout", "stderr"].into_iter().zip(&mut self.torn) {
            let rest = std::mem::take(&mut torn.0);
            if !rest.is_empty() {
                call.line(&Line::log(&LogHead { stream, partial: true, time: None }, &rest, false)).await;
            }
        }
    }

    /// Sends what is there, to its end.
    pub async fn show(mut self, call: &Call) -> Result<(), Refusal> {
        self.drain(call).await?;
        self.flush(call).await;
        Ok(())
    }

    async fn drain(&mut self, call: &Call) -> Result<(), Refusal> {
        loop {
            let _ahead = call.outbox.read_ahead(READ_MAX).await;
            let lines = match self.reader.read().await.map_err(|e| Refusal::io("the container's log", &e))? {
                Read::Lines(lines) => lines,
                Read::Lost(files) => {
                    // The rest of what was begun is lost with them.
                    self.flush(call).await;
                    call.line(&Line::event(LOST.into_iter().zip(["lost", &files.to_string()]))).await;
                    continue;
                }
                Read::End => return Ok(()),
            };
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                let record = Record::read(line.strip_suffix(b"\n").unwrap_or(line));
                if let Some(line) = record.and_then(|record| self.line(&record)) {
                    call.line(&line).await;
                }
            }
        }
    }

    /// Sends what is there and what comes, until the container's run has ended.
    pub async fn follow(mut self, call: &Call) -> Result<(), Refusal> {
        loop {
            // In this order: what was written before the end, or before the arming, is read after both.
            let ended = is_over(&self.view.borrow_and_update());
            self.reader.mark();
            let number = self.reader.number();
            let grown = grown(call.engine.ground.changes.arm(&self.reader.path()));
            self.drain(call).await?;
            if ended {
                self.flush(call).await;
                return Ok(());
            }
            if self.reader.number() != number {
                // Another file by now, which is to be watched in its place.
                continue;
            }
            tokio::select! {
                () = grown => {}
                () = self.reader.turned() => {}
                changed = self.view.changed() => if changed.is_err() {
                    // The actor is gone, and with it whoever writes.
                    return self.show(call).await;
                }
            }
        }
    }
}

/// Ends when there may be more to read. Where the host has no notice left to give, it is looked at by time.
async fn grown(armed: io::Result<oneshot::Receiver<()>>) {
    match armed {
        Ok(told) => drop(told.await),
        Err(_) => tokio::time::sleep(LOOK).await,
    }
}

/// Whether conmon has written all there will be of a run. One that never ran is waited for.
fn is_over(view: &View) -> bool {
    view.is_gone()
        || (view.exit.is_some()
            && !view.goes_on
            && matches!(view.phase, Phase::Leaving | Phase::Exited | Phase::Failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_between_pieces_is_kept_whole() {
        let mut torn = Torn::default();
        let line = "aé€𝄞b".as_bytes();
        for at in 1..line.len() {
            let head = [b"t stdout P ", &line[..at]].concat();
            let tail = [b"t stdout F ", &line[at..]].concat();
            let first = torn.mend(&Record::read(&head).unwrap());
            let second = torn.mend(&Record::read(&tail).unwrap());
            assert!(std::str::from_utf8(&first).is_ok(), "{at}");
            assert_eq!([first, second].concat(), line, "{at}");
        }
        assert_eq!(whole_characters(b"\xff"), 1);
        assert_eq!(whole_characters(b""), 0);
    }
}
