//! The files of a container that does not run: mounted for one thread alone, in a mount namespace of its own, so that
//! nobody else sees them and nothing of it is left whatever becomes of the daemon.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, mkdirat};

use crate::container::plan::Plan;
use crate::container::rootfs;
use crate::container::volumes::Bind;
use crate::refusal::Refusal;

/// Does `work` with the root of a container's files and volumes, as it would see them. The calling thread must be one
/// that ends: it stays in the namespace.
pub fn with_root<T>(plan: &Plan, work: impl FnOnce(OwnedFd) -> Result<T, Refusal>) -> Result<T, Refusal> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).map_err(|e| Refusal::errno("a mount namespace", e))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(|e| Refusal::errno("parting the mount namespace", e))?;
    let target = plan.places.rootfs();
    rootfs::mount_overlay(&plan.lower_dir, &plan.places)?;
    let result = furnish(plan, &target).and_then(work);
    // Before the thread's end, which its asker hears of sooner than the kernel has undone the rest.
    if let Err(e) = umount2(&target, MntFlags::MNT_DETACH) {
        log::warn!("{}: {e}", target.display());
    }
    result
}

fn furnish(plan: &Plan, target: &Path) -> Result<OwnedFd, Refusal> {
    let failed = |e| Refusal::errno(target.display(), e);
    let root = open(target, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map_err(failed)?;
    // Outer ones first.
    let mut binds: Vec<&Bind> = plan.binds.iter().collect();
    binds.sort_by_key(|bind| bind.destination.components().count());
    for bind in binds {
        bind_at(&root, bind).map_err(|e| Refusal::errno(format_args!("volume {}", bind.destination.display()), e))?;
    }
    if plan.wishes.storage.read_only {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(None::<&str>, target, None::<&str>, flags, None::<&str>).map_err(failed)?;
    }
    Ok(root)
}

fn bind_at(root: &OwnedFd, bind: &Bind) -> nix::Result<()> {
    let is_dir = bind.source.is_dir();
    let place = match is_dir {
        true => directory(root, &bind.destination)?,
        false => match find(root, &bind.destination) {
            // A file that is not seen yet: no place is made for it.
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            found => found?,
        },
    };
    let place = PathBuf::from(format!("/proc/self/fd/{}", place.as_raw_fd()));
    mount(Some(&bind.source), &place, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)?;
    if bind.read_only {
        // What is mounted there now, which the descriptor does not name.
        let mounted = find(root, &bind.destination)?;
        let mounted = PathBuf::from(format!("/proc/self/fd/{}", mounted.as_raw_fd()));
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(None::<&str>, &mounted, None::<&str>, flags, None::<&str>)?;
    }
    Ok(())
}

fn find(root: &OwnedFd, path: &Path) -> nix::Result<OwnedFd> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let path = path.strip_prefix("/").unwrap_or(path);
    openat2(root, if path.as_os_str().is_empty() { Path::new(".") } else { path }, how)
}

/// The directory at `path`, made as far as it is not there: the container's start would do the same.
fn directory(root: &OwnedFd, path: &Path) -> nix::Result<OwnedFd> {
    match find(root, path) {
        Err(Errno::ENOENT) => {}
        found => return found,
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return find(root, Path::new("/")) };
    let parent = directory(root, parent)?;
    mkdirat(&parent, name, Mode::from_bits_truncate(0o755))?;
    find(root, path)
}
