//! What an overlay's upper directory says of its lower one: which paths were added, changed and deleted.
//!
//! In an upper directory (kernel `overlayfs.rst`) a character device of number 0:0 stands for what was deleted, and a
//! directory with the attribute `trusted.overlay.opaque=y` hides the lower one of its name altogether. Neither
//! `redirect_dir` nor `metacopy` may be on where the overlay is mounted: then an entry says everything by itself.
//!
//! Everything is opened by descriptors, one component at a time, and no link is followed: who writes the upper directory
//! meanwhile cannot lead the walk out of it.

pub mod layer;
mod walk;

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::Stat;

use crate::refusal::Refusal;

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is in the upper directory alone.
    Added,
    /// It is in both; a directory also where only something within it changed.
    Changed,
    /// It is in the lower directory alone.
    Deleted,
}

impl Kind {
    /// The letter that `diff` shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "A",
            Self::Changed => "C",
            Self::Deleted => "D",
        }
    }
}

/// One change.
pub struct Change<'a> {
    /// What became of it.
    pub kind: Kind,
    /// Its path, from the root of the overlay and without a slash before it.
    pub path: &'a Path,
    /// What it is now, where it was not deleted.
    pub now: Option<Now<'a>>,
}

/// What is at a path of the upper directory.
pub struct Now<'a> {
    /// The directory that it is in.
    pub dir: BorrowedFd<'a>,
    /// What it is.
    pub stat: Stat,
}

/// The two directories of an overlay.
#[derive(Clone, Debug)]
pub struct Overlay {
    /// What is seen where nothing was changed.
    pub lower: PathBuf,
    /// What was changed.
    pub upper: PathBuf,
    /// Paths that something else is mounted on, absolute. What the runtime made there to mount on is no change.
    pub mounts: Vec<PathBuf>,
}

impl Overlay {
    /// Tells every change: a directory before what is in it, and the entries of one by their bytes. It walks trees, the
    /// upper one and, below opaque directories, the lower: not for the daemon's thread. It ends with the first refusal.
    pub fn changes(&self, tell: &mut dyn FnMut(&Change<'_>) -> Result<(), Refusal>) -> Result<(), Refusal> {
        walk::Walk::new(self, tell)?.run()
    }
}
