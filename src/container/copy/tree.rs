//! The copying itself: a file, or a directory and all within, entry by entry.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, FsType, PROC_SUPER_MAGIC, SYSFS_MAGIC, fstatfs};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, mkdirat, mkfifoat, openat, readlinkat, symlinkat, unlinkat,
    utimensat,
};
use rustix::io::Errno;

use super::place::{Source, Target, failed};
use super::{Copied, Progress, attributes, content};
use crate::refusal::Refusal;

/// How many directories may lie within each other: each holds two descriptors and some stack.
const DEPTH_MAX: usize = 500;
/// File systems whose files are the kernel's answers: to read one may wait for ever, or act.
const KERNELS_OWN: &[FsType] = &[PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC];

/// A copy on its way.
pub struct Copier {
    outward: bool,
    progress: Progress,
    copied: Copied,
    /// The directory that is being filled: it is not copied into itself.
    filled: Option<(u64, u64)>,
    /// Where it is below the source, to tell.
    path: PathBuf,
    depth: usize,
}

impl Copier {
    /// A copy out of a container, or into one.
    pub fn new(outward: bool, progress: Progress) -> Self {
        let path = PathBuf::new();
        Self { outward, progress, copied: Copied::default(), filled: None, path, depth: 0 }
    }

    /// Copies `source` to where it is to go.
    pub fn copy(mut self, source: &Source, target: Target) -> Result<Copied, Refusal> {
        self.path = source.name.as_deref().unwrap_or(OsStr::new(".")).into();
        if is_kernels_own(&source.found) {
            return Err(Refusal::unsupported(format_args!("{}: not a file, but the kernel's", self.path.display())));
        }
        let result = match target {
            Target::Entry { dir, name } => self.entry(&source.found, &source.stat, dir.as_fd(), &name),
            Target::Within(dir) => self.contents(&source.found, &source.stat, &dir),
            Target::Over(there) => self.over(&source.found, &source.stat, &there),
        };
        result.map_err(|e| failed(&self.path, e))?;
        let Copied { files, skipped, .. } = self.copied;
        if files == 0 && skipped > 0 {
            return Err(Refusal::unsupported(format_args!(
                "{}: devices and sockets are not copied",
                self.path.display()
            )));
        }
        Ok(Copied { bytes: self.progress.bytes(), ..self.copied })
    }

    /// Makes `name` in `dir` what `from` is.
    fn entry(&mut self, from: &OwnedFd, stat: &Stat, dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.directory(from, stat, dir, name)?,
            FileType::RegularFile => self.file(from, stat, dir, name)?,
            FileType::Symlink => {
                let target = readlinkat(from, "", Vec::new())?;
                self.vacate(dir, name)?;
                symlinkat(target, dir, name)?;
                utimensat(dir, name, &attributes::times(stat), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            FileType::Fifo => {
                self.vacate(dir, name)?;
                mkfifoat(dir, name, Mode::from_raw_mode(stat.st_mode & 0o777))?;
            }
            _ => {
                self.copied.skipped += 1;
                return Ok(());
            }
        }
        self.copied.files += 1;
        Ok(())
    }

    fn directory(&mut self, from: &OwnedFd, stat: &Stat, dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
        let is_new = match mkdirat(dir, name, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(e) => return Err(e),
        };
        // Also where it is there: a link, or anything else that is no directory, ends it here.
        let to = openat(dir, name, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        self.contents(from, stat, &to)?;
        // What was there stays as it was.
        if is_new {
            let from = openat(from, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            attributes::take_over(&from, stat, &to, self.outward)?;
        }
        Ok(())
    }

    /// Copies what is in a directory.
    fn contents(&mut self, from: &OwnedFd, stat: &Stat, to: &OwnedFd) -> Result<(), Errno> {
        let filled = fstat(to)?;
        if self.filled.get_or_insert((filled.st_dev, filled.st_ino)) == &(stat.st_dev, stat.st_ino) {
            return Ok(());
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let open = openat(from, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        for entry in Dir::read_from(&open)? {
            let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
            if name != "." && name != ".." {
                self.within(&open, stat.st_dev, &name, to)?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Copies one entry of a directory.
    fn within(&mut self, from: &OwnedFd, device: u64, name: &OsString, to: &OwnedFd) -> Result<(), Errno> {
        let found = match openat(from, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            // It went away meanwhile.
            Err(Errno::NOENT) => return Ok(()),
            found => found?,
        };
        let stat = fstat(&found)?;
        if stat.st_dev != device && is_kernels_own(&found) {
            self.copied.skipped += 1;
            return Ok(());
        }
        self.progress.step(0)?;
        self.path.push(name);
        self.entry(&found, &stat, to.as_fd(), name)?;
        self.path.pop();
        Ok(())
    }

    fn file(&mut self, from: &OwnedFd, stat: &Stat, dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = match self.vacate(dir, name) {
            Ok(()) => openat(dir, name, flags | OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR)?,
            // A file is mounted there: it can be written, and not replaced.
            Err(Errno::BUSY) => {
                let there = openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
                return self.over(from, stat, &there);
            }
            Err(e) => return Err(e),
        };
        self.fill(from, stat, &made.into())
    }

    /// Writes over what is there, in place.
    fn over(&mut self, from: &OwnedFd, stat: &Stat, there: &OwnedFd) -> Result<(), Errno> {
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
            || FileType::from_raw_mode(fstat(there)?.st_mode) != FileType::RegularFile
        {
            return Err(Errno::INVAL);
        }
        let to = reopen(there, OFlags::WRONLY | OFlags::TRUNC)?;
        content::copy(&reopen(from, OFlags::RDONLY)?, &to, length(stat), &self.progress).map_err(|e| errno(&e))?;
        self.copied.files += 1;
        Ok(())
    }

    fn fill(&mut self, from: &OwnedFd, stat: &Stat, to: &File) -> Result<(), Errno> {
        let from = reopen(from, OFlags::RDONLY)?;
        content::copy(&from, to, length(stat), &self.progress).map_err(|e| errno(&e))?;
        attributes::take_over(&from, stat, to, self.outward)
    }

    /// Takes away what has the name, but for a directory.
    fn vacate(&self, dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
        match unlinkat(dir, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => Err(Errno::ISDIR),
            unlinked => unlinked,
        }
    }
}

/// Opens the very file that a descriptor names. That it is one was looked at before: to open a device may act.
fn reopen(found: &OwnedFd, flags: OFlags) -> Result<File, Errno> {
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty()).map(File::from)
}

fn is_kernels_own(found: &OwnedFd) -> bool {
    fstatfs(found).is_ok_and(|fs| KERNELS_OWN.contains(&fs.filesystem_type()))
}

fn length(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
