//! Options of how long a container lives: whether it starts again by itself, and what tells whether it is healthy.

use std::time::Duration;

use super::super::{Args, Refusal};
use crate::container::health::check::{LONGEST, SHORTEST, Wishes};
use crate::container::restart::Policy;
use crate::wire::units;

/// More failures than this are waited for by nobody.
const RETRIES_MAX: u32 = 1000;

/// `restart=`, beside `rm=` and `health-restart=`: what is removed at its end cannot start again.
pub fn restart(args: &mut Args, rm: bool, health: &Wishes) -> Result<Policy, Refusal> {
    let policy = args.value("restart", str::parse::<Policy>)?.unwrap_or_default();
    if rm && policy != Policy::No {
        return Err(Refusal::bad_option(format_args!(
            "restart={policy} and rm=yes contradict each other: what is removed when it ends cannot be restarted"
        )));
    }
    if rm && health.restart {
        return Err(Refusal::bad_option("health-restart=yes and rm=yes contradict each other"));
    }
    Ok(policy)
}

/// Every `health-…=`.
pub fn health(args: &mut Args) -> Result<Wishes, Refusal> {
    Ok(Wishes {
        command: args.value("health-cmd", command)?,
        interval: args.value("health-interval", time)?,
        timeout: args.value("health-timeout", time)?,
        retries: args.value("health-retries", retries)?,
        start_period: args.value("health-start-period", period)?,
        restart: args.flag("health-restart")?,
    })
}

fn command(text: &str) -> Result<String, Refusal> {
    match text.trim() {
        "" => Err(Refusal::bad_value("a command for the shell, or none for no check")),
        _ => Ok(text.to_owned()),
    }
}

fn time(text: &str) -> Result<Duration, Refusal> {
    let time = units::duration(text)?;
    let wrong = || Refusal::bad_value(format_args!("{text}: from 100ms to 24h"));
    Some(time).filter(|time| (SHORTEST..=LONGEST).contains(time)).ok_or_else(wrong)
}

fn period(text: &str) -> Result<Duration, Refusal> {
    let time = units::duration(text)?;
    Some(time).filter(|time| *time <= LONGEST).ok_or_else(|| Refusal::bad_value(format_args!("{text}: at most 24h")))
}

fn retries(text: &str) -> Result<u32, Refusal> {
    let count = units::number(text).filter(|n| (1..=RETRIES_MAX).contains(n));
    count.ok_or_else(|| Refusal::bad_value(format_args!("{text:?} is not a number from 1 to {RETRIES_MAX}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_never_end_or_never_rest_is_refused() {
        assert!(time("100ms").is_ok() && time("24h").is_ok() && period("0").is_ok());
        assert!(time("99ms").is_err() && time("25h").is_err() && time("0").is_err() && period("25h").is_err());
        assert!(retries("1").is_ok() && retries("0").is_err() && retries("1001").is_err() && retries("x").is_err());
        assert!(command("none").is_ok() && command(" ").is_err());
    }
}
