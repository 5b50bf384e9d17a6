//! A copy of what an image has at a path: what an empty volume begins with. All of it blocks.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, SFlag, mknod};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};

use crate::refusal::Refusal;

/// The longest list of extended attributes' names, and the longest value (xattr(7)).
const XATTR_MAX: usize = 64 << 10;

/// Copies the directory that `rootfs` has at `path` into the empty directory `to`, its own owner and mode too. One that
/// is not there, or is none, is no error; a directory that is not empty is left as it is.
pub fn fill(rootfs: &Path, path: &Path, to: &Path) -> Result<(), Refusal> {
    let failed = |e: io::Error| Refusal::io(format_args!("copying the image's {} into a volume", path.display()), &e);
    if fs::read_dir(to).map_err(failed)?.next().is_some() {
        return Ok(());
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open(rootfs, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
    // Links in the image lead nowhere outside of it.
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let Ok(from) = openat2(&root, path.strip_prefix("/").unwrap_or(path), how) else { return Ok(()) };
    let from = PathBuf::from(format!("/proc/self/fd/{}", from.as_raw_fd())).canonicalize().map_err(failed)?;
    Copy::default().tree(&from, to).map_err(failed)
}

/// One copy: files that were met under another name are linked.
#[derive(Default)]
struct Copy {
    met: HashMap<(u64, u64), PathBuf>,
}

impl Copy {
    /// What is in `from`, at any depth: one directory after the other, for an image says how many are within each other and
    /// a worker's stack is small. A directory's own attributes hold once its entries are made, whatever comes into these.
    fn tree(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut todo = vec![PathBuf::new()];
        while let Some(dir) = todo.pop() {
            let source = from.join(&dir);
            for entry in fs::read_dir(&source)? {
                let entry = entry?;
                let (path, metadata) = (dir.join(entry.file_name()), entry.metadata()?);
                if metadata.is_dir() {
                    fs::create_dir(to.join(&path))?;
                    todo.push(path);
                } else {
                    self.file(&entry.path(), &to.join(path), &metadata)?;
                }
            }
            attributes(&source, &to.join(&dir), &fs::symlink_metadata(&source)?)?;
        }
        Ok(())
    }

    fn file(&mut self, from: &Path, to: &Path, metadata: &Metadata) -> io::Result<()> {
        let kind = metadata.file_type();
        if metadata.nlink() > 1 {
            match self.met.get(&(metadata.dev(), metadata.ino())) {
                Some(first) => return fs::hard_link(first, to),
                None => _ = self.met.insert((metadata.dev(), metadata.ino()), to.to_owned()),
            }
        }
        if kind.is_symlink() {
            symlink(fs::read_link(from)?, to)?;
        } else if kind.is_file() {
            fs::copy(from, to)?;
        } else if kind.is_socket() {
            return Ok(());
        } else {
            mknod(to, SFlag::from_bits_truncate(metadata.mode()), Mode::empty(), metadata.rdev())?;
        }
        attributes(from, to, metadata)
    }
}

fn attributes(from: &Path, to: &Path, metadata: &Metadata) -> io::Result<()> {
    std::os::unix::fs::lchown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    if !metadata.is_symlink() {
        // Behind the owner, whose change takes setuid away.
        fs::set_permissions(to, fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    }
    extended(from, to)?;
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time(metadata.atime(), metadata.atime_nsec()),
        last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
    };
    Ok(rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Extended attributes, capabilities of programs among them.
fn extended(from: &Path, to: &Path) -> io::Result<()> {
    let mut names = vec![0; XATTR_MAX];
    let length = match rustix::fs::llistxattr(from, &mut names[..]) {
        Err(rustix::io::Errno::NOTSUP) => return Ok(()),
        listed => listed?,
    };
    let mut value = vec![0; XATTR_MAX];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let length = rustix::fs::lgetxattr(from, name, &mut value[..])?;
        rustix::fs::lsetxattr(to, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_copied_as_it_is() {
        let dir = std::env::temp_dir().join(format!("gantry-fill-{}", std::process::id()));
        let (rootfs, to) = (dir.join("rootfs"), dir.join("to"));
        fs::create_dir_all(rootfs.join("data/sub")).unwrap();
        fs::create_dir_all(&to).unwrap();
        fs::write(rootfs.join("data/file"), "x").unwrap();
        fs::set_permissions(rootfs.join("data/file"), fs::Permissions::from_mode(0o4750)).unwrap();
        fs::hard_link(rootfs.join("data/file"), rootfs.join("data/sub/link")).unwrap();
        symlink("/nowhere", rootfs.join("data/broken")).unwrap();
        symlink("/", rootfs.join("out")).unwrap();
        std::os::unix::fs::chown(rootfs.join("data"), Some(12), Some(34)).unwrap();
        // The image's own link, followed within it.
        fill(&rootfs, Path::new("/out/data"), &to).unwrap();
        let of = |path: &str| fs::symlink_metadata(to.join(path)).unwrap();
        assert_eq!((of("").uid(), of("").gid(), of("file").mode() & 0o7777), (12, 34, 0o4750));
        assert_eq!(of("file").ino(), of("sub/link").ino());
        assert!(
            of("broken").is_symlink() && of("file").mtime() == fs::metadata(rootfs.join("data/file")).unwrap().mtime()
        );
        // A second time it is not empty any more; what is not there is nothing.
        fs::remove_file(to.join("file")).unwrap();
        fill(&rootfs, Path::new("/data"), &to).unwrap();
        assert!(!to.join("file").exists());
        fs::create_dir(dir.join("empty")).unwrap();
        fill(&rootfs, Path::new("/../../etc"), &dir.join("empty")).unwrap();
        assert_eq!(fs::read_dir(dir.join("empty")).unwrap().count(), 0);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_deep_tree_takes_no_more_stack_than_a_flat_one() {
        let dir = std::env::temp_dir().join(format!("gantry-fill-deep-{}", std::process::id()));
        let (rootfs, to, deep) = (dir.join("rootfs"), dir.join("to"), "d/".repeat(500));
        fs::create_dir_all(rootfs.join("data").join(&deep)).unwrap();
        fs::create_dir_all(&to).unwrap();
        let (of, into) = (rootfs.clone(), to.clone());
        // As a worker has it.
        let worker = std::thread::Builder::new().stack_size(256 << 10);
        worker.spawn(move || fill(&of, Path::new("/data"), &into)).unwrap().join().unwrap().unwrap();
        let of = |root: PathBuf| fs::metadata(root.join(&deep)).unwrap().mtime_nsec();
        assert_eq!(of(to), of(rootfs.join("data")));
        fs::remove_dir_all(&dir).unwrap();
    }
}
