//! A user namespace of a container's own: which ids it has, and its files seen by them.
//!
//! The ids are a claim for the time of one run: nothing on the disk has them. What the container writes, to its own
//! files and to volumes, is there with the ids that it sees itself, by idmapped mounts (mount_setattr(2)).

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, unmount};

use super::plan::Places;
use crate::refusal::Refusal;
use crate::tools::userns::Namespaces;

/// How many ids a container has: those of 16 bits, which is what images are made for.
pub const COUNT: u32 = 1 << 16;
/// The ids that are given where the host says nothing else: left free by systemd's division of them
/// (`UIDS-GIDS.md`), and below 2^31, which is as far as some programs count.
const POOL: (u32, u32) = (0x7000_0000, 0x7fff_0000);
/// Whose line in `/etc/subuid` says which ids are containers' (containers-storage.conf(5)).
const OWNER: &str = "containers";
/// What a host must be able to do.
const NEEDS: &str =
    "userns=auto needs Linux 5.19 and a file system under the root directory that knows idmapped mounts";

/// The ids of one run, and its namespaces.
#[derive(Debug)]
pub struct Ids {
    /// What root is outside.
    pub first: u32,
    /// The namespaces.
    pub namespaces: Namespaces,
    /// Held as long as the ids are: no other daemon takes them either, whose names nobody else can bind.
    _claim: UnixDatagram,
}

impl Ids {
    /// Takes ids that no other container has, and makes the namespaces. It blocks.
    pub fn take() -> Result<Self, Refusal> {
        let (first, claim) = claim()?;
        let namespaces = Namespaces::make(first, COUNT).map_err(|e| match e.raw_os_error() {
            Some(libc::ENOSPC | libc::EPERM | libc::EINVAL | libc::ENOSYS) => Refusal::unsupported(format_args!(
                "a user namespace cannot be made ({e}); look at the sysctl user.max_user_namespaces"
            )),
            _ => Refusal::io("a user namespace", &e),
        })?;
        Ok(Self { first, namespaces, _claim: claim })
    }

    /// Where others (crun) find the user namespace as long as this is there.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespaces.user.as_raw_fd()).into()
    }

    /// The option of a mount in the runtime spec by which what is on the disk has the ids that the container sees; crun's.
    pub fn mount_option(&self) -> String {
        let map = format!("0-{}-{COUNT}", self.first);
        format!("idmap=uids={map};gids={map}")
    }

    /// A mount of the tree at `dir` by which what is on the disk as 0 is the container's root. It is nowhere, and gone
    /// with the descriptor.
    pub fn mapped(&self, dir: &Path) -> Result<OwnedFd, Refusal> {
        mapped(dir, &self.namespaces.user).map_err(|e| match e.raw_os_error() {
            Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => {
                Refusal::unsupported(format_args!("{NEEDS}: {}: {e}", dir.display()))
            }
            _ => Refusal::io(dir.display(), &e),
        })
    }

    /// Lets the container's root come to its files, and nobody else see what is there.
    pub fn open_way(&self, places: &Places) -> Result<(), Refusal> {
        let failed = |dir: &Path, e: &io::Error| Refusal::io(dir.display(), e);
        let data = &places.data;
        std::os::unix::fs::chown(data, None, Some(self.first)).map_err(|e| failed(data, &e))?;
        fs::set_permissions(data, fs::Permissions::from_mode(0o710)).map_err(|e| failed(data, &e))?;
        // The directory of all containers, and the daemon's root.
        for dir in data.ancestors().skip(1).take(2) {
            let mode = fs::metadata(dir).map_err(|e| failed(dir, &e))?.mode();
            fs::set_permissions(dir, fs::Permissions::from_mode(mode | 0o001)).map_err(|e| failed(dir, &e))?;
        }
        let shut = data.ancestors().skip(3).find(|dir| fs::metadata(dir).is_ok_and(|dir| dir.mode() & 0o001 == 0));
        shut.map_or(Ok(()), |dir| {
            Err(Refusal::unsupported(format_args!(
                "userns=auto: the way to the daemon's root directory is closed to others at {}",
                dir.display()
            )))
        })
    }
}

/// Makes the calling thread one that makes files as the container's root does, with all that our root may do. The thread
/// must be one that ends.
pub fn become_root_of(first: u32) -> Result<(), Refusal> {
    setfsgid(Gid::from_raw(first));
    setfsuid(Uid::from_raw(first));
    // The change takes the capabilities over files away; they may be had back.
    let raise = || {
        let mut sets = rustix::thread::capabilities(None)?;
        sets.effective = sets.permitted;
        rustix::thread::set_capabilities(None, sets)
    };
    raise().map_err(|e| Refusal::io("capabilities over files", &e.into()))
}

