//! Options of what a container sees beside its root filesystem.

use super::super::{Args, Refusal};
use crate::container::storage::Storage;

/// Reads them all.
pub fn storage(args: &mut Args) -> Result<Storage, Refusal> {
    Ok(Storage {
        read_only: args.flag("read-only")?,
        tmpfs: args.values("tmpfs", str::parse)?,
        shm_size: args.value("shm-size", shm_size)?,
    })
}

fn shm_size(text: &str) -> Result<u64, Refusal> {
    match crate::wire::units::size(text)? {
        // The kernel takes 0 for no limit, which nobody who writes it means.
        0 => Err(Refusal::bad_value("the size of /dev/shm is at least 1")),
        bytes => Ok(bytes),
    }
}
