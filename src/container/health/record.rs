//! What is known of a container's health, and how each look at it changes that. Pure.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::check::Check;

/// How many looks are kept; Docker's number.
const KEPT: usize = 5;

/// How well a container is, while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Too early to tell.
    Starting,
    /// The last look found it well, or too few since then did not.
    Healthy,
    /// Too many looks in a row did not find it well.
    Unhealthy,
}

impl Status {
    /// As the wire spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One look at a container's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// The exit status, 0 being well; none where it took too long or could not be made.
    pub exit: Option<i32>,
    /// The beginning of what it wrote, or why there is none.
    pub output: String,
}

/// A container's health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// How well it is; none while it does not run.
    pub status: Option<Status>,
    /// How many looks in a row did not find it well.
    pub failing: u32,
    /// The last looks, oldest first, those of earlier runs too.
    pub looks: VecDeque<Arc<Look>>,
}

impl Health {
    /// A run begins.
    pub fn begin(&mut self) {
        (self.status, self.failing) = (Some(Status::Starting), 0);
    }

    /// The run has ended.
    pub fn end(&mut self) {
        (self.status, self.failing) = (None, 0);
    }

    /// Takes in a look that was begun so long after the start.
    pub fn take(&mut self, look: Look, since_start: Duration, check: &Check) {
        let is_well = look.exit == Some(0);
        while self.looks.len() >= KEPT {
            self.looks.pop_front();
        }
        self.looks.push_back(Arc::new(look));
        if is_well {
            (self.status, self.failing) = (Some(Status::Healthy), 0);
        } else if self.status != Some(Status::Starting) || since_start >= check.start_period {
            self.failing = self.failing.saturating_add(1);
            if self.failing >= check.retries {
                self.status = Some(Status::Unhealthy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn health(start_period: Duration, looks: &[(i32, u32)]) -> Health {
        let check =
            Check { argv: Vec::new(), interval: SECOND, timeout: SECOND, retries: 3, start_period, restart: false };
        let mut health = Health::default();
        health.begin();
        for (exit, at) in looks {
            let now = SystemTime::UNIX_EPOCH;
            let look = Look { start: now, end: now, exit: Some(*exit), output: String::new() };
            health.take(look, SECOND * *at, &check);
        }
        health
    }

    #[test]
    fn so_many_failures_in_a_row_make_it_unhealthy() {
        assert_eq!(health(Duration::ZERO, &[]).status, Some(Status::Starting));
        assert_eq!(health(Duration::ZERO, &[(1, 1), (1, 2)]).status, Some(Status::Starting));
        assert_eq!(health(Duration::ZERO, &[(1, 1), (2, 2), (1, 3)]).status, Some(Status::Unhealthy));
        let mended = health(Duration::ZERO, &[(1, 1), (1, 2), (1, 3), (0, 4)]);
        assert_eq!((mended.status, mended.failing), (Some(Status::Healthy), 0));
        let stumbled = health(Duration::ZERO, &[(0, 1), (1, 2), (1, 3), (0, 4), (1, 5)]);
        assert_eq!((stumbled.status, stumbled.failing), (Some(Status::Healthy), 1));
    }

    #[test]
    fn failures_of_the_start_do_not_count() {
        let period = SECOND * 10;
        assert_eq!(health(period, &[(1, 1), (1, 2), (1, 3), (1, 4), (1, 10), (1, 11)]).failing, 2);
        // One that was well has started.
        assert_eq!(health(period, &[(0, 1), (1, 2), (1, 3), (1, 4)]).status, Some(Status::Unhealthy));
    }

    #[test]
    fn the_last_five_are_kept() {
        let health = health(Duration::ZERO, &[(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7)]);
        let kept: Vec<_> = health.looks.iter().filter_map(|look| look.exit).collect();
        assert_eq!(kept, [3, 4, 5, 6, 7]);
    }
}
