//! The two ends of a copy: what is copied, and what becomes of it, as `docker cp` has it.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2, statat};
use rustix::io::Errno;

use crate::refusal::{Code, Refusal};

/// Where paths begin, and how they are resolved.
pub struct Base {
    dir: OwnedFd,
    how: ResolveFlags,
}

/// What is copied.
pub struct Source {
    /// It, as a descriptor that only names it (`O_PATH`).
    pub found: OwnedFd,
    /// What it is.
    pub stat: Stat,
    /// Its own name; none where what it contains is meant (`DIR/.`).
    pub name: Option<OsString>,
}

/// What it becomes.
pub enum Target {
    /// An entry of a directory, new or in place of what has the name.
    Entry {
        /// The directory.
        dir: OwnedFd,
        /// The name in it.
        name: OsString,
    },
    /// What it contains is added to a directory.
    Within(OwnedFd),
    /// A file that a link leads to: its content is replaced.
    Over(OwnedFd),
}

impl Base {
    /// The host's.
    pub fn host(dir: OwnedFd) -> Self {
        Self { dir, how: ResolveFlags::empty() }
    }

    /// A container's: neither a link nor `..` leads out of it.
    pub fn container(dir: OwnedFd) -> Self {
        Self { dir, how: ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS }
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        // From the root by itself: an absolute path would leave the descriptor aside.
        let path = path.strip_prefix("/").unwrap_or(path);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        openat2(&self.dir, path, flags | OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), self.how)
    }

    /// What is at `path`: a link itself, unless a slash behind it asks for the directory that it leads to.
    pub fn source(&self, path: &Path) -> Result<Source, Refusal> {
        let (is_directory, contents) = ending(path);
        let flags = if is_directory { OFlags::DIRECTORY } else { OFlags::NOFOLLOW };
        let found = self.open(path, flags).map_err(|e| failed(path, e))?;
        let stat = fstat(&found).map_err(|e| failed(path, e))?;
        let name = path.file_name().filter(|_| !contents).map(OsStr::to_owned);
        Ok(Source { found, stat, name })
    }

    /// What `source` becomes at `path`.
    pub fn target(&self, path: &Path, source: &Source) -> Result<Target, Refusal> {
        let (is_directory, _) = ending(path);
        match self.open(path, OFlags::empty()) {
            Ok(there) => self.existing(path, there, source),
            Err(Errno::NOENT) if is_directory && !source.is_dir() => {
                Err(Refusal::not_found(format_args!("{}: there is no such directory", path.display())))
            }
            Err(Errno::NOENT) => self.entry(path),
            Err(e) => Err(failed(path, e)),
        }
    }

    fn existing(&self, path: &Path, there: OwnedFd, source: &Source) -> Result<Target, Refusal> {
        let kind = FileType::from_raw_mode(fstat(&there).map_err(|e| failed(path, e))?.st_mode);
        match (&source.name, kind) {
            (Some(name), FileType::Directory) => Ok(Target::Entry { dir: there, name: name.clone() }),
            (None, FileType::Directory) => Ok(Target::Within(there)),
            _ if source.is_dir() || ending(path).0 => {
                Err(Refusal::bad_value(format_args!("{}: it is there, and no directory", path.display())))
            }
            (_, FileType::RegularFile) if self.is_link(path) => Ok(Target::Over(there)),
            (_, FileType::RegularFile) => self.entry(path),
            _ => Err(Refusal::bad_value(format_args!("{}: neither a directory nor a file", path.display()))),
        }
    }

    /// An entry of the directory that `path` lies in, which must be there.
    fn entry(&self, path: &Path) -> Result<Target, Refusal> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Refusal::bad_value(format_args!("{}: say what it is to be called", path.display())));
        };
        let dir = self.open(parent, OFlags::DIRECTORY).map_err(|e| failed(parent, e))?;
        let there = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW);
        if there.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink) {
            return Err(Refusal::not_found(format_args!("{}: a link that leads nowhere", path.display())));
        }
        Ok(Target::Entry { dir, name: name.to_owned() })
    }

    fn is_link(&self, path: &Path) -> bool {
        let found = self.open(path, OFlags::NOFOLLOW).and_then(fstat);
        found.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
    }
}

impl Source {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == FileType::Directory
    }
}

/// Whether a path's ending says that it is a directory, and that what it contains is meant.
fn ending(path: &Path) -> (bool, bool) {
    let bytes = path.as_os_str().as_bytes();
    let contents = bytes.ends_with(b"/.") || path.file_name().is_none();
    (contents || bytes.ends_with(b"/"), contents)
}

/// What an error on one of the asker's own paths means to him.
pub fn failed(path: &Path, error: Errno) -> Refusal {
    let code = match error {
        Errno::NOENT | Errno::NOTDIR => Code::NotFound,
        Errno::ROFS | Errno::ACCESS | Errno::PERM | Errno::XDEV => Code::Denied,
        Errno::LOOP | Errno::NAMETOOLONG | Errno::INVAL => Code::BadValue,
        _ => return Refusal::io(path.display(), &error.into()),
    };
    Refusal::new(code, format_args!("{}: {}", path.display(), std::io::Error::from(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_tell_directories() {
        for (path, means) in [
            ("/a", (false, false)),
            ("/a/", (true, false)),
            ("/a/.", (true, true)),
            ("/", (true, true)),
            ("/a/..", (true, true)),
        ] {
            assert_eq!(ending(Path::new(path)), means, "{path}");
        }
    }
}
