//! The journal: what was made on the host, written down before it is made, so that whoever comes after a crash can
//! undo it. One file per container and one for the daemon, in the run directory; a line a step, newest last.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::refusal::Refusal;
use crate::wire::words;

/// A thing on the host that somebody must take away again. Undoing one that is not there (any more) is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A sysctl that was changed: the file under `/proc/sys`, and what it held before.
    Sysctl {
        /// Its file.
        path: PathBuf,
        /// What to write back.
        value: String,
    },
    /// A network link in the daemon's network namespace.
    Link {
        /// Its name.
        name: String,
    },
    /// An nft table of the `inet` family.
    Table {
        /// Its name.
        name: String,
    },
    /// A container's place on the network: its address, namespace and published ports. They die with the daemon; the
    /// link's leftover is swept by its name.
    Attachment {
        /// The container's id.
        id: String,
    },
    /// A process, told from a later one of the same pid by its start time.
    Process {
        /// Its pid.
        pid: i32,
        /// Field 22 of `/proc/PID/stat`: clock ticks since boot.
        start: u64,
    },
    /// A container that crun knows.
    Runtime {
        /// The id crun knows it by.
        id: String,
    },
    /// A cgroup in every hierarchy.
    Cgroup {
        /// Its path from a hierarchy's root.
        path: String,
    },
    /// A mount in the daemon's mount namespace.
    Mount {
        /// Where.
        path: PathBuf,
    },
    /// A file, or a directory and all within.
    Tree {
        /// Where.
        path: PathBuf,
    },
}

impl Step {
    fn words(&self) -> (&'static str, Vec<Vec<u8>>) {
        let path = |path: &Path| path.as_os_str().as_bytes().to_vec();
        match self {
            Self::Sysctl { path: at, value } => ("sysctl", vec![path(at), value.clone().into()]),
            Self::Link { name } => ("link", vec![name.clone().into()]),
            Self::Table { name } => ("table", vec![name.clone().into()]),
            Self::Attachment { id } => ("attachment", vec![id.clone().into()]),
            Self::Process { pid, start } => ("process", vec![pid.to_string().into(), start.to_string().into()]),
            Self::Runtime { id } => ("runtime", vec![id.clone().into()]),
            Self::Cgroup { path } => ("cgroup", vec![path.clone().into()]),
            Self::Mount { path: at } => ("mount", vec![path(at)]),
            Self::Tree { path: at } => ("tree", vec![path(at)]),
        }
    }

    fn to_line(&self) -> Vec<u8> {
        let (kind, values) = self.words();
        let mut line = kind.as_bytes().to_vec();
        for value in values {
            line.push(b' ');
            words::quote_into(&mut line, &value);
        }
        line.push(b'\n');
        line
    }

    /// Reads one line; a torn or unknown one is none.
    fn from_line(line: &[u8]) -> Option<Self> {
        let mut words = words::split(line).ok()?.into_iter();
        let kind = words.next()?;
        let mut next = || words.next();
        let text = |word: Option<Vec<u8>>| String::from_utf8(word?).ok();
        let path = |word: Option<Vec<u8>>| Some(PathBuf::from(std::ffi::OsString::from_vec(word?)));
        Some(match kind.as_slice() {
            b"sysctl" => Self::Sysctl { path: path(next())?, value: text(next())? },
            b"link" => Self::Link { name: text(next())? },
            b"table" => Self::Table { name: text(next())? },
            b"attachment" => Self::Attachment { id: text(next())? },
            b"process" => Self::Process { pid: text(next())?.parse().ok()?, start: text(next())?.parse().ok()? },
            b"runtime" => Self::Runtime { id: text(next())? },
            b"cgroup" => Self::Cgroup { path: text(next())? },
            b"mount" => Self::Mount { path: path(next())? },
            b"tree" => Self::Tree { path: path(next())? },
            _ => return None,
        })
    }
}

/// The open journal of one container, or of the daemon.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    /// The steps on record, and where each one's line starts.
    steps: Vec<(u64, Step)>,
    end: u64,
}

