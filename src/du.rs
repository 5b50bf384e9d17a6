//! How much disk trees take, as `du -x` counts it: blocks, not lengths; what several links lead to once; nothing that is
//! mounted within. Knows nothing of what lies in them.

use std::collections::HashSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::walk::{Step, walk};

/// Things of one kind, and the disk that they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many there are.
    pub count: usize,
    /// Bytes.
    pub bytes: u64,
}

/// One look at the disk: a file that was met counts no second time, whichever tree it is met in. Its methods walk
/// trees: not for the daemon's thread.
#[derive(Debug, Default)]
pub struct Du {
    /// Device and inode of what has several links.
    met: HashSet<(u64, u64)>,
}

impl Du {
    /// The entries of a directory, and what they and it take.
    pub fn entries(&mut self, dir: &Path) -> io::Result<Taken> {
        let count = std::fs::read_dir(dir)?.count();
        Ok(Taken { count, bytes: self.tree(dir)? })
    }

    /// The bytes that a tree takes; none where there is none. What goes away meanwhile counts nothing.
    pub fn tree(&mut self, tree: &Path) -> io::Result<u64> {
        let (mut sum, mut device) = (0_u64, None);
        walk(tree, |_, metadata| {
            // Only directories are mounted on; a file of an overlay may show the device of one of its layers.
            let is_mounted = metadata.is_dir() && *device.get_or_insert(metadata.dev()) != metadata.dev();
            if is_mounted || self.is_met(metadata) {
                return Step::Past;
            }
            sum = sum.saturating_add(metadata.blocks().saturating_mul(512));
            Step::In
        })?;
        Ok(sum)
    }

    fn is_met(&mut self, metadata: &Metadata) -> bool {
        metadata.nlink() > 1 && !metadata.is_dir() && !self.met.insert((metadata.dev(), metadata.ino()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_count_once_and_what_is_not_there_nothing() {
        let dir = std::env::temp_dir().join(format!("gantry-du-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("a")).unwrap();
        std::fs::create_dir_all(dir.join("b")).unwrap();
        std::fs::write(dir.join("a/file"), vec![1; 100_000]).unwrap();
        std::fs::hard_link(dir.join("a/file"), dir.join("b/link")).unwrap();
        std::fs::File::create(dir.join("b/hole")).unwrap().set_len(1 << 30).unwrap();
        let mut du = Du::default();
        let (a, b) = (du.entries(&dir.join("a")).unwrap(), du.entries(&dir.join("b")).unwrap());
        let again = Du::default().entries(&dir.join("b")).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!((a.count, b.count), (1, 2));
        assert!(a.bytes >= 100_000 && b.bytes < 100_000 && again.bytes >= 100_000 && again.bytes < 1 << 29);
        assert_eq!(du.tree(&dir).unwrap(), 0);
    }
}
