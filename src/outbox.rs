//! What waits to be written to a client: bounded for each client and for all of them together.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::future::{Either, select};
use tokio::sync::Notify;

use crate::memory;
use crate::wire::reply::Line;

/// How much may wait for one client, in bytes; whoever writes more is held up.
const EACH_MAX: usize = 256 << 10;
/// How much may wait for each whatever waits for the others, in bytes: what is told line by line costs many times as much.
const EACH_LEAST: usize = 4 << 10;

/// What the outboxes of a socket's clients share.
pub struct Postage {
    waiting: Cell<usize>,
    most: usize,
    /// Somebody may be held up until there is room again.
    wanted: Cell<bool>,
    room: Notify,
}

impl Postage {
    /// One that lets `most` bytes wait for all clients together.
    pub fn new(most: usize) -> Self {
        Self { waiting: Cell::new(0), most, wanted: Cell::new(false), room: Notify::new() }
    }

    fn is_spent(&self) -> bool {
        self.waiting.get() >= self.most
    }

    /// Wakes those who are held up, once there is room worth it: they may be thousands, and each has to look.
    fn freed(&self, count: usize) {
        self.waiting.set(self.waiting.get().saturating_sub(count));
        if self.wanted.get() && self.waiting.get() <= self.most - self.most / 8 {
            self.wanted.set(false);
            self.room.notify_waiters();
        }
    }

    /// How many bytes wait for all clients together.
    pub fn waiting(&self) -> usize {
        self.waiting.get()
    }
}

/// The output of one client that is not written yet.
pub struct Outbox {
    bytes: RefCell<Vec<u8>>,
    /// Up to where `bytes` was written.
    written: Cell<usize>,
    /// Something found no memory and is not in it: its client is told nothing more.
    torn: Cell<bool>,
    /// How many bytes were read for it ahead.
    ahead: Cell<usize>,
    room: Notify,
    filled: Notify,
    postage: Rc<Postage>,
}

impl Outbox {
    /// An empty one.
    pub fn new(postage: Rc<Postage>) -> Self {
        let (bytes, written, torn, ahead) = (RefCell::default(), Cell::new(0), Cell::new(false), Cell::new(0));
        Self { bytes, written, torn, ahead, room: Notify::new(), filled: Notify::new(), postage }
    }

    /// Puts a line in, tagged where its request was, as soon as there is room.
    pub async fn send(&self, tag: Option<&str>, line: &Line) {
        while self.is_full() {
            self.freeing().await;
        }
        self.push(tag, line);
    }

    /// Waits until `count` bytes may be read that will be put in piece by piece: by one of those who write to this client
    /// whatever waits, lest nothing be told, and by others as far as there is room.
    pub async fn read_ahead(&self, count: usize) -> Ahead<'_> {
        while self.is_full() || (self.ahead.get() > 0 && !self.has_room_ahead(count)) {
            self.freeing().await;
        }
        self.ahead.set(self.ahead.get() + count);
        self.postage.waiting.set(self.postage.waiting.get() + count);
        Ahead { outbox: self, count }
    }

    fn has_room_ahead(&self, count: usize) -> bool {
        self.len() + self.ahead.get() + count <= EACH_MAX && !self.postage.is_spent() && !memory::is_short()
    }

    /// Waits until something was freed.
    async fn freeing(&self) {
        self.postage.wanted.set(true);
        let own = std::pin::pin!(self.room.notified());
        let all = std::pin::pin!(self.postage.room.notified());
        match select(own, all).await {
            Either::Left(_) | Either::Right(_) => {}
        }
    }

    /// Puts a line in, whatever waits: for what ends a reply, of which each request has one.
    pub fn push(&self, tag: Option<&str>, line: &Line) {
        match tag {
            Some(tag) => self.put(&[b"@", tag.as_bytes(), b" ", line.as_bytes()]),
            None => self.put(&[line.as_bytes()]),
        }
    }

    /// Puts bytes in that are no line, whatever waits.
    pub fn push_bytes(&self, bytes: &[u8]) {
        self.put(&[bytes]);
    }

    fn put(&self, pieces: &[&[u8]]) {
        let mut bytes = self.bytes.borrow_mut();
        let more = pieces.iter().map(|piece| piece.len()).sum();
        if self.torn.get() || bytes.try_reserve(more).is_err() {
            self.torn.set(true);
        } else {
            pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
            self.postage.waiting.set(self.postage.waiting.get() + more);
        }
        self.filled.notify_one();
    }

    /// Whether a writer would be held up. An empty one never holds anybody up: its client has read everything, and
    /// nothing but a line more could wake it. While memory is short, so is what waits.
    pub fn is_full(&self) -> bool {
        let len = self.len();
        len >= EACH_MAX || (len >= EACH_LEAST && self.postage.is_spent()) || (len > 0 && memory::is_short())
    }

    /// Whether the client has read half of what made it full, or more.
    pub fn is_relieved(&self) -> bool {
        !self.is_full() && self.len() <= EACH_MAX / 2
    }

    fn len(&self) -> usize {
        self.bytes.borrow().len() - self.written.get()
    }

    /// Whether nothing waits to be told, be it that no more can be told.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && !self.torn.get()
    }

    /// Wakes whoever waits for something to be put in, to look again at what else it goes by.
    pub fn wake(&self) {
        self.filled.notify_one();
    }

    /// Waits until something was put in.
    pub async fn filled(&self) {
        while self.is_empty() {
            self.filled.notified().await;
        }
    }

    /// Gives what waits to `write`, which says how much of it went. An error where a line found no memory: what came
    /// behind it would be taken for something else.
    pub fn drain(&self, write: impl FnOnce(&[u8]) -> std::io::Result<usize>) -> std::io::Result<()> {
        if self.torn.get() {
            return Err(std::io::ErrorKind::OutOfMemory.into());
        }
        let mut bytes = self.bytes.borrow_mut();
        let count = write(&bytes[self.written.get()..])?;
        self.written.set(self.written.get() + count);
        if self.written.get() == bytes.len() {
            self.written.set(0);
            // A burst's memory is given back; what a usual reply needs is kept.
            bytes.clear();
            bytes.shrink_to(4096);
        } else if self.written.get() >= EACH_LEAST && self.written.get() >= bytes.len() / 2 {
            // A reader who is always behind never empties it, and what was written counts for nobody: it goes as soon as no
            // more is to be moved than that.
            bytes.drain(..self.written.replace(0));
            let len = bytes.len();
            bytes.shrink_to(2 * len);
        }
        self.freed(count);
        Ok(())
    }

    fn freed(&self, count: usize) {
        self.room.notify_waiters();
        self.postage.freed(count);
    }
}

