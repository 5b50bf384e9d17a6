//! The store's directories: what lies where, how it gets there whole, and how it goes away.
//!
//! ```text
//! ROOT/images/                0700: what is inside has modes of its own, and only root may come by
//!   blobs/sha256/HEX          layers, configurations and manifests, once however many images share them
//!   rootfs/HEX/               the unpacked tree of the image whose manifest has this digest; never written to
//!   names/HEX.json            one for each name (HEX is the name's hash): written last, and so the proof of the rest
//!   partial/HEX               blobs of a pull that was cut off, whole themselves, for the next one: for a day
//!   tmp/                      work in progress and work of removal; emptied at start
//! ```
//!
//! Everything arrives by rename from `tmp/` and leaves by rename into it: what is outside `tmp/` is whole. What no name
//! needs is refuse, whoever left it there.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::bound::Bound;
use super::digest::Digest;
use crate::du::Du;
use crate::id::ImageRef;
use crate::refusal::Refusal;
use crate::removal;

/// The longest document (manifest, configuration, record) that is read into memory.
const DOCUMENT_MAX: u64 = 8 << 20;

/// Where blobs wait for the next pull of their image.
const PARTIAL: &str = "partial";
/// How long they wait.
const PARTIAL_AGE: Duration = Duration::from_secs(24 * 3600);

/// The store's directories. Its methods touch files: not for the daemon's thread, unless they say so.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    serial: AtomicU64,
}

/// A name's file. Its time of modification is when the image was last in use under that name.
pub struct NameFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says, where it can be read.
    pub bytes: Result<Vec<u8>, Refusal>,
    /// When it was last used.
    pub used: SystemTime,
}

/// What the images in the store need; all else is refuse.
#[derive(Debug, Default)]
pub struct Keep {
    /// All there is: what somebody needs is not known.
    pub all: bool,
    /// Blobs.
    pub blobs: HashSet<String>,
    /// Trees, by manifest.
    pub trees: HashSet<String>,
}

/// What a sweep took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs.
    pub blobs: usize,
    /// Trees.
    pub trees: usize,
    /// Bytes of disk that come free of both, where that was to be measured.
    pub bytes: u64,
}

