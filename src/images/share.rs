//! Files that are equal in two trees share their extents, where the file system can: ioctl_fideduperange(2). The kernel
//! compares them itself, so that nothing can be lost; and unlike a clone (ioctl_ficlone(2)) it leaves the file's times, its
//! setuid bit and its capabilities alone.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::ioctl::{Updater, ioctl, opcode};

use super::index::Index;
use crate::id::ImageRef;

/// What is smaller takes less than a block, and some file systems keep it in its inode.
const FILE_MIN: u64 = 4096;
/// How much is asked for at once, in bytes: btrfs takes no more.
const STEP: u64 = 16 << 20;

/// `struct file_dedupe_range` of linux/fs.h, which alone counts for the number of the call.
#[repr(C)]
struct Head {
    src_offset: u64,
    src_length: u64,
    dest_count: u16,
    reserved1: u16,
    reserved2: u32,
}

/// The same with one `struct file_dedupe_range_info` behind it.
#[repr(C)]
struct Range {
    head: Head,
    dest_fd: i64,
    dest_offset: u64,
    bytes_deduped: u64,
    status: i32,
    reserved: u32,
}

/// Of the other images that which is likeliest to have the same files: the one with the most layers in common, else one
/// of the same repository. Their trees: the image's own first.
pub fn kin(index: &mut Index, name: &ImageRef) -> Option<(PathBuf, PathBuf)> {
    let image = index.find(name)?.image().clone();
    let others = index.iter().map(super::index::Entry::image).filter(|other| other.rootfs != image.rootfs);
    let rank = |other: &&super::Image| {
        let common = image.layers.iter().filter(|layer| other.layers.contains(layer)).count();
        (common, usize::from(other.name.is_beside(name)))
    };
    let best = others.max_by_key(rank).filter(|other| rank(other) > (0, 0))?;
    Some((image.rootfs.clone(), best.rootfs.clone()))
}

/// Has the files of `tree` share what is equal in those of the same path in `other`. Gives the bytes shared; 0 where the
/// file system cannot. Either tree may go away meanwhile.
pub fn share(tree: &Path, other: &Path) -> u64 {
    let (mut sum, mut todo) = (0_u64, vec![PathBuf::new()]);
    while let Some(at) = todo.pop() {
        for entry in std::fs::read_dir(tree.join(&at)).into_iter().flatten().flatten() {
            let at = at.join(entry.file_name());
            // Both, and neither through a link: what an image links to is not the image.
            let (Ok(one), Ok(two)) = (entry.metadata(), other.join(&at).symlink_metadata()) else { continue };
            if one.is_dir() && two.is_dir() {
                todo.push(at);
            } else if one.is_file() && two.is_file() && one.len() == two.len() && one.len() >= FILE_MIN {
                match share_file(&other.join(&at), &tree.join(&at), one.len()) {
                    Ok(shared) => sum = sum.saturating_add(shared),
                    Err(e) if is_gone(&e) => {}
                    Err(e) => {
                        log::debug!("{}: {e}", tree.display());
                        return sum;
                    }
                }
            }
        }
    }
    sum
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn share_file(from: &Path, to: &Path, long: u64) -> io::Result<u64> {
    let open = |path: &Path| OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(path);
    let (from, to) = (open(from)?, open(to)?);
    let mut at = 0;
    while at < long {
        match share_range(&from, &to, at, (long - at).min(STEP))? {
            0 => break,
            shared => at += shared,
        }
    }
    Ok(at)
}

/// Shares a range where it is equal in both; gives how much of it.
#[expect(unsafe_code, reason = "rustix has the call's frame but not this call")]
fn share_range(from: &File, to: &File, offset: u64, long: u64) -> io::Result<u64> {
    let head = Head { src_offset: offset, src_length: long, dest_count: 1, reserved1: 0, reserved2: 0 };
    let dest_fd = i64::from(to.as_raw_fd());
    let mut range = Range { head, dest_fd, dest_offset: offset, bytes_deduped: 0, status: 0, reserved: 0 };
    // SAFETY: the number is FIDEDUPERANGE, _IOWR(0x94, 54, struct file_dedupe_range); the kernel reads and writes that
    // struct and `dest_count`, one, of the entries behind it, and `Range` is just so long.
    unsafe { ioctl(from, Updater::<{ opcode::read_write::<Head>(0x94, 54) }, Range>::new(&mut range)) }?;
    match range.status {
        0 => Ok(range.bytes_deduped),
        // FILE_DEDUPE_RANGE_DIFFERS
        1 => Ok(0),
        errno => Err(Errno::from_raw_os_error(errno.saturating_neg()).into()),
    }
}
