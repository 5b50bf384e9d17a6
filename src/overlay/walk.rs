//! The walk through both directories of an overlay at once.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fgetxattr, openat, statat};
use rustix::io::Errno;

use super::{Change, Kind, Now, Overlay};
use crate::memory;
use crate::refusal::Refusal;

/// How many directories may lie within each other: each is held open while what is in it is looked at.
const DEPTH_MAX: usize = 1000;
/// How many entries of these directories are known at once: who fills the upper ones says how many there are.
pub(super) const ENTRIES_MAX: usize = 1 << 20;
/// After how many of them it is looked whether memory is short.
const ENTRIES_A_LOOK: usize = 4096;
/// The attribute of a directory that hides the lower one.
const OPAQUE: &str = "trusted.overlay.opaque";

/// A walk on its way.
pub(super) struct Walk<'a> {
    overlay: &'a Overlay,
    tell: &'a mut dyn FnMut(&Change<'_>) -> Result<(), Refusal>,
    /// The directories from the root to where it is.
    open: Vec<Level>,
    path: PathBuf,
}

type Entries = Vec<(OsString, bool)>;

/// A directory that is being walked through.
struct Level {
    upper: OwnedFd,
    lower: Option<OwnedFd>,
    /// What is in it, last first, and whether the upper directory has it.
    entries: Entries,
    /// Nothing of the lower directory shows through here.
    opaque: bool,
    /// What is still to be told of the directory itself.
    own: Own,
    /// A place in here was made to mount on.
    hides: bool,
}

