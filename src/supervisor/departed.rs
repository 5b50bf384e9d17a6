//! Containers that are gone: how they ended is told for a minute more, to those who ask late.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::container::View;
use crate::id::{ContainerId, Name};
use crate::memory;

/// How long the end of a container that is gone can be asked for.
const KEPT: Duration = Duration::from_secs(60);
/// How many are kept at most; more than go in a minute on any machine this is for.
const MOST: usize = 16_384;

/// The containers that went in the last minute, oldest first.
#[derive(Default)]
pub struct Departed(Rc<Kept<Arc<View>>>);

struct Kept<T> {
    entries: RefCell<VecDeque<(Instant, T)>>,
    /// They are being forgotten, each in its time.
    fades: Cell<bool>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { entries: RefCell::default(), fades: Cell::default() }
    }
}

impl Departed {
    /// Keeps the last picture of a container.
    pub fn add(&self, view: Arc<View>) {
        let mut views = self.0.entries.borrow_mut();
        if views.len() >= MOST {
            views.pop_front();
        }
        views.push_back((Instant::now(), view));
        if !self.0.fades.replace(true) {
            actix_rt::spawn(fade(self.0.clone(), KEPT));
        }
    }

    /// The last one of that pair, id or prefix.
    pub fn find(&self, text: &str) -> Option<Arc<View>> {
        let name = text.parse::<Name>().ok();
        let prefix = ContainerId::is_prefix(text).then_some(text);
        let matches =
            |view: &View| name.as_ref() == Some(&view.name) || prefix.is_some_and(|p| view.id.as_str().starts_with(p));
        let recent = |at: &Instant| at.elapsed() <= KEPT;
        let views = self.0.entries.borrow();
        views.iter().rev().find(|(at, view)| recent(at) && matches(view)).map(|(_, view)| view.clone())
    }
}

/// Forgets what is older than `age`, looking as often, until nothing is left.
async fn fade<T>(kept: Rc<Kept<T>>, age: Duration) {
    while !kept.entries.borrow().is_empty() {
        tokio::time::sleep(age).await;
        let mut entries = kept.entries.borrow_mut();
        entries.retain(|(at, _)| at.elapsed() < age);
        entries.shrink_to_fit();
        drop(entries);
        memory::see_off();
    }
    kept.fades.set(false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_is_forgotten_though_nothing_follows_it() {
        let kept = Rc::new(Kept::default());
        kept.fades.set(true);
        kept.entries.borrow_mut().extend((0..100).map(|n| (Instant::now(), n)));
        actix_rt::System::new().block_on(fade(kept.clone(), Duration::from_millis(10)));
        assert_eq!((kept.entries.borrow().capacity(), kept.fades.get()), (0, false));
    }
}
