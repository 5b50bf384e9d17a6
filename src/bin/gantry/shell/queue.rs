//! What has come and is not shown yet: one queue, emptied by whoever has the terminal.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many lines may wait; whoever brings more waits, and with it the daemon.
const LINES_MAX: usize = 1024;

/// What happened on a connection, or at the keyboard.
#[derive(Debug, PartialEq, Eq)]
pub enum Note {
    /// A line came.
    Line(Vec<u8>),
    /// Nothing more comes.
    Closed,
    /// Ctrl-C.
    Interrupted,
}

#[derive(Default)]
struct State {
    notes: VecDeque<Note>,
    /// Which connection is listened to: what others bring is dropped.
    connection: usize,
    is_interrupted: bool,
    is_at_prompt: bool,
}

/// The queue. While a line is typed the printer empties it, else whoever waits for the reply.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    /// Listens to another connection from here on: gives its number.
    pub fn next_connection(&self) -> usize {
        let mut state = self.lock();
        state.notes.clear();
        state.connection += 1;
        self.changed.notify_all();
        state.connection
    }

    /// Brings something of a connection; `false` where nobody listens to that any more.
    pub fn put(&self, connection: usize, note: Note) -> bool {
        let mut state = self.lock();
        while state.connection == connection && state.notes.len() >= LINES_MAX {
            state = self.wait(state);
        }
        let is_heard = state.connection == connection;
        if is_heard {
            state.notes.push_back(note);
            self.changed.notify_all();
        }
        is_heard
    }

    /// Tells that Ctrl-C was pressed.
    pub fn interrupt(&self) {
        self.lock().is_interrupted = true;
        self.changed.notify_all();
    }

    /// Tells whether a line is being typed. What was pressed before it is over.
    pub fn at_prompt(&self, is_at_prompt: bool) {
        let mut state = self.lock();
        state.is_at_prompt = is_at_prompt;
        state.is_interrupted = false;
        self.changed.notify_all();
    }

    /// The next that happens, for whoever waits for a reply.
    pub fn take(&self) -> Note {
        let mut state = self.lock();
        loop {
            if std::mem::take(&mut state.is_interrupted) {
                return Note::Interrupted;
            }
            if let Some(note) = state.notes.pop_front() {
                self.changed.notify_all();
                return note;
            }
            state = self.wait(state);
        }
    }

    /// A line that waits already, if the next that happened is one.
    pub fn take_waiting(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        let line = pop_line(&mut state);
        self.changed.notify_all();
        line
    }

    /// The next line that comes while one is being typed, LF included; none where the daemon has closed meanwhile.
    pub fn take_at_prompt(&self) -> Option<String> {
        let mut state = self.lock();
        loop {
            if state.is_at_prompt && state.notes.front() == Some(&Note::Closed) {
                return None;
            }
            let line = if state.is_at_prompt { pop_line(&mut state) } else { None };
            if let Some(line) = line {
                self.changed.notify_all();
                return Some(String::from_utf8_lossy(&line).into_owned() + "\n");
            }
            state = self.wait(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

fn pop_line(state: &mut State) -> Option<Vec<u8>> {
    match state.notes.pop_front() {
        Some(Note::Line(line)) => Some(line),
        Some(other) => {
            state.notes.push_front(other);
            None
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Note {
        Note::Line(text.as_bytes().to_vec())
    }

    #[test]
    fn who_has_the_terminal_takes_what_comes() {
        let queue = Queue::default();
        let first = queue.next_connection();
        assert!(queue.put(first, line("a")) && queue.put(first, line("b")) && queue.put(first, Note::Closed));
        assert_eq!(queue.take(), line("a"));
        queue.at_prompt(true);
        assert_eq!(queue.take_at_prompt().as_deref(), Some("b\n"));
        assert_eq!(queue.take_at_prompt(), None);
        assert_eq!(queue.take_waiting(), None);
    }

    #[test]
    fn a_connection_that_was_given_up_is_not_heard() {
        let queue = Queue::default();
        let first = queue.next_connection();
        assert!(queue.put(first, line("a")));
        queue.interrupt();
        assert_eq!(queue.take(), Note::Interrupted);
        let second = queue.next_connection();
        assert!(!queue.put(first, line("late")));
        assert!(queue.put(second, line("new")));
        assert_eq!(queue.take(), line("new"));
    }
}
