//! Devices of the host that a container is given.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, major, makedev, minor, mknod};
use nix::unistd::{Gid, Uid, chown};
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};

use crate::refusal::Refusal;

/// What the runtime or the kernel puts there for each container, and what is the host's own console.
const OWN: [&str; 14] = [
    "null", "zero", "full", "random", "urandom", "tty", "ptmx", "console", "pts", "shm", "mqueue", "fd", "core", "init",
];

/// How deep below `/dev` devices lie.
const DEPTH_MAX: usize = 4;

/// A wish for one: `PATH[:PATH IN CONTAINER[:rwm]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceWish {
    source: PathBuf,
    destination: PathBuf,
    access: String,
}

impl std::str::FromStr for DeviceWish {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let wrong = || Refusal::bad_value(format_args!("{text:?} is not PATH[:PATH[:rwm]], like /dev/fuse"));
        let mut parts = text.split(':');
        let source = parts.next().unwrap_or_default();
        let (mut destination, mut access) = (source, "rwm");
        match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => {}
            (Some(path), None, _) if path.starts_with('/') => destination = path,
            (Some(only), None, _) => access = only,
            (Some(path), Some(how), None) => (destination, access) = (path, how),
            _ => return Err(wrong()),
        }
        let letters = !access.is_empty() && access.bytes().all(|b| b"rwm".contains(&b));
        let plain = |path: &str| path.starts_with('/') && !path.split('/').any(|part| part == "..");
        if !letters || !plain(source) || !plain(destination) {
            return Err(wrong());
        }
        Ok(Self { source: source.into(), destination: destination.into(), access: access.to_owned() })
    }
}

/// A device that a container is given.
#[derive(Clone, Debug)]
pub struct Device {
    /// Where it is in the container.
    pub path: PathBuf,
    access: String,
    kind: LinuxDeviceType,
    number: (i64, i64),
    mode: u32,
    owner: (u32, u32),
}

/// Makes nodes of `devices` in `dir`, for a container in whose user namespace nobody can: seen through its own ids, what is
/// root's is its root's. It blocks.
pub fn make_nodes(devices: &[Device], dir: &Path) -> Result<(), Refusal> {
    if devices.is_empty() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| Refusal::io(dir.display(), &e))?;
    let failed = |device: &Device, e| Refusal::errno(format_args!("device={}", device.path.display()), e);
    devices.iter().try_for_each(|device| device.make(dir).map_err(|e| failed(device, e)))
}

/// Finds the devices that are wished for; with `every`, all of the host's beside them. It looks at the disk: not for
/// the daemon's thread.
pub fn find(wishes: &[DeviceWish], every: bool) -> Result<Vec<Device>, Refusal> {
    let mut devices = wishes.iter().map(wished).collect::<Result<Vec<_>, _>>()?;
    if every {
        let mut all = Vec::new();
        collect(Path::new("/dev"), DEPTH_MAX, &mut all);
        all.retain(|device| devices.iter().all(|wished| wished.path != device.path));
        devices.extend(all);
    }
    Ok(devices)
}

fn wished(wish: &DeviceWish) -> Result<Device, Refusal> {
    let shown = wish.source.display();
    let metadata = fs::metadata(&wish.source).map_err(|e| Refusal::io(format_args!("device={shown}"), &e))?;
    let device = Device::of(&metadata, wish.destination.clone(), &wish.access);
    device.ok_or_else(|| Refusal::bad_value(format_args!("device={shown}: no device, but another kind of file")))
}

fn collect(dir: &Path, depth: usize, found: &mut Vec<Device>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        // What goes away meanwhile is none; links lead to what is found by itself.
        let Ok(metadata) = entry.metadata() else { continue };
        if OWN.iter().any(|own| name == *own) {
            continue;
        } else if metadata.is_dir() && depth > 0 {
            collect(&path, depth - 1, found);
        } else {
            found.extend(Device::of(&metadata, path, "rwm"));
        }
    }
}

impl Device {
    fn of(metadata: &fs::Metadata, path: PathBuf, access: &str) -> Option<Self> {
        let kind = match metadata.file_type() {
            kind if kind.is_char_device() => LinuxDeviceType::C,
            kind if kind.is_block_device() => LinuxDeviceType::B,
            _ => return None,
        };
        let number = (i64::try_from(major(metadata.rdev())).ok()?, i64::try_from(minor(metadata.rdev())).ok()?);
        let (mode, owner) = (metadata.mode() & 0o777, (metadata.uid(), metadata.gid()));
        Some(Self { path, access: access.to_owned(), kind, number, mode, owner })
    }

    /// The node, as the runtime spec has it.
    pub fn node(&self) -> Result<LinuxDevice, OciSpecError> {
        LinuxDeviceBuilder::default()
            .path(&self.path)
            .typ(self.kind)
            .major(self.number.0)
            .minor(self.number.1)
            .file_mode(self.mode)
            .uid(self.owner.0)
            .gid(self.owner.1)
            .build()
    }

    /// Where its node is that was [made](make_nodes) in `dir`.
    pub fn source_in(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{}{}-{}", self.kind.as_str(), self.number.0, self.number.1))
    }

    fn make(&self, dir: &Path) -> nix::Result<()> {
        let path = self.source_in(dir);
        let kind = if self.kind == LinuxDeviceType::B { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
        let number = makedev(self.number.0.unsigned_abs(), self.number.1.unsigned_abs());
        match mknod(&path, kind, Mode::empty(), number) {
            // By the run before, or for another place of the same device.
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(e) => return Err(e),
        }
        chown(&path, Some(Uid::from_raw(self.owner.0)), Some(Gid::from_raw(self.owner.1)))?;
        fchmodat(AT_FDCWD, &path, Mode::from_bits_truncate(self.mode), FchmodatFlags::FollowSymlink)
    }

    /// The rule that opens it.
    pub fn rule(&self) -> Result<LinuxDeviceCgroup, OciSpecError> {
        LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(self.kind)
            .major(self.number.0)
            .minor(self.number.1)
            .access(&self.access)
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_dockers() {
        let read = |text: &str| text.parse::<DeviceWish>().map(|w| (w.destination.display().to_string(), w.access));
        assert_eq!(read("/dev/fuse").unwrap(), ("/dev/fuse".into(), "rwm".into()));
        assert_eq!(read("/dev/fuse:/dev/x").unwrap(), ("/dev/x".into(), "rwm".into()));
        assert_eq!(read("/dev/fuse:r").unwrap(), ("/dev/fuse".into(), "r".into()));
        assert_eq!(read("/dev/fuse:/dev/x:rw").unwrap(), ("/dev/x".into(), "rw".into()));
        for bad in ["", "dev/fuse", "/dev/fuse:", "/dev/fuse:/x:rwx", "/dev/fuse:/x:r:w", "/dev/../etc", "/dev/a:/../b"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_devices_are_found() {
        let find = |path: &str| super::find(&[path.parse().unwrap()], false).map(|found| found.len());
        assert_eq!(find("/dev/null").unwrap(), 1);
        assert!(find("/dev/no-such-device").is_err() && find("/etc/passwd").is_err());
        assert!(super::find(&[], true).unwrap().iter().all(|device| !device.path.ends_with("console")));
    }
}