/// What is to be told of a directory.
#[derive(Clone, Copy)]
enum Own {
    /// Nothing (more).
    Told,
    /// That it is so, as soon as there is something to tell of what is within.
    IfWithin(Kind, Stat),
    /// The same, and at its end unless nothing but places to mount on were made in it.
    UnlessForMounts(Kind, Stat),
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        overlay: &'a Overlay,
        tell: &'a mut dyn FnMut(&Change<'_>) -> Result<(), Refusal>,
    ) -> Result<Self, Refusal> {
        let open = |dir: &Path| {
            let opened = openat(CWD, dir, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
            opened.map_err(|e| failed(dir, e))
        };
        let (upper, lower) = (open(&overlay.upper)?, open(&overlay.lower)?);
        let mut walk = Self { overlay, tell, open: Vec::new(), path: PathBuf::new() };
        walk.enter(upper, Some(lower), false, Own::Told)?;
        Ok(walk)
    }

    pub(super) fn run(mut self) -> Result<(), Refusal> {
        while let Some(level) = self.open.last_mut() {
            match level.entries.pop() {
                Some((name, is_upper)) => {
                    self.path.push(&name);
                    self.entry(&name, is_upper)?;
                }
                None => self.leave()?,
            }
        }
        Ok(())
    }

    /// Looks at one entry, whose path is the current one: it stays that where a directory is entered.
    fn entry(&mut self, name: &OsStr, is_upper: bool) -> Result<(), Refusal> {
        let Some(level) = self.open.last() else { return Ok(()) };
        let upper = if is_upper { stat(&level.upper, name).map_err(|e| failed(&self.path, e))? } else { None };
        let lower = match &level.lower {
            Some(lower) => stat(lower, name).map_err(|e| failed(&self.path, e))?,
            None => None,
        };
        match (upper, lower) {
            (Some(upper), lower) if is_dir(&upper) => {
                return self.directory(name, upper, lower);
            }
            (Some(upper), lower) if !is_whiteout(&upper) => self.file(upper, lower.is_some())?,
            (_, Some(_)) => self.tell(Kind::Deleted, None)?,
            // It went away meanwhile, or what was deleted had never been in the lower directory.
            (_, None) => {}
        }
        self.path.pop();
        Ok(())
    }

    fn file(&mut self, upper: Stat, is_lower: bool) -> Result<(), Refusal> {
        let is_empty = FileType::from_raw_mode(upper.st_mode) == FileType::RegularFile && upper.st_size == 0;
        if !is_lower && is_empty && self.mounts().any(|mount| mount == self.path) {
            return self.hide();
        }
        self.tell(if is_lower { Kind::Changed } else { Kind::Added }, Some(upper))
    }

    fn directory(&mut self, name: &OsStr, upper: Stat, lower: Option<Stat>) -> Result<(), Refusal> {
        let Some(level) = self.open.last() else { return Ok(()) };
        let Some(opened) = open(&level.upper, name).map_err(|e| failed(&self.path, e))? else {
            self.path.pop();
            return Ok(());
        };
        let inner = match (&level.lower, lower.is_some_and(|lower| is_dir(&lower))) {
            (Some(dir), true) => open(dir, name).map_err(|e| failed(&self.path, e))?,
            _ => None,
        };
        let opaque = level.opaque || is_opaque(&opened);
        let own = match lower {
            None if self.mounts().any(|mount| mount.starts_with(&self.path)) => {
                Own::UnlessForMounts(Kind::Added, upper)
            }
            None => self.tell_now(Kind::Added, upper)?,
            Some(lower) if !is_dir(&lower) || differ(&upper, &lower) => self.tell_now(Kind::Changed, upper)?,
            Some(lower) if mtime(&upper) != mtime(&lower) => Own::UnlessForMounts(Kind::Changed, upper),
            Some(_) => Own::IfWithin(Kind::Changed, upper),
        };
        self.enter(opened, inner, opaque, own)
    }

    fn tell_now(&mut self, kind: Kind, upper: Stat) -> Result<Own, Refusal> {
        self.tell(kind, Some(upper))?;
        Ok(Own::Told)
    }

    fn enter(&mut self, upper: OwnedFd, lower: Option<OwnedFd>, opaque: bool, own: Own) -> Result<(), Refusal> {
        if self.open.len() >= DEPTH_MAX {
            return Err(Refusal::unsupported(format_args!(
                "/{}: more than {DEPTH_MAX} directories within each other",
                self.path.display()
            )));
        }
        let most = ENTRIES_MAX.saturating_sub(self.open.iter().map(|level| level.entries.len()).sum());
        let entries = entries(&upper, lower.as_ref().filter(|_| opaque), most);
        let entries = entries.map_err(|refusal| refusal.within(format_args!("/{}", self.path.display())))?;
        self.open.push(Level { upper, lower, entries, opaque, own, hides: false });
        Ok(())
    }

    /// Everything in a directory was looked at.
    fn leave(&mut self) -> Result<(), Refusal> {
        let Some(Level { own, hides, .. }) = self.open.pop() else { return Ok(()) };
        if let Own::UnlessForMounts(kind, stat) = own {
            let is_place = kind == Kind::Added && self.mounts().any(|mount| mount == self.path);
            if hides || is_place { self.hide()? } else { self.tell(kind, Some(stat))? }
        }
        self.path.pop();
        Ok(())
    }

    fn hide(&mut self) -> Result<(), Refusal> {
        if let Some(level) = self.open.last_mut() {
            level.hides = true;
        }
        Ok(())
    }

    /// Tells a change at the current path, and before it those of the directories above that were held back.
    fn tell(&mut self, kind: Kind, stat: Option<Stat>) -> Result<(), Refusal> {
        let depth = self.open.len();
        for at in 1..depth {
            let own = self.open.get_mut(at).map_or(Own::Told, |level| std::mem::replace(&mut level.own, Own::Told));
            if let Own::IfWithin(kind, stat) | Own::UnlessForMounts(kind, stat) = own {
                let path: PathBuf = self.path.components().take(at).collect();
                self.tell_one(at, &path, kind, Some(stat))?;
            }
        }
        let path = self.path.clone();
        self.tell_one(depth, &path, kind, stat)
    }

    /// Tells of `path`, whose directory is the `depth`th that is open.
    fn tell_one(&mut self, depth: usize, path: &Path, kind: Kind, stat: Option<Stat>) -> Result<(), Refusal> {
        let level = depth.checked_sub(1).and_then(|at| self.open.get(at));
        let now = level.zip(stat).map(|(level, stat)| Now { dir: level.upper.as_fd(), stat });
        (self.tell)(&Change { kind, path, now })
    }

    fn mounts(&self) -> impl Iterator<Item = &'a Path> {
        self.overlay.mounts.iter().map(|mount| mount.strip_prefix("/").unwrap_or(mount))
    }
}

