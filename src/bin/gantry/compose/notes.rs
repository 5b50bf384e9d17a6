//! What the threads of a command tell the one that writes: what was done, what containers wrote, and that it is over.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::failure::Failure;
use crate::flag::Pair;

/// How many notes may wait to be written: whoever writes more waits, and so, in the end, does the container.
const WAITING_MAX: usize = 256;

/// One thing to tell.
pub enum Note {
    /// Something was done.
    Said(String),
    /// A container runs: it may be followed.
    Runs {
        /// Its name.
        name: String,
        /// What it is called before its lines.
        shown: String,
        /// Options of `logs` that leave out what it had written before.
        from: Vec<Pair>,
    },
    /// Somebody has started a container again.
    Again {
        /// Its name.
        name: String,
    },
    /// A container wrote a line.
    Line {
        /// What it is called before its lines.
        shown: String,
        /// 0 for standard output, 1 for standard error.
        stream: usize,
        /// The line without its LF.
        text: Vec<u8>,
    },
    /// What a container wrote is told to its end.
    Ended {
        /// What it is called before its lines.
        shown: String,
        /// Its exit status, where it has one.
        exit: String,
        /// The option of `logs` that leaves out all of it.
        behind: Pair,
    },
    /// What was to be done is done, or could not be.
    Done(Result<(), Failure>),
    /// All containers were told to stop.
    Stopped(Result<(), Failure>),
    /// Whoever sits before it wants an end.
    Interrupted,
}

/// Where threads tell.
pub type Teller = SyncSender<Note>;

/// Both ends.
pub fn channel() -> (Teller, Receiver<Note>) {
    sync_channel(WAITING_MAX)
}

/// Tells that something was done. Where nobody listens any more, nobody wants to know.
pub fn say(teller: &Teller, what: impl Into<String>) {
    let _ = teller.send(Note::Said(what.into()));
}
