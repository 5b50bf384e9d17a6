//! Copying between the host and a container, with Docker's rules of where things go (`docker cp`).
//!
//! Somebody in the container may rename and replace whatever is being copied, at any time. So every path in it is resolved
//! within its root by the kernel (openat2(2), `RESOLVE_IN_ROOT`), and below that everything is opened by descriptors, one
//! component at a time, and no link is followed: nothing is read or written outside of the container, nor beside the
//! place on the host.
//!
//! What is copied belongs to root on either side. All of it blocks, and is done on a thread of its own.

mod attributes;
mod content;
mod place;
mod progress;
mod reach;
mod still;
mod tree;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, openat};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit};

use self::place::Base;
pub use self::progress::Progress;
pub use self::reach::{Root, RootNow, hold_off};
use super::plan::Plan;
use super::userns;
use crate::refusal::Refusal;
use crate::worker;

/// Which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Out of the container.
    Out {
        /// In the container, absolute.
        from: PathBuf,
        /// On the host, absolute.
        to: PathBuf,
    },
    /// Into the container.
    In {
        /// On the host, absolute.
        from: PathBuf,
        /// In the container, absolute.
        to: PathBuf,
    },
}

/// Where a container's files are reached.
pub enum Reach {
    /// By its process's root, with everything that is mounted there; and what its own root is outside, where it has ids
    /// of its own.
    Running(OwnedFd, Option<u32>),
    /// Nowhere yet: they are mounted for the occasion. It does not start as long as the guard is there.
    Still(Arc<Plan>, OwnedMutexGuard<()>),
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many files, directories and links.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// How many devices, sockets and files of the kernel's own were left out.
    pub skipped: u64,
}

/// How much stack a copy has: for as many directories within each other as it goes.
const STACK: usize = 8 << 20;

/// Copies. The thread is not waited for where the daemon leaves, nor where a file system does not answer: a copy is then
/// cut short. It keeps its `turn` to its own end, so that no more of them wait than there are turns.
pub async fn copy(reach: Reach, way: Way, progress: Progress, turn: OwnedSemaphorePermit) -> Result<Copied, Refusal> {
    let watched = progress.clone();
    let copied = worker::apart("copy", STACK, move || {
        let _turn = turn;
        through(reach, &way, progress)
    });
    tokio::select! {
        copied = copied => copied,
        refusal = watched.stall() => Err(refusal),
    }
}

fn through(reach: Reach, way: &Way, progress: Progress) -> Result<Copied, Refusal> {
    match reach {
        Reach::Running(root, first) => {
            // What is made in there belongs to its root; what is made out here, to ours.
            if let (Some(first), Way::In { .. }) = (first, way) {
                userns::become_root_of(first)?;
            }
            between(root, way, progress)
        }
        Reach::Still(plan, _still) => still::with_root(&plan, |root| between(root, way, progress)),
    }
}

fn between(container: OwnedFd, way: &Way, progress: Progress) -> Result<Copied, Refusal> {
    let host = openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let host = Base::host(host.map_err(|e| Refusal::io("/", &e.into()))?);
    let container = Base::container(container);
    let (from_root, from, to_root, to, outward) = match way {
        Way::Out { from, to } => (&container, from, &host, to, true),
        Way::In { from, to } => (&host, from, &container, to, false),
    };
    let source = from_root.source(from)?;
    let target = to_root.target(to, &source)?;
    tree::Copier::new(outward, progress).copy(&source, target)
}
