//! A container's log as `LOG` lines: what `logs` and `run attach=yes` share.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::{Args, Call, Line, Opt, Refusal};
use crate::container::View;
use crate::container::exec::split::Piece;
use crate::container::follow::Reader;
use crate::container::log::Record;
use crate::container::state::Phase;
use crate::wire::reply::LogHead;
use crate::wire::units;

/// How the text of a line is written.
pub const TEXT: Opt = Opt::once("text", "plain|quoted", "quoted: each text one quoted word, byte for byte");
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

    fn line(&self, record: &Record<'_>) -> Option<Line> {
        if self.since.as_ref().is_some_and(|since| !record.is_since(since)) {
            return None;
        }
        let time = self.timestamps.then(|| record.time());
        let head = LogHead { stream: record.stream, partial: record.partial, time: time.as_deref() };
        Some(Line::log(&head, record.text, self.quoted))
    }

    /// A piece of what an exec wrote to `stream`, read at `time`.
    pub fn piece(&self, stream: &str, time: SystemTime, piece: &Piece) -> Line {
        let time = self.timestamps.then(|| humantime::format_rfc3339_nanos(time).to_string());
        let head = LogHead { stream, partial: piece.partial, time: time.as_deref() };
        Line::log(&head, &piece.text, self.quoted)
    }
}

/// A log on its way to a client.
pub struct Stream {
    /// Where it is read.
    pub reader: Reader,
    /// How it is shown.
    pub options: LogOptions,
    /// Whose it is.
    pub view: watch::Receiver<Arc<View>>,
}

impl Stream {
    /// Sends what is there.
    pub async fn drain(&mut self, call: &Call) -> Result<(), Refusal> {
        loop {
            let lines = self.reader.lines().await.map_err(|e| Refusal::io("the container's log", &e))?;
            if lines.is_empty() {
                return Ok(());
            }
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                let record = Record::read(line.strip_suffix(b"\n").unwrap_or(line));
                if let Some(line) = record.and_then(|record| self.options.line(&record)) {
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
            let grown = call.engine.changes.arm(&self.reader)?;
            self.drain(call).await?;
            if ended {
                return Ok(());
            }
            tokio::select! {
                _ = grown => {}
                changed = self.view.changed() => if changed.is_err() {
                    // The actor is gone, and with it whoever writes.
                    return self.drain(call).await;
                }
            }
        }
    }
}

/// Whether conmon has written all there will be of a run. One that never ran is waited for.
fn is_over(view: &View) -> bool {
    view.is_gone() || (view.exit.is_some() && matches!(view.phase, Phase::Leaving | Phase::Exited))
}
