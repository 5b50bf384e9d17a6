//! Puts a container's log aside when it has grown enough, without losing a line.
//!
//! conmon's own `--log-size-max` throws the old lines away (2.1.6 and 2.1.12). So the daemon does it: the log gets a second
//! name, conmon is told by its `ctl` fifo to open a new one, and puts that in the first name's place. Whatever conmon
//! wrote until then is in the old file, whatever it writes from then on in the new one.
//!
//! # When to look
//!
//! No kernel tells that a file has passed a size: inotify and fanotify tell of every write, which would wake the daemon as
//! often as a container writes, and a quota or `RLIMIT_FSIZE` makes conmon drop lines. So the two are joined: the next write
//! to the log is told, once ([`Changes::arm`]); then the daemon sleeps for as long as the room that is left lasts at
//! [`SPEED`], looks how long the log is, and has the next write told again. A container that writes nothing costs nothing,
//! one that writes all the time costs one look every 20 ms to 1 s, one without a limit has not even a watch.
//!
//! # How far a file passes the limit
//!
//! By what conmon writes within [`SOONEST`] and the few milliseconds in which it changes files, as long as it writes no faster
//! than [`SPEED`] and the daemon is not held up: 3 MB at full speed, a few lines of what people read. A daemon that is held
//! up, or stopped, looks later: files are longer then, and no line is lost.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::sync::oneshot;

use super::log_files::LogFiles;
use crate::changes::Changes;
use crate::config::LogBounds;
use crate::tools::conmon::Ctl;

/// How fast a log is taken to grow at most, in bytes a second: conmon, kept fully busy, was seen to write 90 MB.
const SPEED: u64 = 128 << 20;
/// The soonest that a log which grows is looked at again.
const SOONEST: Duration = Duration::from_millis(20);
/// The latest, and how long a rotation that could not be begun is let be.
const LATEST: Duration = Duration::from_secs(1);

/// Keeps the log of a run within `bounds`, until the run is `over`: that is when its sender is dropped.
pub async fn keep(
    bounds: LogBounds,
    files: &LogFiles,
    bundle: &Path,
    changes: &Changes,
    mut over: oneshot::Receiver<()>,
) {
    let Some(limit) = bounds.limit() else { return };
    let rotation = Rotation { files, bundle, changes, keep: u64::from(bounds.max_files) };
    let mut warned = false;
    loop {
        // Armed first: what is written behind the look is told.
        let grown = changes.arm(files.current());
        let size = files.size().await.unwrap_or(0);
        let mut pause = pause(limit, size);
        if size >= limit {
            match rotation.turn(&mut over).await {
                Ok(true) => continue,
                Ok(false) => break,
                Err(e) => {
                    if !std::mem::replace(&mut warned, true) {
                        log::warn!("{}: not put aside, and tried again: {e}", files.current().display());
                    }
                    pause = LATEST;
                }
            }
        }
        // Without a watch, of which a user has a limited number too, it is looked at by time alone.
        if let Ok(grown) = grown {
            tokio::select! { _ = grown => {} _ = &mut over => break }
        } else {
            pause = LATEST;
        }
        tokio::select! { () = tokio::time::sleep(pause) => {} _ = &mut over => break }
    }
    rotation.settle().await;
}

/// How long a log of `size` bytes, being written, cannot have reached `limit`.
fn pause(limit: u64, size: u64) -> Duration {
    let micros = limit.saturating_sub(size).saturating_mul(1_000_000) / SPEED;
    Duration::from_micros(micros).clamp(SOONEST, LATEST)
}

struct Rotation<'a> {
    files: &'a LogFiles,
    bundle: &'a Path,
    changes: &'a Changes,
    keep: u64,
}

impl Rotation<'_> {
    /// Puts the log aside. False where the run was over before conmon did so.
    async fn turn(&self, over: &mut oneshot::Receiver<()>) -> io::Result<bool> {
        self.files.begin_turn().await?;
        if let Err(e) = Ctl::of(self.bundle).reopen_log() {
            // Not told, so that nothing will come of it.
            self.files.cancel_turn().await;
            return Err(e);
        }
        loop {
            // The old file losing the name `log` is told too.
            let turned = self.changes.arm(&self.files.turned());
            if self.files.has_turned().await.unwrap_or(false) {
                self.files.end_turn(self.keep).await;
                return Ok(true);
            }
            // Never told twice, however long it takes: a second file in the place of a first would lose what that held.
            let told = async {
                match turned {
                    Ok(turned) => _ = turned.await,
                    Err(_) => tokio::time::sleep(SOONEST).await,
                }
            };
            tokio::select! {
                () = told => {}
                _ = &mut *over => return Ok(false),
            }
        }
    }

    /// The run is over: conmon has put a new file in place, or never will.
    async fn settle(&self) {
        if !self.files.is_turning() {
            return;
        }
        match self.files.has_turned().await {
            Ok(true) => self.files.end_turn(self.keep).await,
            _ => self.files.cancel_turn().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuller_the_sooner() {
        let limit = 10 << 20;
        assert_eq!(pause(limit, limit), SOONEST);
        assert_eq!(pause(limit, 2 * limit), SOONEST);
        assert_eq!(pause(limit, 0), Duration::from_micros(78_125));
        assert_eq!(pause(u64::MAX, 0), LATEST);
        assert!(pause(limit, limit / 2) < pause(limit, limit / 4));
    }
}
