//! Containers that are gone: how they ended is told for a minute more, to those who ask late.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::container::View;
use crate::id::{ContainerId, Name};

/// How long the end of a container that is gone can be asked for.
const KEPT: Duration = Duration::from_secs(60);
/// How many are kept at most; more than go in a minute on any machine this is for.
const MOST: usize = 16_384;

/// The containers that went in the last minute, oldest first.
#[derive(Default)]
pub struct Departed {
    views: VecDeque<(Instant, Arc<View>)>,
}

impl Departed {
    /// Keeps the last picture of a container.
    pub fn add(&mut self, view: Arc<View>) {
        let now = Instant::now();
        while self.views.len() >= MOST || self.views.front().is_some_and(|(at, _)| now.duration_since(*at) > KEPT) {
            self.views.pop_front();
        }
        self.views.push_back((now, view));
    }

    /// The last one of that pair, id or prefix.
    pub fn find(&self, text: &str) -> Option<Arc<View>> {
        let name = text.parse::<Name>().ok();
        let prefix = ContainerId::is_prefix(text).then_some(text);
        let matches =
            |view: &View| name.as_ref() == Some(&view.name) || prefix.is_some_and(|p| view.id.as_str().starts_with(p));
        let recent = |at: &Instant| at.elapsed() <= KEPT;
        self.views.iter().rev().find(|(at, view)| recent(at) && matches(view)).map(|(_, view)| view.clone())
    }
}
