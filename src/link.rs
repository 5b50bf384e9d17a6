//! How an actor's death is noticed: a guard that it holds, dropped with it.
//!
//! actix's own `Supervisor` does not see a panic; dropping the actor is the one thing that always happens.

use actix::prelude::*;

/// Told to whoever keeps an actor when that actor is gone.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[rtype(result = "()")]
pub struct Died<Who: Send + 'static> {
    /// Which actor.
    pub who: Who,
    /// It panicked, rather than ended.
    pub panicked: bool,
}

/// Held by an actor for its life; its drop is the death notice.
pub struct DeathGuard<Who: Send + Clone + 'static> {
    who: Who,
    keeper: Recipient<Died<Who>>,
}

impl<Who: Send + Clone + 'static> DeathGuard<Who> {
    /// A guard that tells `keeper` of the end of `who`.
    pub fn new(who: Who, keeper: Recipient<Died<Who>>) -> Self {
        Self { who, keeper }
    }
}

impl<Who: Send + Clone + 'static> Drop for DeathGuard<Who> {
    fn drop(&mut self) {
        self.keeper.do_send(Died { who: self.who.clone(), panicked: std::thread::panicking() });
    }
}