impl Disk {
    /// Makes what is missing of the directories.
    pub fn open(root: PathBuf) -> Result<Self, Refusal> {
        for dir in ["blobs/sha256", "rootfs", "names", "partial", "tmp"] {
            let dir = root.join(dir);
            let made = std::fs::DirBuilder::new().mode(0o700).recursive(true).create(&dir);
            made.map_err(|e| Refusal::io(dir.display(), &e))?;
        }
        let closed = std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o700));
        closed.map_err(|e| Refusal::io(root.display(), &e))?;
        // Not from 0: what a dead run left in tmp/ is still being deleted when the first work begins.
        let start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_micros() as u64);
        Ok(Self { root, serial: AtomicU64::new(start) })
    }

    /// The store's own directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a blob lies. Touches nothing.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// Where a blob lies that a pull has fetched which was cut off. Touches nothing.
    pub fn partial(&self, digest: &Digest) -> PathBuf {
        self.root.join(PARTIAL).join(digest.hex())
    }

    /// Where the tree of an image lies. Touches nothing.
    pub fn rootfs(&self, manifest: &Digest) -> PathBuf {
        self.root.join("rootfs").join(manifest.hex())
    }

    fn name_file(&self, name: &ImageRef) -> PathBuf {
        // A hash, since a name may be longer than a file's name may.
        self.root.join("names").join(format!("{}.json", Digest::of(name.to_string().as_bytes()).hex()))
    }

    /// A fresh path in `tmp/`.
    fn fresh(&self, what: &str) -> PathBuf {
        self.root.join("tmp").join(format!("{what}-{}", self.serial.fetch_add(1, Ordering::Relaxed)))
    }

    /// A directory to work in, for `what`.
    pub fn stage(self: &Arc<Self>, what: &str) -> Result<Staging, Refusal> {
        let dir = self.fresh(what);
        std::fs::create_dir(&dir).map_err(|e| Refusal::io(dir.display(), &e))?;
        Ok(Staging { disk: self.clone(), dir })
    }

    /// Takes a path out of the store in one step, and deletes it when there is time. A tool that was killed and is not
    /// dead yet finds nothing under the old name any more. One rename: may be called on the daemon's thread.
    pub fn discard(&self, path: &Path) -> std::io::Result<()> {
        let trash = self.fresh("trash");
        std::fs::rename(path, &trash)?;
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move { warn_of(removal::beside(trash).await) })),
            Err(_) => warn_of(removal::remove(&trash)),
        }
        Ok(())
    }

    /// The names' files, as they stand.
    pub fn names(&self) -> Result<Vec<NameFile>, Refusal> {
        let dir = self.root.join("names");
        let mut names = Vec::new();
        for path in list(&dir)? {
            if !path.symlink_metadata().is_ok_and(|file| file.is_file()) {
                log::warn!("image store: {} is nothing of the store's", path.display());
                continue;
            }
            let bytes = read_document(&path);
            let used = path.metadata().and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            names.push(NameFile { path, bytes, used });
        }
        Ok(names)
    }

    /// Writes a name's file: whole or not at all; and not before it is on the disk, where it is to be `durable`.
    pub fn put_name(&self, name: &ImageRef, bytes: &[u8], durable: bool) -> Result<(), Refusal> {
        let (aside, path) = (self.fresh("name"), self.name_file(name));
        let write = || {
            let mut file = std::fs::File::create_new(&aside)?;
            file.write_all(bytes)?;
            if durable {
                file.sync_all()?;
            }
            std::fs::rename(&aside, &path)
        };
        write().map_err(|e| {
            let _ = std::fs::remove_file(&aside);
            Refusal::io(path.display(), &e)
        })
    }

    /// Writes the files of several names: all of them or, where one fails, none.
    pub fn put_names(&self, names: &[(ImageRef, Vec<u8>)]) -> Result<(), Refusal> {
        let mut written = Vec::new();
        let put = names.iter().try_for_each(|(name, bytes)| {
            // What it said before is kept under one name more: to bring that back takes no room on a disk that is full.
            let (path, before) = (self.name_file(name), self.fresh("before"));
            match std::fs::hard_link(&path, &before) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Refusal::io(path.display(), &e)),
                _ => {}
            }
            self.put_name(name, bytes, false).inspect_err(|_| drop(std::fs::remove_file(&before)))?;
            written.push((path, before));
            Ok(())
        });
        for (path, before) in written {
            let settled = match &put {
                Ok(()) => std::fs::remove_file(&before),
                Err(_) => std::fs::rename(&before, &path).or_else(|_| std::fs::remove_file(&path)),
            };
            if let Err(e) = settled
                && e.kind() != std::io::ErrorKind::NotFound
            {
                log::warn!("{}: {e}", path.display());
            }
        }
        put
    }

    /// Notes that a name was in use until now.
    pub fn touch_name(&self, name: &ImageRef) {
        let touched = std::fs::File::open(self.name_file(name)).and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(e) = touched
            && e.kind() != std::io::ErrorKind::NotFound
        {
            log::warn!("{name}: {e}");
        }
    }

    /// Takes a name's file away; one that is not there is no error.
    pub fn remove_name(&self, name: &ImageRef) -> Result<(), Refusal> {
        let path = self.name_file(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Refusal::io(path.display(), &e)),
            _ => Ok(()),
        }
    }

    /// Takes away every blob and tree that is not to be kept; what is to come free is measured before with `du`.
    pub fn sweep(&self, keep: &Keep, mut du: Option<Du>) -> Result<Swept, Refusal> {
        let mut swept = Swept::default();
        let mut takes = |path: &Path| du.as_mut().map_or(Ok(0), |du| du.tree(path)).unwrap_or_default();
        for path in list(&self.root.join("blobs/sha256"))? {
            if !keep.all && !is_in(&keep.blobs, &path) {
                swept.blobs += 1;
                // Of what has a further name somebody's work has need.
                let is_last = path.symlink_metadata().is_ok_and(|file| file.nlink() == 1);
                swept.bytes += if is_last { takes(&path) } else { 0 };
                removal::remove(&path).map_err(|e| Refusal::io(path.display(), &e))?;
            }
        }
        for path in list(&self.root.join("rootfs"))? {
            if !keep.all && !is_in(&keep.trees, &path) {
                swept.trees += 1;
                swept.bytes += takes(&path);
                self.discard(&path).map_err(|e| Refusal::io(path.display(), &e))?;
            }
        }
        self.sweep_partial(keep);
        Ok(swept)
    }

    /// Takes away what a pull cut off has left and nobody came back for, or what is in the store by now.
    fn sweep_partial(&self, keep: &Keep) {
        for path in list(&self.root.join(PARTIAL)).unwrap_or_default() {
            if is_in(&keep.blobs, &path) || is_old(&path) {
                let _ = removal::remove(&path);
            }
        }
    }

    /// Takes away all of it; gives the bytes of disk that come free.
    pub fn clear_partial(&self) -> u64 {
        let partial = list(&self.root.join(PARTIAL)).unwrap_or_default();
        let takes = |path: &Path| path.symlink_metadata().map_or(0, |file| file.blocks().saturating_mul(512));
        let freed =
            partial.iter().map(|path| (takes(path), removal::remove(path))).filter(|(_, removed)| removed.is_ok());
        freed.map(|(bytes, _)| bytes).sum()
    }

    /// Takes away the oldest of it, so that `bound` lets in what is left.
    pub fn trim_partial(&self, bound: Bound) {
        let partial = list(&self.root.join(PARTIAL)).unwrap_or_default().into_iter();
        let mut files: Vec<_> = partial.filter_map(|path| Some((path.symlink_metadata().ok()?, path))).collect();
        files.sort_by_key(|(file, _)| std::cmp::Reverse((file.ctime(), file.ctime_nsec())));
        let mut sum = 0_u64;
        for (file, path) in files {
            sum = sum.saturating_add(file.len());
            if bound.admit(sum).is_err() {
                let _ = removal::remove(&path);
            }
        }
    }

    /// Keeps the blobs in `dir` for the next pull that wants them. They are whole: skopeo gives a blob its name when its
    /// digest is known to be right. A failure costs a fetch.
    pub fn salvage(&self, dir: &Path) -> usize {
        let blobs = list(dir).unwrap_or_default();
        blobs.iter().filter(|path| self.salvage_one(path)).count()
    }

    fn salvage_one(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        let digest: Option<Digest> = name.and_then(|name| format!("sha256:{name}").parse().ok());
        let is_file = path.symlink_metadata().is_ok_and(|file| file.is_file());
        digest.is_some_and(|digest| {
            is_file && !self.blob(&digest).exists() && std::fs::rename(path, self.partial(&digest)).is_ok()
        })
    }

    /// Has `tmp/` emptied, beside, but for what a pull can go on from; says how many pieces of work lay there. Only before any work is begun.
    pub fn sweep_work(&self) -> Result<usize, Refusal> {
        let left = list(&self.root.join("tmp"))?;
        for path in &left {
            if path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"pull-")) {
                self.salvage(&path.join("layout/blobs/sha256"));
            }
            self.discard(path).map_err(|e| Refusal::io(path.display(), &e))?;
        }
        Ok(left.len())
    }
}

