//! Options of what a container sees beside its root filesystem.

use super::super::{Args, Refusal};
use crate::container::storage::Storage;
use crate::container::volumes::VolumeWish;

/// Reads them all.
pub fn storage(args: &mut Args) -> Result<Storage, Refusal> {
    let storage = Storage {
        read_only: args.flag("read-only")?,
        volumes: args.values("volume", str::parse::<VolumeWish>)?,
        tmpfs: args.values("tmpfs", str::parse)?,
        shm_size: args.value("shm-size", shm_size)?,
    };
    let volumes = storage.volumes.iter().map(|wish| &wish.destination);
    let mut destinations: Vec<_> = volumes.chain(storage.tmpfs.iter().map(|tmpfs| &tmpfs.destination)).collect();
    destinations.sort_unstable();
    match destinations.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Refusal::bad_value(format_args!("{} is mounted over twice", pair[0].display()))),
        None => Ok(storage),
    }
}

fn shm_size(text: &str) -> Result<u64, Refusal> {
    match crate::wire::units::size(text)? {
        // The kernel takes 0 for no limit, which nobody who writes it means.
        0 => Err(Refusal::bad_value("the size of /dev/shm is at least 1")),
        bytes => Ok(bytes),
    }
}
