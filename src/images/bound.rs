//! How much disk one image may take: what is a few kilobytes long as a layer may be terabytes as a tree, by mischief or
//! by mistake.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::future::{Either, select};

use crate::refusal::Refusal;
use crate::walk::{Step, walk};
use crate::worker::look;

/// How often a tree that grows is looked at, at most. The kernel tells of every file, which would be far more than this.
const LOOK: Duration = Duration::from_millis(500);
/// How much longer than the look itself the rest is until the next.
const REST: u32 = 10;
/// How long it is at most, however slow the disk: so long a tree may grow without a look.
const REST_MAX: Duration = Duration::from_secs(5);
/// What a file counts for at least, in bytes: an empty one takes an inode and a name.
pub const FILE_MIN: u64 = 4096;

/// The bound, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bound(Option<u64>);

impl Bound {
    /// A bound of so many bytes; 0 is none.
    pub fn new(bytes: u64) -> Self {
        Self(Some(bytes).filter(|bytes| *bytes > 0))
    }

    /// Refuses an image of which it is known, or said, that it takes so much.
    pub fn admit(self, bytes: u64) -> Result<(), Refusal> {
        match self.0 {
            Some(max) if bytes > max => Err(too_large(max)),
            _ => Ok(()),
        }
    }

    /// Lets `work` make the tree at `root`, and gives it up where that grows beyond the bound.
    pub async fn hold<T>(self, root: &Path, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        let Some(max) = self.0 else { return work.await };
        let mut work = pin!(work);
        let mut rest = LOOK;
        loop {
            match select(work.as_mut(), pin!(tokio::time::sleep(rest))).await {
                Either::Left((done, _)) => {
                    let made = done?;
                    self.admit(measure(root, max).await?)?;
                    return Ok(made);
                }
                Either::Right(_) => {
                    let begun = Instant::now();
                    self.admit(measure(root, max).await?)?;
                    rest = rest_after(begun.elapsed());
                }
            }
        }
    }
}

/// How long the rest is behind a look that took so long.
fn rest_after(look: Duration) -> Duration {
    look.saturating_mul(REST).clamp(LOOK, REST_MAX)
}

fn too_large(max: u64) -> Refusal {
    Refusal::tool_failed(format_args!("it takes more than {max} bytes of disk; max-image-size allows no more"))
}

async fn measure(root: &Path, max: u64) -> Result<u64, Refusal> {
    let root = root.to_owned();
    look(move || size(&root, max)).await
}

/// What a tree takes, or something beyond `max` where it takes more. It may be growing: what cannot be looked at counts
/// nothing.
fn size(root: &Path, max: u64) -> u64 {
    let mut sum = 0_u64;
    let count = |_: &Path, metadata: &Metadata| {
        // A file of many names is counted in parts.
        let takes = (metadata.blocks().saturating_mul(512) / metadata.nlink().max(1)).max(FILE_MIN);
        sum = sum.saturating_add(takes);
        if sum > max { Step::End } else { Step::In }
    };
    match walk(root, count) {
        // Nobody knows what lies deeper down.
        Ok(false) => u64::MAX,
        _ => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tree_grows_for_long_without_a_look() {
        let seconds = Duration::from_secs;
        assert_eq!(rest_after(Duration::ZERO), LOOK);
        assert_eq!(rest_after(Duration::from_millis(200)), seconds(2));
        assert_eq!(rest_after(seconds(60)), REST_MAX);
        assert_eq!(rest_after(Duration::MAX), REST_MAX);
    }
}