/// Bytes that were read for a client ahead, counted until this is dropped.
pub struct Ahead<'a> {
    outbox: &'a Outbox,
    count: usize,
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        self.outbox.ahead.set(self.outbox.ahead.get() - self.count);
        self.outbox.freed(self.count);
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.freed(self.len());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::task::{Context, Wake, Waker};

    use super::*;
    use futures::FutureExt;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Relaxed);
        }
    }

    #[test]
    fn whoever_writes_too_much_is_held_up_until_it_is_read() {
        let postage = Rc::new(Postage::new(1 << 30));
        let outbox = Outbox::new(postage.clone());
        let line = Line::text(&"x".repeat(1000));
        let mut sent = 0;
        while outbox.send(Some("t"), &line).now_or_never().is_some() {
            sent += 1;
        }
        assert!(sent >= EACH_MAX / 1010 && outbox.is_full());
        let mut held_up = Box::pin(outbox.send(None, &line));
        assert!((&mut held_up).now_or_never().is_none());
        outbox.drain(|bytes| Ok(bytes.len())).unwrap();
        assert!((&mut held_up).now_or_never().is_some());
        drop(held_up);
        assert_eq!(postage.waiting(), line.as_bytes().len());
        drop(outbox);
        assert_eq!(postage.waiting(), 0);
    }

    #[test]
    fn one_reads_ahead_whatever_waits_and_others_as_far_as_there_is_room() {
        const PIECE: usize = 64 << 10;
        let postage = Rc::new(Postage::new(6 * PIECE));
        let (greedy, other) = (Outbox::new(postage.clone()), Outbox::new(postage.clone()));
        let mut pieces: Vec<_> = std::iter::from_fn(|| greedy.read_ahead(PIECE).now_or_never()).collect();
        assert_eq!(pieces.len(), EACH_MAX / PIECE);
        let mut more = Box::pin(greedy.read_ahead(PIECE));
        assert!((&mut more).now_or_never().is_none());
        let others: Vec<_> = std::iter::from_fn(|| other.read_ahead(PIECE).now_or_never()).collect();
        assert_eq!(others.len(), 2, "all of it is spent");
        drop(others);
        assert!((&mut more).now_or_never().is_none(), "it has its part");
        pieces.pop();
        assert!((&mut more).now_or_never().is_some());
        drop((more, pieces));
        assert_eq!(postage.waiting(), 0);
    }

    #[test]
    fn who_is_held_up_for_others_is_woken_when_there_is_room_worth_it() {
        const MOST: usize = 64 << 10;
        let postage = Rc::new(Postage::new(MOST));
        let (greedy, other) = (Outbox::new(postage.clone()), Outbox::new(postage));
        greedy.push_bytes(&[0; MOST]);
        let line = Line::text(&"x".repeat(EACH_LEAST));
        assert!(other.send(None, &line).now_or_never().is_some(), "each has a little");
        let mut held_up = Box::pin(other.send(None, &line));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        assert!(held_up.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        greedy.drain(|_| Ok(MOST / 16)).unwrap();
        assert!(!woken.0.load(Relaxed), "so little is not worth it");
        greedy.drain(|_| Ok(MOST / 4)).unwrap();
        assert!(woken.0.load(Relaxed));
        assert!(held_up.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    }
}
