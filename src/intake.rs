//! What clients have sent and is not carried out yet: bounded for all clients of a socket together, but for a little that
//! each may have. Nobody is held up by those who have sent half a line and leave it at that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How much each may have sent whatever the others have, in bytes.
const EACH_LEAST: usize = 4 << 10;

/// What is held of all of a socket's clients. One thread's, but for what may be dropped by another.
pub struct Intake {
    held: AtomicUsize,
    most: usize,
}

impl Intake {
    /// One that holds `most` bytes, and beyond these a little of each client.
    pub fn new(most: usize) -> Self {
        Self { held: AtomicUsize::new(0), most }
    }
}

/// What is held of one client.
pub struct Share {
    intake: Arc<Intake>,
    held: AtomicUsize,
}

/// Some bytes of a client, held for as long as this is.
pub struct Load {
    share: Arc<Share>,
    count: usize,
}

impl Share {
    /// That of a client who has sent nothing yet.
    pub fn of(intake: Arc<Intake>) -> Self {
        Self { intake, held: AtomicUsize::new(0) }
    }

    /// Notes how much it is now.
    pub fn set(&self, held: usize) {
        self.intake.held.fetch_add(held, Relaxed);
        self.intake.held.fetch_sub(self.held.swap(held, Relaxed), Relaxed);
    }

    /// Takes `count` bytes more, if there is room for them.
    pub fn load(self: &Arc<Self>, count: usize) -> Option<Load> {
        (!self.is_spent(self.held.load(Relaxed) + count)).then(|| {
            self.held.fetch_add(count, Relaxed);
            self.intake.held.fetch_add(count, Relaxed);
            Load { share: self.clone(), count }
        })
    }

    /// Whether there is no room for a client of whom `held` bytes are held.
    pub fn is_spent(&self, held: usize) -> bool {
        held > EACH_LEAST && self.intake.held.load(Relaxed) >= self.intake.most
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.share.held.fetch_sub(self.count, Relaxed);
        self.share.intake.held.fetch_sub(self.count, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_loaded_counts_until_it_is_dropped() {
        let intake = Arc::new(Intake::new(100_000));
        let (greedy, other) = (Arc::new(Share::of(intake.clone())), Arc::new(Share::of(intake)));
        let loads: Vec<_> = std::iter::from_fn(|| greedy.load(60_000)).collect();
        assert_eq!(loads.len(), 2);
        let little = other.load(EACH_LEAST);
        assert!(little.is_some() && other.load(1).is_none());
        drop(loads);
        assert!(other.load(60_000).is_some());
    }

    #[test]
    fn who_has_sent_little_has_room_whatever_others_have_sent() {
        let intake = Arc::new(Intake::new(100_000));
        let (greedy, other) = (Share::of(intake.clone()), Share::of(intake.clone()));
        greedy.set(99_999);
        assert!(!greedy.is_spent(99_999));
        greedy.set(100_000);
        assert!(greedy.is_spent(100_000) && other.is_spent(EACH_LEAST + 1) && !other.is_spent(EACH_LEAST));
        drop(greedy);
        assert_eq!(intake.held.load(Relaxed), 0);
        assert!(!other.is_spent(60_000));
    }
}
