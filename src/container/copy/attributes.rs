//! What a copy takes over beside the content: mode, times, and extended attributes that mean the same elsewhere.

use std::os::fd::AsFd;

use rustix::fs::{Mode, Stat, Timespec, Timestamps, XattrFlags, fchmod, fgetxattr, flistxattr, fsetxattr, futimens};
use rustix::io::Errno;

/// The longest list of extended attributes' names, and the longest value (xattr(7)).
const XATTR_MAX: usize = 64 << 10;
/// The rights of a program as a file says them.
const CAPABILITY: &[u8] = b"security.capability";

/// Gives `to` the attributes of `from`, which `stat` tells. Going out of a container, a program loses the rights that it
/// gives to whoever runs it: on the host it would be root's.
pub fn take_over(from: impl AsFd, stat: &Stat, to: impl AsFd, outward: bool) -> Result<(), Errno> {
    extended(&from, &to, outward)?;
    let mode = if outward { stat.st_mode & 0o1777 } else { stat.st_mode & 0o7777 };
    fchmod(&to, Mode::from_raw_mode(mode))?;
    futimens(&to, &times(stat))
}

/// When it was read and written.
pub fn times(stat: &Stat) -> Timestamps {
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec as _),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec as _),
    }
}

fn extended(from: impl AsFd, to: impl AsFd, outward: bool) -> Result<(), Errno> {
    // How long the list is: most files have none.
    let length = match flistxattr(&from, &mut [0_u8; 0][..]) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(()),
        length => length?.min(XATTR_MAX),
    };
    let (mut names, mut value) = (vec![0; length], vec![0; XATTR_MAX]);
    let length = match flistxattr(&from, &mut names[..]) {
        Err(Errno::RANGE) => return Ok(()),
        listed => listed?,
    };
    let is_kept = |name: &&[u8]| name.starts_with(b"user.") || (*name == CAPABILITY && !outward);
    for name in names[..length].split(|byte| *byte == 0).filter(is_kept) {
        match fgetxattr(&from, name, &mut value[..]) {
            // Taken away meanwhile.
            Err(Errno::NODATA) => {}
            read => match fsetxattr(&to, name, &value[..read?], XattrFlags::empty()) {
                // A file system that keeps none.
                Err(Errno::NOTSUP) => {}
                set => set?,
            },
        }
    }
    Ok(())
}
