//! How much disk the store takes up, as the file system counts it.

use super::shared::Shared;
use crate::du::{Du, Taken};
use crate::refusal::Refusal;
use crate::worker::beside;

/// What the store takes up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The names.
    pub names: Taken,
    /// Compressed layers and documents, as registries have them.
    pub blobs: Taken,
    /// Unpacked trees, one for each image, whatever its names.
    pub trees: Taken,
    /// What is on its way in, or being deleted.
    pub work: Taken,
    /// Blobs of pulls that were cut off.
    pub partial: Taken,
}

impl Usage {
    /// What is neither an image nor will be, until somebody pulls it again.
    pub fn unfinished(&self) -> Taken {
        Taken { count: self.work.count + self.partial.count, bytes: self.work.bytes.saturating_add(self.partial.bytes) }
    }

    /// What a prune may free.
    pub fn bytes(&self) -> u64 {
        self.blobs.bytes.saturating_add(self.trees.bytes).saturating_add(self.partial.bytes)
    }
}

/// Measures it; the time it takes grows with the number of files.
pub async fn measure(shared: &Shared) -> Result<Usage, Refusal> {
    let root = shared.disk.root().to_owned();
    beside(move || {
        let mut du = Du::default();
        let mut measure =
            |dir: &str| du.entries(&root.join(dir)).map_err(|e| Refusal::io(format_args!("measuring {dir}"), &e));
        // Work shares files with blobs by links, and they are counted there.
        let (blobs, trees) = (measure("blobs/sha256")?, measure("rootfs")?);
        let (names, partial) = (measure("names")?, measure("partial")?);
        Ok(Usage { names, blobs, trees, partial, work: measure("tmp")? })
    })
    .await
}
