//! Turns: whoever waits for each answer has one at once; those who ask on and on have theirs one after another, so that
//! however many they are, no more than one of them stands between anyone else and the daemon's thread.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Within so long all that stand in line are to have theirs, as far as the least that is one allows.
const ROUND: Duration = Duration::from_millis(20);
/// How long a turn is, as fewer or more stand in line.
const MOST: Duration = Duration::from_micros(200);
const LEAST: Duration = Duration::from_micros(50);

/// Those of all sessions.
pub struct Turns {
    line: Semaphore,
    waiting: Cell<u32>,
}

/// One session's: it takes lines until it is over.
pub struct Turn<'a> {
    end: Instant,
    _place: Option<SemaphorePermit<'a>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { line: Semaphore::const_new(1), waiting: Cell::new(0) }
    }
}

impl Turns {
    /// The turn of a session, which stands in line where its last one ended before all was done that it had asked.
    pub async fn take(&self, is_behind: bool) -> Turn<'_> {
        if !is_behind {
            // They may be many at the same moment, and nothing keeps them apart.
            return Turn { end: Instant::now() + LEAST, _place: None };
        }
        let place = self.stand_in_line().await;
        Turn { end: Instant::now() + length(self.waiting.get()), _place: place }
    }

    async fn stand_in_line(&self) -> Option<SemaphorePermit<'_>> {
        let _waiting = Waiting::among(&self.waiting);
        // It is never closed.
        self.line.acquire().await.ok()
    }
}

impl Turn<'_> {
    /// Whether it is others' turn.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }
}

/// How long a turn is while so many wait for theirs.
fn length(waiting: u32) -> Duration {
    (ROUND / (waiting + 1)).clamp(LEAST, MOST)
}

/// One more that waits, for as long as it does.
struct Waiting<'a>(&'a Cell<u32>);

impl<'a> Waiting<'a> {
    fn among(all: &'a Cell<u32>) -> Self {
        all.set(all.get() + 1);
        Self(all)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn those_who_are_behind_stand_in_line_and_others_pass() {
        let turns = Turns::default();
        let first = turns.take(true).now_or_never().unwrap();
        let (mut second, mut third) = (Box::pin(turns.take(true)), Box::pin(turns.take(true)));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        assert!(turns.take(false).now_or_never().is_some());
        drop(first);
        assert!((&mut third).now_or_never().is_none(), "they keep their order");
        drop((&mut second).now_or_never().unwrap());
        drop(third);
        assert_eq!((turns.waiting.get(), turns.line.available_permits()), (0, 1));
    }

    #[tokio::test]
    async fn the_more_stand_in_line_the_shorter_is_a_turn() {
        let lengths = [0, 199, 5000].map(length);
        assert_eq!(lengths, [MOST, Duration::from_micros(100), LEAST]);
        let turns = Turns::default();
        let turn = turns.take(true).await;
        tokio::time::sleep(MOST).await;
        assert!(turn.is_over());
    }
}
