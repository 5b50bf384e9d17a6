//! Changes as a layer of an image: a tar archive in which `.wh.NAME` stands for a deleted `NAME` (OCI image-spec 1.1,
//! `layer.md`). umoci cannot make one: its `insert` (0.4.7) takes the whiteouts of an overlay for devices.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat, fgetxattr, flistxattr, openat, readlinkat};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};

use super::walk::ENTRIES_MAX;
use super::{Change, Now, Overlay};
use crate::refusal::Refusal;

/// What stands before the name of something deleted.
const WHITEOUT: &str = ".wh.";
/// Attributes of the overlay's own, and of a label that every host gives anew.
const NOT_KEPT: &[&[u8]] = &[b"trusted.overlay.", b"security.selinux"];
/// The longest list of extended attributes' names, and the longest value (xattr(7)).
const XATTR_MAX: usize = 64 << 10;

/// Writes the changes of `overlay` to `out`. Sockets are left out: nobody listens in an image. What shrinks or goes away
/// while it is read fails it. It blocks.
pub fn write(overlay: &Overlay, out: impl Write) -> Result<(), Refusal> {
    let mut layer = Layer { tar: Builder::new(out), met: HashMap::new() };
    overlay.changes(&mut |change| layer.add(change))?;
    let finished = layer.tar.into_inner().and_then(|mut out| out.flush());
    finished.map_err(|e| Refusal::io("the layer", &e))
}

struct Layer<W: Write> {
    tar: Builder<W>,
    /// Where a file of several names was written.
    met: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Layer<W> {
    fn add(&mut self, change: &Change<'_>) -> Result<(), Refusal> {
        let name = change.path.file_name().unwrap_or_default();
        if name.as_bytes().starts_with(WHITEOUT.as_bytes()) {
            return Err(Refusal::unsupported(format_args!(
                "/{}: a name that begins with {WHITEOUT} means something deleted in an image",
                change.path.display()
            )));
        }
        let added = match &change.now {
            None => self.whiteout(change.path, name),
            Some(now) => self.file(change.path, name, now),
        };
        added.map_err(|e| Refusal::io(format_args!("/{}", change.path.display()), &e))
    }

    fn whiteout(&mut self, path: &Path, name: &OsStr) -> io::Result<()> {
        let mut marked = OsString::from(WHITEOUT);
        marked.push(name);
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(0);
        header.set_mode(0);
        self.tar.append_data(&mut header, path.with_file_name(marked), io::empty())
    }

    fn file(&mut self, path: &Path, name: &OsStr, now: &Now<'_>) -> io::Result<()> {
        let mut header = header(&now.stat);
        if now.stat.st_nlink > 1 && !matches!(kind(&now.stat), FileType::Directory | FileType::Socket) {
            match self.met.get(&(now.stat.st_dev, now.stat.st_ino)) {
                Some(first) => {
                    header.set_entry_type(EntryType::Link);
                    return self.tar.append_link(&mut header, path, first);
                }
                None => self.meet(path, &now.stat)?,
            }
        }
        match kind(&now.stat) {
            FileType::RegularFile => self.regular(path, name, now, header),
            FileType::Directory => {
                let dir = openat(now.dir, name, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
                self.attributes(&attributes_of(&File::from(dir))?)?;
                header.set_entry_type(EntryType::Directory);
                self.tar.append_data(&mut header, path, io::empty())
            }
            FileType::Symlink => {
                let target = readlinkat(now.dir, name, Vec::new())?;
                header.set_entry_type(EntryType::Symlink);
                self.tar.append_link(&mut header, path, OsStr::from_bytes(target.to_bytes()))
            }
            FileType::Fifo => self.special(path, header, EntryType::Fifo, now),
            FileType::CharacterDevice => self.special(path, header, EntryType::Char, now),
            FileType::BlockDevice => self.special(path, header, EntryType::Block, now),
            _ => Ok(()),
        }
    }

    /// Keeps where a file of several names was written.
    fn meet(&mut self, path: &Path, stat: &Stat) -> io::Result<()> {
        if self.met.len() >= ENTRIES_MAX || self.met.try_reserve(1).is_err() {
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, "too many files of several names"));
        }
        self.met.insert((stat.st_dev, stat.st_ino), path.to_owned());
        Ok(())
    }

    fn regular(&mut self, path: &Path, name: &OsStr, now: &Now<'_>, mut header: Header) -> io::Result<()> {
        // Not waiting: it may have become something else since it was looked at, a fifo say.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(now.dir, name, flags, Mode::empty())?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it became something else while it was read"));
        }
        self.attributes(&attributes_of(&file)?)?;
        header.set_entry_type(EntryType::Regular);
        header.set_size(metadata.len());
        self.tar.append_data(&mut header, path, Exactly { file, left: metadata.len() })
    }

    fn special(&mut self, path: &Path, mut header: Header, kind: EntryType, now: &Now<'_>) -> io::Result<()> {
        header.set_entry_type(kind);
        header.set_device_major(rustix::fs::major(now.stat.st_rdev))?;
        header.set_device_minor(rustix::fs::minor(now.stat.st_rdev))?;
        self.tar.append_data(&mut header, path, io::empty())
    }

    /// Extended attributes stand before their file, as records of pax(1).
    fn attributes(&mut self, attributes: &[(String, Vec<u8>)]) -> io::Result<()> {
        if attributes.is_empty() {
            return Ok(());
        }
        self.tar.append_pax_extensions(attributes.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
    }
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn header(stat: &Stat) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_size(0);
    // The archive counts from 1970.
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header
}

/// The attributes of a file, by the names that they have in an archive.
fn attributes_of(file: &File) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut names = vec![0; XATTR_MAX];
    let length = match flistxattr(file, &mut names[..]) {
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        listed => listed?,
    };
    let mut found = Vec::new();
    let mut value = vec![0; XATTR_MAX];
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    for name in names.filter(|name| !NOT_KEPT.iter().any(|prefix| name.starts_with(prefix))) {
        let length = fgetxattr(file, name, &mut value[..])?;
        found.push((format!("SCHILY.xattr.{}", String::from_utf8_lossy(name)), value[..length].to_vec()));
    }
    Ok(found)
}

/// As many bytes of a file as it had when it was looked at: the archive has told its length.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let count = self.file.read(buffer)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}
