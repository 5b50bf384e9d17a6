//! How far a copy is, for whoever watches, and what ends one that does not go on: a file system may wait for a server,
//! a process or a person, and a thread that waits for it cannot be ended from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use crate::refusal::Refusal;

/// How long a copy may stand still. Docker waits for ever; a disk that answers at all answers sooner.
const PATIENCE: Duration = Duration::from_secs(30);

/// A copy's progress.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    steps: AtomicU64,
    given_up: AtomicBool,
}

impl Progress {
    /// Bytes copied so far.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// The copy goes on, by so many bytes; `ECANCELED` where nobody waits for it any more.
    pub(super) fn step(&self, bytes: u64) -> Result<(), Errno> {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.steps.fetch_add(1, Ordering::Relaxed);
        if self.0.given_up.load(Ordering::Relaxed) { Err(Errno::CANCELED) } else { Ok(()) }
    }

    /// Comes back when the copy has stood still for too long, and has it end as soon as it can.
    pub(super) async fn stall(&self) -> Refusal {
        self.stand(PATIENCE).await;
        Refusal::timeout(format_args!(
            "nothing was copied for {PATIENCE:?}: a file or its file system does not answer; what was copied stays"
        ))
    }

    async fn stand(&self, patience: Duration) {
        let mut before = None;
        loop {
            let now = Some(self.0.steps.load(Ordering::Relaxed));
            if now == before {
                break;
            }
            before = now;
            tokio::time::sleep(patience).await;
        }
        self.0.given_up.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_stands_still_is_given_up() {
        let progress = Progress::default();
        progress.step(7).unwrap();
        actix_rt::System::new().block_on(progress.stand(Duration::from_millis(1)));
        assert_eq!((progress.bytes(), progress.step(1)), (7, Err(Errno::CANCELED)));
    }
}