/// A directory in `tmp/`, gone with this value.
#[derive(Debug)]
pub struct Staging {
    disk: Arc<Disk>,
    dir: PathBuf,
}

impl Staging {
    /// It.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(e) = self.disk.discard(&self.dir) {
            log::warn!("{}: {e}", self.dir.display());
        }
    }
}

/// Reads a file that is a document: what is no file, or too long to be one, is refused.
pub fn read_document(path: &Path) -> Result<Vec<u8>, Refusal> {
    let unreadable = |e: std::io::Error| Refusal::io(path.display(), &e);
    // A FIFO would have us wait until somebody writes to it.
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let file = file.map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(Refusal::bad_value(format_args!("{}: not a file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(DOCUMENT_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > DOCUMENT_MAX {
        return Err(Refusal::tool_failed(format_args!("{}: more than {DOCUMENT_MAX} bytes", path.display())));
    }
    Ok(bytes)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, Refusal> {
    let entries = std::fs::read_dir(dir).and_then(|entries| entries.map(|e| Ok(e?.path())).collect());
    entries.map_err(|e| Refusal::io(dir.display(), &e))
}

fn is_in(names: &HashSet<String>, path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| names.contains(name))
}

/// Whether a file has waited in vain. Its inode was last changed when it was put where it is.
fn is_old(path: &Path) -> bool {
    let changed = path.metadata().ok().and_then(|file| u64::try_from(file.ctime()).ok());
    let changed = changed.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    changed.is_some_and(|changed| changed.elapsed().is_ok_and(|age| age > PARTIAL_AGE))
}

/// What could not be removed is tried again at the next start.
fn warn_of(removed: Result<(), impl std::fmt::Display>) {
    if let Err(e) = removed {
        log::warn!("image store: {e}");
    }
}