impl Journal {
    /// A new, empty journal at `path`.
    pub fn create(path: &Path) -> Result<Self, Refusal> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|e| Refusal::io(path.display(), &e))?;
        Ok(Self { file, path: path.to_owned(), steps: Vec::new(), end: 0 })
    }

    /// The steps that the journal at `path` holds, oldest first. A last line that a crash tore is left out: what it
    /// was to say had not been begun.
    pub fn read(path: &Path) -> Result<Vec<Step>, Refusal> {
        let bytes = std::fs::read(path).map_err(|e| Refusal::io(path.display(), &e))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        Ok(bytes[..whole].split(|byte| *byte == b'\n').filter_map(Step::from_line).collect())
    }

    /// Writes a step down. Call it before the step's thing is made. Not synced: a machine that loses power loses the
    /// things too.
    pub fn record(&mut self, step: Step) -> Result<(), Refusal> {
        let line = step.to_line();
        if let Err(e) = self.file.write_all(&line) {
            // What went of it would spoil the next line.
            self.cut();
            return Err(Refusal::io(self.path.display(), &e));
        }
        self.steps.push((self.end, step));
        self.end += line.len() as u64;
        Ok(())
    }

    /// How many steps are on record: a mark to undo back to.
    pub fn mark(&self) -> usize {
        self.steps.len()
    }

    /// Takes the steps behind `mark` off the record and gives them back, newest first. The file keeps them until
    /// [`Journal::settle`] says that they were undone.
    pub fn take_back(&mut self, mark: usize) -> Vec<Step> {
        let taken = self.steps.split_off(mark.min(self.steps.len()));
        if let Some((start, _)) = taken.first() {
            self.end = *start;
        }
        taken.into_iter().rev().map(|(_, step)| step).collect()
    }

    /// Cuts the file to what is on record, and puts back there what could not be undone (newest first). An error leaves
    /// steps in the file whose undoing finds nothing to do.
    pub fn settle(&mut self, failed: Vec<Step>) {
        self.cut();
        for step in failed.into_iter().rev() {
            if let Err(refusal) = self.record(step) {
                log::warn!("{refusal}");
            }
        }
    }

    /// Cuts the file to what is on record.
    fn cut(&mut self) {
        let cut = self.file.set_len(self.end).and_then(|()| self.file.seek(SeekFrom::Start(self.end)).map(drop));
        if let Err(e) = cut {
            log::warn!("{}: {e}", self.path.display());
        }
    }

    /// Strikes one step that was undone by itself, not in its turn. The file is replaced whole; where it cannot be, it keeps
    /// a step whose undoing finds nothing to do.
    pub fn forget(&mut self, step: &Step) {
        let Some(at) = self.steps.iter().position(|(_, known)| known == step) else { return };
        let steps = self.steps.iter().enumerate().filter(|(nth, _)| *nth != at).map(|(_, (_, step))| step.clone());
        let steps: Vec<Step> = steps.collect();
        if let Err(refusal) = self.replace(steps) {
            log::warn!("{refusal}");
        }
    }

    fn replace(&mut self, steps: Vec<Step>) -> Result<(), Refusal> {
        let mut new = Self::create(&self.successor())?;
        for step in steps {
            new.record(step)?;
        }
        std::fs::rename(&new.path, &self.path).map_err(|e| Refusal::io(self.path.display(), &e))?;
        *self = Self { path: std::mem::take(&mut self.path), ..new };
        Ok(())
    }

    /// Where the file that replaces it is written.
    fn successor(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        name.into()
    }

    /// Removes the journal: nothing is left to undo.
    pub fn remove(&self) {
        if let Err(e) = std::fs::remove_file(&self.path) {
            log::warn!("{}: {e}", self.path.display());
        }
        // A run that was killed just then may have left one.
        let _ = std::fs::remove_file(self.successor());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_read_back_and_are_taken_newest_first() {
        let path = std::env::temp_dir().join(format!("gantry-journal-{}", std::process::id()));
        let steps = [
            Step::Tree { path: "/a b".into() },
            Step::Process { pid: 7, start: 99 },
            Step::Sysctl { path: "/proc/sys/x".into(), value: String::new() },
        ];
        let mut journal = Journal::create(&path).unwrap();
        for step in &steps {
            journal.record(step.clone()).unwrap();
        }
        assert_eq!(Journal::read(&path).unwrap(), steps);
        assert_eq!(journal.take_back(1), [steps[2].clone(), steps[1].clone()]);
        assert_eq!(Journal::read(&path).unwrap().len(), 3);
        journal.settle(vec![steps[1].clone()]);
        assert_eq!(Journal::read(&path).unwrap(), steps[..2], "what could not be undone stays on record");
        journal.record(steps[2].clone()).unwrap();
        journal.forget(&steps[1]);
        journal.forget(&steps[1]);
        journal.record(steps[1].clone()).unwrap();
        let now = [steps[0].clone(), steps[2].clone(), steps[1].clone()];
        assert_eq!(Journal::read(&path).unwrap(), now, "one is struck, and it goes on behind the rest");
        std::fs::write(&path, b"tree /x\ntree /y/z").unwrap();
        assert_eq!(Journal::read(&path).unwrap(), [Step::Tree { path: "/x".into() }]);
        journal.remove();
        assert!(!path.exists());
    }
    #[test]
    fn a_line_for_which_there_is_no_room_leaves_nothing() {
        use std::os::fd::AsRawFd;

        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
        const ROOM: usize = 4096;
        let file = File::from(memfd_create("journal", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap());
        let mut journal = Journal::create(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd()))).unwrap();
        // Written to its length, and no further: a page's worth of the last line goes.
        file.set_len(ROOM as u64).unwrap();
        fcntl_add_seals(&file, SealFlags::GROW).unwrap();
        let long = "x".repeat(ROOM - 20);
        journal.record(Step::Link { name: long.clone() }).unwrap();
        let end = journal.end;
        journal.record(Step::Link { name: long }).unwrap_err();
        assert_eq!((file.metadata().unwrap().len(), journal.mark()), (end, 1));
    }
}
