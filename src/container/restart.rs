//! Restarts: which end of a run another one follows, and after how long. Pure.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::refusal::Refusal;
use crate::wire::units;

/// What happens when a container ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Nothing.
    #[default]
    No,
    /// It is started again where its exit status is not 0.
    OnFailure {
        /// How often at most, since it was last started by hand.
        most: Option<u32>,
    },
    /// It is started again.
    Always,
    /// The same: what tells the two apart elsewhere is a restart of the daemon, which no container outlives here.
    UnlessStopped,
}

impl FromStr for Policy {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let wrong = || {
            Refusal::bad_value(format_args!("{text:?} is none of no, on-failure, on-failure:N, always, unless-stopped"))
        };
        match text.split_once(':') {
            None => match text {
                "no" => Ok(Self::No),
                "on-failure" => Ok(Self::OnFailure { most: None }),
                "always" => Ok(Self::Always),
                "unless-stopped" => Ok(Self::UnlessStopped),
                _ => Err(wrong()),
            },
            // 0 is no bound, as with Docker.
            Some(("on-failure", most)) => units::number(most)
                .map(|most: u32| Self::OnFailure { most: (most > 0).then_some(most) })
                .ok_or_else(wrong),
            Some(_) => Err(wrong()),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::OnFailure { most: None } => f.write_str("on-failure"),
            Self::OnFailure { most: Some(most) } => write!(f, "on-failure:{most}"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
        }
    }
}

/// How long is waited before a restart. Docker's numbers where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Before the first.
    pub first: Duration,
    /// At most, however often it was doubled.
    pub most: Duration,
    /// A run of that length begins again with the first.
    pub steady: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(60), steady: Duration::from_secs(10) }
    }
}

/// The restarts of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restarts {
    policy: Policy,
    pace: Pace,
    /// How long was waited before the last, if there was one since the start by hand.
    waited: Option<Duration>,
    /// How many the policy has asked for since the start by hand.
    tried: u32,
}

impl Restarts {
    /// Restarts as `policy` wants them.
    pub fn new(policy: Policy, pace: Pace) -> Self {
        Self { policy, pace, ..Self::default() }
    }

    /// It was started by hand: what was before does not count.
    pub fn begin(&mut self) {
        (self.waited, self.tried) = (None, 0);
    }

    /// How long to wait before the next run, after one that took `ran`; none where there is to be no other.
    pub fn after(&mut self, failed: bool, ran: Duration) -> Option<Duration> {
        let wanted = match self.policy {
            Policy::No => false,
            Policy::OnFailure { most } => failed && most.is_none_or(|most| self.tried < most),
            Policy::Always | Policy::UnlessStopped => true,
        };
        wanted.then(|| self.next(ran))
    }

    /// The same after a restart that failed. One was wanted, by the policy or for the sake of its health.
    pub fn after_failed_start(&mut self) -> Option<Duration> {
        match self.policy {
            Policy::No => Some(self.next(Duration::ZERO)),
            _ => self.after(true, Duration::ZERO),
        }
    }

    /// The same where another run is wanted in any case.
    pub fn next(&mut self, ran: Duration) -> Duration {
        self.tried = self.tried.saturating_add(1);
        let wait = match self.waited {
            Some(waited) if ran < self.pace.steady => waited.saturating_mul(2).min(self.pace.most),
            _ => self.pace.first,
        };
        self.waited = Some(wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(9_999);
    const LONG: Duration = Duration::from_secs(10);

    fn restarts(policy: &str) -> Restarts {
        Restarts::new(policy.parse().unwrap(), Pace::default())
    }

    #[test]
    fn policies_read_and_show() {
        for text in ["no", "on-failure", "on-failure:3", "always", "unless-stopped"] {
            assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
        }
        assert_eq!("on-failure:0".parse::<Policy>().unwrap(), Policy::OnFailure { most: None });
        for bad in ["", "yes", "Always", "always:3", "on-failure:", "on-failure:-1", "on-failure:x"] {
            assert!(bad.parse::<Policy>().is_err(), "{bad}");
        }
    }

    #[test]
    fn each_wait_is_twice_the_last_up_to_a_minute() {
        let mut restarts = restarts("always");
        let waits: Vec<_> = (0..12).map(|_| restarts.after(false, SHORT).unwrap().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
        assert_eq!(restarts.after(true, LONG).unwrap().as_millis(), 100);
        assert_eq!(restarts.after(true, SHORT).unwrap().as_millis(), 200);
        restarts.begin();
        assert_eq!(restarts.after(true, SHORT).unwrap().as_millis(), 100);
    }

    #[test]
    fn what_ends_well_is_left_where_failures_count() {
        assert_eq!(restarts("no").after(true, SHORT), None);
        assert_eq!(restarts("on-failure").after(false, SHORT), None);
        let mut thrice = restarts("on-failure:3");
        let asked = (0..5).filter(|_| thrice.after(true, LONG).is_some()).count();
        assert_eq!(asked, 3, "a long run does not make them more");
        thrice.begin();
        assert!(thrice.after(true, SHORT).is_some());
    }

    #[test]
    fn a_restart_that_failed_is_tried_again() {
        assert!(restarts("no").after_failed_start().is_some(), "it was wanted for the sake of its health");
        let mut once = restarts("on-failure:1");
        assert!(once.after_failed_start().is_some() && once.after_failed_start().is_none());
    }
}
