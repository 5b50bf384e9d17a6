//! What clients have sent and is not carried out yet: bounded for all clients of a socket together, but for a little that
//! each may have. Nobody is held up by those who have sent half a line and leave it at that.

use std::cell::Cell;
use std::rc::Rc;

/// How much each may have sent whatever the others have, in bytes.
const EACH_LEAST: usize = 4 << 10;

/// What is held of all of a socket's clients.
pub struct Intake {
    held: Cell<usize>,
    most: usize,
}

impl Intake {
    /// One that holds `most` bytes, and beyond these a little of each client.
    pub fn new(most: usize) -> Self {
        Self { held: Cell::new(0), most }
    }
}

/// What is held of one client.
pub struct Share {
    intake: Rc<Intake>,
    held: usize,
}

impl Share {
    /// That of a client who has sent nothing yet.
    pub fn of(intake: Rc<Intake>) -> Self {
        Self { intake, held: 0 }
    }

    /// Notes how much it is now.
    pub fn set(&mut self, held: usize) {
        self.intake.held.set(self.intake.held.get() - self.held + held);
        self.held = held;
    }

    /// Whether there is no room for a client of whom `held` bytes are held.
    pub fn is_spent(&self, held: usize) -> bool {
        held > EACH_LEAST && self.intake.held.get() >= self.intake.most
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_sent_little_has_room_whatever_others_have_sent() {
        let intake = Rc::new(Intake::new(100_000));
        let (mut greedy, other) = (Share::of(intake.clone()), Share::of(intake.clone()));
        greedy.set(99_999);
        assert!(!greedy.is_spent(99_999));
        greedy.set(100_000);
        assert!(greedy.is_spent(100_000) && other.is_spent(EACH_LEAST + 1) && !other.is_spent(EACH_LEAST));
        drop(greedy);
        assert_eq!(intake.held.get(), 0);
        assert!(!other.is_spent(60_000));
    }
}
