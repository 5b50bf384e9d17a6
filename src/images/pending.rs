//! Names that somebody has to look at, each once however often it is told of.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::id::ImageRef;

/// The names told of since they were last taken. Bounded by how many names there are.
#[derive(Debug, Default)]
pub struct Pending {
    names: Mutex<BTreeSet<ImageRef>>,
    told: Notify,
}

impl Pending {
    /// Tells of a name. Never waits; may be called in a drop, on any thread.
    pub fn tell(&self, name: &ImageRef) {
        self.names().insert(name.clone());
        self.told.notify_one();
    }

    /// Wakes whoever waits without telling of a name.
    pub fn wake(&self) {
        self.told.notify_one();
    }

    /// Whether a name was told of and not taken yet.
    pub fn contains(&self, name: &ImageRef) -> bool {
        self.names().contains(name)
    }

    /// Waits until it was told of any, or woken.
    pub async fn told(&self) {
        self.told.notified().await;
    }

    /// Takes them all.
    pub fn take(&self) -> BTreeSet<ImageRef> {
        std::mem::take(&mut *self.names())
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<ImageRef>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
