//! How much disk the store takes up, as the file system counts it.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::disk::beside;
use super::shared::Shared;
use crate::refusal::Refusal;

/// What the store takes up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many names there are.
    pub names: usize,
    /// Bytes of disk that blobs take.
    pub blobs: u64,
    /// Bytes of disk that unpacked trees take.
    pub trees: u64,
}

impl Usage {
    /// All of it.
    pub fn bytes(&self) -> u64 {
        self.blobs.saturating_add(self.trees)
    }
}

/// Measures it; the time it takes grows with the number of files.
pub async fn measure(shared: &Shared) -> Result<Usage, Refusal> {
    let names = shared.index.borrow().iter().count();
    let root = shared.disk.root().to_owned();
    beside(move || {
        let measure = |dir: &str| taken(&root.join(dir)).map_err(|e| Refusal::io(format_args!("measuring {dir}"), &e));
        Ok(Usage { names, blobs: measure("blobs")?, trees: measure("rootfs")? })
    })
    .await
}

/// The bytes that a tree takes; a file with several links counts once. What goes away meanwhile counts nothing.
fn taken(tree: &Path) -> std::io::Result<u64> {
    let (mut sum, mut seen, mut todo) = (0_u64, HashSet::new(), vec![tree.to_owned()]);
    while let Some(path) = todo.pop() {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.nlink() > 1 && !metadata.is_dir() && !seen.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        sum = sum.saturating_add(metadata.blocks().saturating_mul(512));
        if metadata.is_dir() {
            match std::fs::read_dir(&path) {
                Ok(entries) => todo.extend(entries.flatten().map(|entry| entry.path())),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(sum)
}