/// What an entry is; none where it is not there.
fn stat(dir: &OwnedFd, name: &OsStr) -> Result<Option<Stat>, Errno> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Opens a directory in another; none where it is none any more.
fn open(dir: &OwnedFd, name: &OsStr) -> Result<Option<OwnedFd>, Errno> {
    match openat(dir, name, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(e) => Err(e),
    }
}

/// What is in either directory, last first; of what is in both the upper one counts.
fn entries(upper: &OwnedFd, lower: Option<&OwnedFd>, most: usize) -> Result<Entries, Refusal> {
    let mut found = Vec::new();
    for (dir, is_upper) in lower.map(|lower| (lower, false)).into_iter().chain([(upper, true)]) {
        list(dir, is_upper, most, &mut found)?;
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.dedup_by(|next, kept| next.0 == kept.0);
    Ok(found)
}

fn list(dir: &OwnedFd, is_upper: bool, most: usize, found: &mut Entries) -> Result<(), Refusal> {
    let unread = |e: Errno| Refusal::io("its entries", &e.into());
    for entry in Dir::read_from(dir).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        if found.len() >= most {
            return Err(Refusal::unsupported(format_args!("more than {ENTRIES_MAX} entries, with those above")));
        }
        if found.len().is_multiple_of(ENTRIES_A_LOOK) {
            memory::afford("a look at so many entries")?;
        }
        found.try_reserve(1).map_err(Refusal::out_of_memory)?;
        found.push((OsString::from_vec(name.to_vec()), is_upper));
    }
    Ok(())
}

fn is_opaque(dir: &OwnedFd) -> bool {
    let mut value = [0_u8; 1];
    fgetxattr(dir, OPAQUE, &mut value[..]).is_ok_and(|length| value[..length] == *b"y")
}

fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn differ(one: &Stat, other: &Stat) -> bool {
    (one.st_mode, one.st_uid, one.st_gid) != (other.st_mode, other.st_uid, other.st_gid)
}

fn mtime(stat: &Stat) -> (i64, i64) {
    (stat.st_mtime, stat.st_mtime_nsec as i64)
}

fn failed(path: &Path, error: Errno) -> Refusal {
    let shown = String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned();
    Refusal::io(format_args!("/{}", shown.trim_start_matches('/')), &error.into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn entries_of_both_are_known_once_and_within_a_bound() {
        let dir = std::env::temp_dir().join(format!("gantry-walk-{}", std::process::id()));
        for path in ["upper/b", "upper/c", "lower/a", "lower/b"] {
            fs::create_dir_all(dir.join(path)).unwrap();
        }
        let [upper, lower] = ["upper", "lower"].map(|name| fs::File::open(dir.join(name)).unwrap().into());
        let found = entries(&upper, Some(&lower), 4).unwrap();
        let named = [("c", true), ("b", true), ("a", false)].map(|(name, is_upper)| (name.into(), is_upper));
        assert_eq!(found, named);
        assert_eq!(entries(&upper, None, 2).unwrap().len(), 2);
        assert_eq!(entries(&upper, None, 1).unwrap_err().code(), crate::refusal::Code::Unsupported);
        fs::remove_dir_all(&dir).unwrap();
    }
}
