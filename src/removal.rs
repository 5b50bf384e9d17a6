//! The removal of trees that strangers have made: however deep or wide, on a small stack and a few descriptors.
//!
//! `std::fs::remove_dir_all` calls itself for each level, and a level costs nothing: a container may make so many that the
//! stack of any thread is too small, which ends the process.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{
    AtFlags, CWD, Dir, DirEntry, FileType, Mode, OFlags, ResolveFlags, openat, openat2, renameat, unlinkat,
};
use rustix::io::Errno;

use crate::refusal::Refusal;
use crate::worker;

/// How many directories within each other are open at once. What lies deeper is moved up to the top, and its turn comes.
const OPEN_MAX: usize = 16;

/// Removes what is at `path`, if anything, on a worker.
pub async fn beside(path: PathBuf) -> Result<(), Refusal> {
    worker::long(move || remove(&path).map_err(|e| Refusal::io(path.display(), &e))).await
}

/// Removes what is at `path`, if anything: a directory with all that is in it, but for what is mounted there. Goes on past
/// an error, and tells the first. Blocks for as long as it takes: not for the daemon's thread.
pub fn remove(path: &Path) -> io::Result<()> {
    match unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(e) => return Err(e.into()),
    }
    let top = openat(CWD, path, DIRECTORY, Mode::empty())?;
    let mut removal = Removal::at(&top);
    loop {
        removal.has_progressed = false;
        removal.empty(&top, 1);
        match unlinkat(CWD, path, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // What was moved up is next.
            Err(Errno::NOTEMPTY) if removal.has_progressed => {}
            Err(e) => return Err(removal.failed.unwrap_or(e).into()),
        }
    }
}

/// How directories are opened: never by a link.
const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A tree that is being removed, some levels at each pass.
struct Removal<'a> {
    top: &'a OwnedFd,
    /// What the names of those moved up begin with: nobody in the tree can have foreseen it.
    prefix: u128,
    moved_up: u64,
    /// Whether this pass has taken anything away, or up.
    has_progressed: bool,
    /// The first failure.
    failed: Option<Errno>,
}

impl<'a> Removal<'a> {
    fn at(top: &'a OwnedFd) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { top, prefix: now.as_nanos(), moved_up: 0, has_progressed: false, failed: None }
    }

    /// Takes away what is in a directory, and goes on past what cannot be.
    fn empty(&mut self, dir: &OwnedFd, depth: usize) {
        let entries = match Dir::read_from(dir) {
            Ok(entries) => entries,
            Err(e) => return self.note(e),
        };
        for entry in entries {
            match entry {
                Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Ok(entry) => self.entry(dir, &entry, depth).unwrap_or_else(|e| self.note(e)),
                Err(e) => return self.note(e),
            }
        }
    }

    fn entry(&mut self, dir: &OwnedFd, entry: &DirEntry, depth: usize) -> Result<(), Errno> {
        let name = entry.file_name();
        if entry.file_type() != FileType::Directory {
            match unlinkat(dir, name, AtFlags::empty()) {
                // Not every file system tells what is a directory.
                Err(Errno::ISDIR) => {}
                done => return self.told(done),
            }
        }
        if depth >= OPEN_MAX {
            let aside = format!(".{}-{}", self.prefix, self.moved_up);
            self.moved_up += 1;
            return self.told(renameat(dir, name, self.top, aside));
        }
        // Somebody's file system that is mounted here is not ours to empty.
        let how = ResolveFlags::NO_XDEV | ResolveFlags::BENEATH;
        match openat2(dir, name, DIRECTORY, Mode::empty(), how) {
            Ok(inner) => self.empty(&inner, depth + 1),
            Err(e) => return self.told(Err(e)),
        }
        match unlinkat(dir, name, AtFlags::REMOVEDIR) {
            // Why it is not empty is noted.
            Err(Errno::NOTEMPTY) => Ok(()),
            done => self.told(done),
        }
    }

    /// What is gone already needs no removing.
    fn told(&mut self, done: Result<(), Errno>) -> Result<(), Errno> {
        match done {
            Ok(()) => self.has_progressed = true,
            Err(Errno::NOENT) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn note(&mut self, error: Errno) {
        self.failed.get_or_insert(error);
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::mkdirat;

    use super::*;

    /// A directory of its own for a test.
    fn place(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("gantry-removal-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// On a thread with the stack of a worker, which std's removal overflows.
    fn removed(path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        std::thread::Builder::new().stack_size(256 << 10).spawn(move || remove(&path)).unwrap().join().unwrap()
    }

    #[test]
    fn a_tree_may_be_deeper_than_any_path_and_any_stack() {
        let dir = place("deep");
        let mut at = openat(CWD, &dir, DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..5_000 {
            mkdirat(&at, "d", Mode::RWXU).unwrap();
            drop(openat(&at, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap());
            at = openat(&at, "d", DIRECTORY, Mode::empty()).unwrap();
        }
        removed(&dir).unwrap();
        assert!(!dir.exists());
    }

    #[test]
    fn a_tree_may_be_wide_at_every_level_and_links_are_not_followed() {
        let (dir, elsewhere) = (place("wide"), place("elsewhere"));
        std::fs::write(elsewhere.join("kept"), "").unwrap();
        let mut level = dir.clone();
        for _ in 0..3 * OPEN_MAX {
            for name in 0..5 {
                std::fs::create_dir_all(level.join(format!("{name}/within"))).unwrap();
                std::fs::write(level.join(format!("file {name}")), "x").unwrap();
            }
            std::os::unix::fs::symlink(&elsewhere, level.join("link")).unwrap();
            level.push("0/within");
        }
        (0..5000).for_each(|name| std::fs::write(level.join(name.to_string()), "").unwrap());
        removed(&dir).unwrap();
        assert!(!dir.exists() && elsewhere.join("kept").exists());
        std::os::unix::fs::symlink(&elsewhere, &dir).unwrap();
        removed(&dir).unwrap();
        assert!(dir.symlink_metadata().is_err() && elsewhere.join("kept").exists());
        removed(&elsewhere).unwrap();
        removed(&elsewhere).unwrap();
    }

    /// Needs root, as all of gantry does.
    #[test]
    fn what_is_mounted_in_a_tree_is_left_whole_and_all_else_goes() {
        use nix::mount::{MntFlags, MsFlags, mount, umount2};
        let (dir, others) = (place("mounted"), place("others"));
        std::fs::write(others.join("kept"), "").unwrap();
        std::fs::create_dir_all(dir.join("a/b")).unwrap();
        std::fs::create_dir_all(dir.join("z/y/x")).unwrap();
        let none: Option<&str> = None;
        mount(Some(&others), &dir.join("a/b"), none, MsFlags::MS_BIND, none).expect("this test needs root");
        let refused = removed(&dir).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(nix::libc::EXDEV), "{refused}");
        assert!(others.join("kept").exists() && !dir.join("z").exists());
        umount2(&dir.join("a/b"), MntFlags::MNT_DETACH).unwrap();
        removed(&dir).unwrap();
        removed(&others).unwrap();
    }
}