/// What root of a process's user namespace is outside, where it is not our own root.
pub fn first_of(pid: i32) -> Option<u32> {
    let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).ok()?;
    let mut fields = map.lines().next()?.split_whitespace().map(str::parse::<u32>);
    match (fields.next()?, fields.next()?) {
        (Ok(0), Ok(first)) if first != 0 => Some(first),
        _ => None,
    }
}

/// Ids that nobody has, and what keeps them.
fn claim() -> Result<(u32, UnixDatagram), Refusal> {
    let subuid = fs::read_to_string("/etc/subuid").unwrap_or_default();
    for first in ranges(&subuid) {
        let name = SocketAddr::from_abstract_name(format!("gantry/ids/{first}"));
        let bound = name.and_then(|name| UnixDatagram::bind_addr(&name));
        match bound {
            Ok(claim) => return Ok((first, claim)),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => {}
            Err(e) => return Err(Refusal::io("a claim to ids", &e)),
        }
    }
    Err(Refusal::busy(
        "every range of ids is some container's; the line of \"containers\" in /etc/subuid says how many",
    ))
}

/// The first ids of all ranges that may be given.
fn ranges(subuid: &str) -> impl Iterator<Item = u32> {
    let line = |line: &str| {
        let mut fields = line.trim().split(':');
        let (owner, first, count) = (fields.next()?.to_owned(), fields.next()?, fields.next()?);
        Some((owner, first.parse::<u32>().ok()?, count.parse::<u32>().ok()?))
    };
    let lines: Vec<_> = subuid.lines().filter_map(line).collect();
    let own = lines.iter().find(|(owner, ..)| owner == OWNER);
    let (start, end) = own.map_or(POOL, |(_, first, count)| (*first, first.saturating_add(*count)));
    let ranges = (start..end).step_by(COUNT as usize).filter(move |first| end - first >= COUNT);
    // What somebody else was given by name is his.
    let is_free = move |first: &u32| {
        lines.iter().all(|(owner, other, count)| {
            owner == OWNER || first.saturating_add(COUNT) <= *other || other.saturating_add(*count) <= *first
        })
    };
    ranges.filter(is_free)
}

/// A mount that has a place for as long as this is there: overlayfs takes its layers from mounts of the caller's own
/// namespace only (`clone_private_mount` in the kernel's fs/namespace.c; since 6.15 from those that are nowhere too), and
/// keeps clones of them.
pub struct Attached(PathBuf);

impl Attached {
    /// Attaches `tree` at `place`, which is made for that.
    pub fn at(place: PathBuf, tree: &OwnedFd) -> Result<Self, Refusal> {
        fs::create_dir_all(&place).map_err(|e| Refusal::io(place.display(), &e))?;
        move_mount(tree, "", rustix::fs::CWD, &place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(|e| Refusal::io(place.display(), &e.into()))?;
        Ok(Self(place))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let gone =
            unmount(&self.0, UnmountFlags::DETACH).map_err(io::Error::from).and_then(|()| fs::remove_dir(&self.0));
        if let Err(e) = gone {
            log::warn!("{}: {e}", self.0.display());
        }
    }
}

#[expect(unsafe_code, reason = "neither nix nor rustix has mount_setattr(2)")]
fn mapped(dir: &Path, user: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, dir, flags)?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(user.as_raw_fd()).unwrap_or(u64::MAX),
    };
    let size = size_of::<libc::mount_attr>();
    // SAFETY: both descriptors are open, and the structure is of the size that is told.
    let set = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size,
        )
    };
    if set == 0 { Ok(tree) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_the_hosts_choice() {
        assert_eq!(ranges("").count(), 4095);
        assert_eq!(ranges("").next(), Some(0x7000_0000));
        assert_eq!(ranges("containers:100000:200000\n").collect::<Vec<_>>(), [100_000, 165_536, 231_072]);
        assert_eq!(ranges("ann:1879048192:65536\nbroken\n").next(), Some(0x7001_0000));
        assert_eq!(ranges("containers:5:10\n").next(), None);
    }

    #[test]
    fn no_two_have_the_same() {
        let (one, two) = (claim().unwrap(), claim().unwrap());
        assert_ne!(one.0, two.0);
        assert_eq!(first_of(i32::try_from(std::process::id()).unwrap()), None);
    }
}
