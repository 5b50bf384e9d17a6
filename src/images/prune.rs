//! Taking away the images that nobody uses.

use std::time::{Duration, SystemTime};

use super::index::Entry;
use super::shared::Shared;
use crate::id::ImageRef;
use crate::refusal::Refusal;
use crate::worker::look;

/// What was taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The names.
    pub names: Vec<ImageRef>,
    /// The bytes of disk that are free now, or as soon as the trees are deleted.
    pub bytes: u64,
}

/// Removes the names that nobody uses, all or those unused for so long, and what no name needs.
pub async fn prune(shared: &Shared, all: bool, unused: Option<Duration>) -> Result<Pruned, Refusal> {
    let (names, bytes) = shared.remove_unused(candidates(shared, all, unused)).await?;
    let disk = shared.disk.clone();
    let partial = look(move || disk.clear_partial()).await?;
    Ok(Pruned { names, bytes: bytes.saturating_add(partial) })
}

fn candidates(shared: &Shared, all: bool, unused: Option<Duration>) -> Vec<ImageRef> {
    let now = SystemTime::now();
    let long_enough = |entry: &&Entry| {
        unused.is_none_or(|unused| now.duration_since(entry.used()).is_ok_and(|since| since >= unused))
    };
    let index = shared.index.borrow();
    let chosen = index.iter().filter(|entry| (all || unused.is_some()) && !entry.is_held()).filter(long_enough);
    chosen.map(|entry| entry.image().name.clone()).collect()
}
