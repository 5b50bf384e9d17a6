//! The files that one container's log is in: their names, the order in which they are read, and which of them are there.
//!
//! conmon writes to `log`. When that has grown enough (`rotation.rs`) it becomes `log.0`, the next one `log.1`, and so on:
//! a file's number never changes, so that whoever reads knows which comes next, and sees when it came too late for one.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::worker::look;

/// How often an opening is tried again because a file was put aside meanwhile, which takes far longer than an opening.
const TRIES: usize = 100;

/// Which files are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shelf {
    /// The number of the oldest.
    oldest: u64,
    /// The number of the one that conmon writes.
    newest: u64,
    /// The newest has its number as a second name already, and `log` may be the next one at any moment.
    turning: bool,
}

/// The files of a container's log, shared by the one who puts them aside and those who read them.
#[derive(Debug)]
pub struct LogFiles {
    path: PathBuf,
    shelf: watch::Sender<Shelf>,
    /// Kept open for those who still read when the directory goes.
    held: Mutex<HashMap<u64, Arc<File>>>,
}

/// One who reads the files, and is told when one more is put aside.
#[derive(Debug)]
pub struct Place {
    files: Arc<LogFiles>,
    shelf: watch::Receiver<Shelf>,
}

impl LogFiles {
    /// Those of a log that begins at `path`.
    pub fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self { path, shelf: watch::Sender::default(), held: Mutex::default() })
    }

    /// What conmon writes to.
    pub fn current(&self) -> &Path {
        &self.path
    }

    /// The name of the newest file that it keeps when it is put aside; there once a turn has begun.
    pub fn turned(&self) -> PathBuf {
        self.numbered(self.shelf.borrow().newest)
    }

    fn numbered(&self, number: u64) -> PathBuf {
        self.with_end(&number.to_string())
    }

    fn with_end(&self, end: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(end);
        name.into()
    }

    /// A place to read them from.
    pub fn reader(self: &Arc<Self>) -> Place {
        Place { files: self.clone(), shelf: self.shelf.subscribe() }
    }

    /// The bytes in the file that conmon writes.
    pub async fn size(&self) -> io::Result<u64> {
        let path = self.path.clone();
        off_thread(move || Ok(fs::symlink_metadata(path)?.len())).await
    }

    /// Gives the newest file the name that it keeps. `log` stays, until conmon puts the next one in its place: there is no
    /// moment without a log, and nothing is lost however late conmon is.
    ///
    /// conmon's `log.tmp` is made ahead: conmon ends where it cannot make it, as on a full disk.
    pub async fn begin_turn(&self) -> io::Result<()> {
        let (from, to, next) = (self.path.clone(), self.turned(), self.with_end("tmp"));
        off_thread(move || {
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
            fs::hard_link(&from, &to).inspect_err(|_| drop(fs::remove_file(&next)))
        })
        .await?;
        self.shelf.send_modify(|shelf| shelf.turning = true);
        Ok(())
    }

    /// Whether conmon has put the next file in place. (Before that it still writes to the one that was put aside.)
    pub async fn has_turned(&self) -> io::Result<bool> {
        let (current, turned) = (self.path.clone(), self.turned());
        off_thread(move || Ok(fs::metadata(current)?.ino() != fs::metadata(turned)?.ino())).await
    }

    /// Counts the file that conmon has put in place, and removes the oldest ones but for `keep`, at least 1.
    pub async fn end_turn(&self, keep: u64) {
        let before = *self.shelf.borrow();
        let newest = before.newest + 1;
        let oldest = before.oldest.max((newest + 1).saturating_sub(keep.max(1)));
        // Told first: whoever misses a file sees why.
        self.shelf.send_replace(Shelf { oldest, newest, turning: false });
        self.remove((before.oldest..oldest).map(|number| self.numbered(number)).collect()).await;
    }

    /// Takes a turn back that conmon has not made, and will not.
    pub async fn cancel_turn(&self) {
        let turned = self.turned();
        self.shelf.send_modify(|shelf| shelf.turning = false);
        self.remove(vec![turned, self.with_end("tmp")]).await;
    }

    /// Whether a turn has begun and not ended.
    pub fn is_turning(&self) -> bool {
        self.shelf.borrow().turning
    }

    async fn remove(&self, paths: Vec<PathBuf>) {
        let removed = off_thread(move || {
            paths.iter().try_for_each(|path| match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            })
        });
        if let Err(e) = removed.await {
            log::warn!("{}: an old log is not removed: {e}", self.path.display());
        }
    }

    /// Opens every file for those who are reading, if any: their names are about to go.
    pub async fn hold(&self) {
        if self.shelf.receiver_count() == 0 {
            return;
        }
        let shelf = *self.shelf.borrow();
        for number in shelf.oldest..=shelf.newest {
            // One that is not there is nobody's loss any more.
            if let Ok(Some(file)) = self.open(number).await {
                self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(number, file);
            }
        }
    }

    /// Opens a file by its number; none where it is gone.
    async fn open(&self, number: u64) -> io::Result<Option<Arc<File>>> {
        for _ in 0..TRIES {
            let shelf = *self.shelf.borrow();
            if let Some(file) = self.held.lock().unwrap_or_else(PoisonError::into_inner).get(&number) {
                return Ok(Some(file.clone()));
            }
            if number < shelf.oldest {
                return Ok(None);
            }
            let has_own_name = number < shelf.newest || shelf.turning;
            let path = if has_own_name { self.numbered(number) } else { self.path.clone() };
            let opened = off_thread(move || File::open(path)).await;
            // Else the name may have led to another file, or to none.
            if *self.shelf.borrow() == shelf {
                return opened.map(|file| Some(Arc::new(file)));
            }
        }
        Err(io::Error::other("it is put aside all the time"))
    }
}

impl Place {
    /// Opens the file of that number, or the oldest one that is there if that is gone, and says which it is.
    pub async fn open(&self, number: u64) -> io::Result<(u64, Arc<File>)> {
        let mut number = number;
        loop {
            if let Some(file) = self.files.open(number).await? {
                return Ok((number, file));
            }
            number = self.oldest();
        }
    }

    /// The number of the oldest file.
    pub fn oldest(&self) -> u64 {
        self.shelf.borrow().oldest
    }

    /// The number of the newest file. No line is written any more to those before it.
    pub fn newest(&self) -> u64 {
        self.shelf.borrow().newest
    }

    /// Waits until a file is put aside that was the newest when this was last asked. Never ends where none will be.
    pub async fn turned(&mut self) {
        if self.shelf.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Has the next [`Place::turned`] wait for what comes from now on.
    pub fn mark(&mut self) {
        self.shelf.mark_unchanged();
    }
}

/// A disk may be slow, and the daemon's thread does not wait for it.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    look(work).await.unwrap_or_else(|refusal| Err(io::Error::other(refusal.to_string())))
}

/// Every file of the log at `path` that lies there.
pub fn all(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let prefix = format!("{}.", name.to_string_lossy());
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let is_one = |entry: &fs::DirEntry| {
        let entry = entry.file_name();
        entry == name || entry.to_string_lossy().starts_with(&prefix)
    };
    entries.filter(is_one).map(|entry| entry.path()).collect()
}
