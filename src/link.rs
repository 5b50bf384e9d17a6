//! How an actor's death is noticed, how many are too many, and where its successor is found.
//!
//! actix's own `Supervisor` does not see a panic; dropping the actor is the one thing that always happens.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// So many deaths within [`WITHIN`] are borne; the next one is one too many.
pub const MOST: usize = 5;
/// How long a death counts.
pub const WITHIN: Duration = Duration::from_secs(60);
/// How long the successor of one who is one too many keeps out of it, where there must be one.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a successor is waited for: it may look at the host first.
const SUCCESSION: Duration = Duration::from_secs(30);

/// Held by an actor for its life; its drop is the death notice.
pub struct DeathGuard(Option<Box<dyn FnOnce(bool)>>);

impl DeathGuard {
    /// A guard that calls `tell` at the end, with whether that was a panic. It must not panic itself.
    pub fn new(tell: impl FnOnce(bool) + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }
}

impl Drop for DeathGuard {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell(std::thread::panicking());
        }
    }
}

/// The deaths of one actor and its predecessors.
#[derive(Debug, Default)]
pub struct Deaths(VecDeque<Instant>);

impl Deaths {
    /// Notes one. True where it is one too many, and there is to be no successor like the others.
    pub fn is_too_many(&mut self, now: Instant) -> bool {
        self.0.retain(|at| now.duration_since(*at) < WITHIN);
        self.0.push_back(now);
        self.0.len() > MOST
    }
}

/// Where an actor is found, and its successor when it has died.
pub struct Post<A: Actor>(watch::Receiver<Addr<A>>);

impl<A: Actor> fmt::Debug for Post<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Post")
    }
}

impl<A: Actor> Clone for Post<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Actor<Context = Context<A>>> Post<A> {
    /// The post of `first`, and where its successors are entered.
    pub fn of(first: Addr<A>) -> (watch::Sender<Addr<A>>, Self) {
        let (office, post) = watch::channel(first);
        (office, Self(post))
    }

    /// Whoever has the post now.
    pub fn holder(&self) -> Addr<A> {
        self.0.borrow().clone()
    }

    /// Asks whoever has the post. Where that one dies of it, or has died before, this is told when there is a successor, so
    /// that whoever tries again has an answer.
    pub async fn send<M>(&self, message: M) -> Result<M::Result, Unanswered>
    where
        M: Message<Result: Send> + Send + 'static,
        A: Handler<M>,
    {
        let mut post = self.0.clone();
        let holder = post.borrow_and_update().clone();
        // Nobody asks for a timeout, so that an error is the end of the one asked.
        if let Ok(answer) = holder.send(message).await {
            return Ok(answer);
        }
        match timeout(SUCCESSION, post.changed()).await {
            Ok(Err(_)) => Err(Unanswered::Ended),
            _ => Err(Unanswered::Died),
        }
    }

    /// The same for what may be asked twice: where the one asked dies, its successor is asked.
    pub async fn send_surely<M>(&self, message: M) -> Result<M::Result, Unanswered>
    where
        M: Message<Result: Send> + Clone + Send + 'static,
        A: Handler<M>,
    {
        // So many deaths are borne, and behind one more there is a last one.
        for _ in 0..=MOST + 1 {
            match self.send(message.clone()).await {
                Err(Unanswered::Died) => {}
                other => return other,
            }
        }
        Err(Unanswered::Died)
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The actor panicked.
    Died,
    /// It has ended, and has no successor.
    Ended,
}

/// What an actor that panicked leaves to its successor.
pub struct Fall<A> {
    /// What goes on.
    next: A,
    /// Where the next fall is told. The last of them is dropped when an actor ends in peace.
    teller: Teller<A>,
}

/// Where falls are told.
pub type Teller<A> = mpsc::UnboundedSender<Fall<A>>;

/// Tells of a fall, from the drop of whoever fell.
pub fn fall<A>(teller: &Teller<A>, next: A) {
    let again = teller.clone();
    // An error means that the daemon leaves.
    let _ = teller.send(Fall { next, teller: again });
}

/// Gives an actor that there must always be a successor each time that it has fallen: what it left is handed to `revive`.
pub async fn succeed<A: Actor>(
    mut falls: mpsc::UnboundedReceiver<Fall<A>>,
    office: watch::Sender<Addr<A>>,
    mut revive: impl AsyncFnMut(A, Teller<A>) -> Addr<A>,
) {
    let mut deaths = Deaths::default();
    while let Some(Fall { next, teller }) = falls.recv().await {
        if deaths.is_too_many(Instant::now()) {
            log::error!("an actor panics again and again; its successor comes in {PAUSE:?}");
            tokio::time::sleep(PAUSE).await;
        }
        office.send_replace(revive(next, teller).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_deaths_within_so_long_are_borne() {
        let (mut deaths, begin) = (Deaths::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert!((0..MOST as u64).all(|second| !deaths.is_too_many(at(second))));
        assert!(deaths.is_too_many(at(59)));
        // The first two count no longer.
        assert!(!deaths.is_too_many(at(61)));
        assert!(deaths.is_too_many(at(61)));
        assert!(!deaths.is_too_many(at(200)));
    }
}
