//! A container's files: its directories, and the overlay over its source. All of it blocks, and is run off the daemon's
//! thread.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use nix::mount::{MsFlags, mount};

use super::plan::Places;
use super::userns::{self, Attached, Ids};
use crate::refusal::Refusal;

/// Makes the directories and the empty log.
pub fn prepare(lower: &Path, places: &Places) -> Result<(), Refusal> {
    // Closed to others: an upper directory holds setuid programs that nobody but the container should reach.
    for dir in [&places.data, &places.bundle] {
        make_dir(dir, 0o700)?;
    }
    // The container sees the upper directory's own mode as that of its root.
    make_dir(&places.upper(), 0o755)?;
    copy_root_mode(lower, &places.upper())?;
    for dir in [places.work(), places.rootfs(), places.etc(), places.bundle.join("exit")] {
        make_dir(&dir, 0o700)?;
    }
    write(&places.log(), b"")
}

fn make_dir(dir: &Path, mode: u32) -> Result<(), Refusal> {
    DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(|e| Refusal::io(dir.display(), &e))
}

/// Mounts the overlay.
///
/// `volatile`: nothing of it is synced when it is unmounted, as it does not outlive the daemon anyway; the price is a
/// marker in the work directory that makes the next mount fail until it is removed (kernel `overlayfs.rst`). The two that
/// are off, though a host may have them on: each entry of the upper directory is to say everything by itself.
pub fn mount_overlay(lower: &Path, places: &Places) -> Result<(), Refusal> {
    mount_of([lower, &places.mount_points], &places.data, places)
}

/// The same where the container has ids of its own: what is on the disk stays as the container sees it. The thread must
/// be one that ends, for it becomes the container's root: whoever mounts an overlay makes the files in its upper directory.
pub fn mount_mapped(lower: &Path, places: &Places, ids: &Ids) -> Result<(), Refusal> {
    let mapped = |name: &str, dir: &Path| Attached::at(places.data.join(name), &ids.mapped(dir)?);
    let (lower, lowest) = (mapped("lower", lower)?, mapped("lowest", &places.mount_points)?);
    let data = mapped("mapped", &places.data)?;
    userns::become_root_of(ids.first)?;
    mount_of([lower.path(), lowest.path()], data.path(), places)
}

fn mount_of(lowers: [&Path; 2], data: &Path, places: &Places) -> Result<(), Refusal> {
    let marker = places.work().join("work/incompat");
    if marker.exists() {
        fs::remove_dir_all(&marker).map_err(|e| Refusal::io(marker.display(), &e))?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={},volatile,redirect_dir=off,metacopy=off",
        lowers.map(escaped).join(":"),
        escaped(&data.join("upper")),
        escaped(&data.join("work"))
    );
    let target = places.rootfs();
    mount(Some("overlay"), &target, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .map_err(|e| Refusal::errno(format_args!("overlay of {} on {}", lowers[0].display(), target.display()), e))
}

/// The root directory of an overlay shows the upper one's mode and owner.
fn copy_root_mode(lower: &Path, upper: &Path) -> Result<(), Refusal> {
    let copy = || {
        let of = fs::metadata(lower)?;
        fs::set_permissions(upper, fs::Permissions::from_mode(std::os::unix::fs::MetadataExt::mode(&of) & 0o7777))?;
        let (uid, gid) = (std::os::unix::fs::MetadataExt::uid(&of), std::os::unix::fs::MetadataExt::gid(&of));
        std::os::unix::fs::chown(upper, Some(uid), Some(gid))
    };
    copy().map_err(|e| Refusal::io(lower.display(), &e))
}

/// Overlay options are parted by commas and layers by colons; a backslash takes their meaning.
fn escaped(path: &Path) -> String {
    let mut out = String::new();
    for c in path.to_string_lossy().chars() {
        if matches!(c, '\\' | ',' | ':') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Writes a file that everyone in the container may read.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    fs::write(path, bytes)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o644)))
        .map_err(|e| Refusal::io(path.display(), &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_odd_paths() {
        assert_eq!(escaped(Path::new("/a:b,c\\d")), "/a\\:b\\,c\\\\d");
    }
}
