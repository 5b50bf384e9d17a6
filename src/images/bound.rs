//! How much disk one image may take: what is a few kilobytes long as a layer may be terabytes as a tree, by mischief or
//! by mistake.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::future::{Either, select};

use crate::refusal::Refusal;
use crate::worker::look;

/// How often a tree that grows is looked at, at most. The kernel tells of every file, which would be far more than this.
const LOOK: Duration = Duration::from_millis(500);
/// How much longer than the look itself the rest is until the next.
const REST: u32 = 10;
/// What a file counts for at least, in bytes: an empty one takes an inode and a name.
const FILE_MIN: u64 = 4096;

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
                    rest = LOOK.max(begun.elapsed() * REST);
                }
            }
        }
    }
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
    let (mut sum, mut todo) = (0_u64, vec![root.to_owned()]);
    while let Some(path) = todo.pop().filter(|_| sum <= max) {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        // A file of many names is counted in parts.
        let takes = (metadata.blocks().saturating_mul(512) / metadata.nlink().max(1)).max(FILE_MIN);
        sum = sum.saturating_add(takes);
        if metadata.is_dir() {
            todo.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    sum
}
