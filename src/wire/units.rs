//! Values with units: sizes, durations, times.

use std::time::{Duration, SystemTime};

use crate::refusal::Refusal;

/// A size in bytes: a plain number, or one with `k`, `m` or `g` (powers of 1024).
pub fn size(text: &str) -> Result<u64, Refusal> {
    let wrong = || Refusal::bad_value(format_args!("{text}: a size is a number of bytes, or one with k, m or g"));
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    number(digits).and_then(|n: u64| n.checked_mul(unit)).ok_or_else(wrong)
}

/// A duration: a plain number of seconds, or one with `ms`, `s`, `m` or `h`.
pub fn duration(text: &str) -> Result<Duration, Refusal> {
    let wrong =
        || Refusal::bad_value(format_args!("{text}: a duration is a number of seconds, or one with ms, s, m or h"));
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let count: u64 = number(digits).ok_or_else(wrong)?;
    let millis = match unit {
        "ms" => Some(count),
        "" | "s" => count.checked_mul(1000),
        "m" => count.checked_mul(60_000),
        "h" => count.checked_mul(3_600_000),
        _ => None,
    };
    // Ten years: more than anyone waits, and far from where clocks overflow.
    const MOST: u64 = 10 * 365 * 24 * 3_600_000;
    millis.filter(|ms| *ms <= MOST).map(Duration::from_millis).ok_or_else(wrong)
}

/// A point in time: RFC 3339, or a duration before `now`; never one before 1970, where the clocks of boards without a
/// battery begin.
pub fn moment(text: &str, now: SystemTime) -> Result<SystemTime, Refusal> {
    if let Ok(ago) = duration(text) {
        return Ok(now.checked_sub(ago).map_or(SystemTime::UNIX_EPOCH, |then| then.max(SystemTime::UNIX_EPOCH)));
    }
    humantime::parse_rfc3339(text).map_err(|_| {
        Refusal::bad_value(format_args!(
            "{text}: a time is RFC 3339 in UTC (2026-01-31T12:00:00Z), or a duration ago (10m)"
        ))
    })
}

/// A number in plain decimal digits, without sign.
pub fn number<N: std::str::FromStr>(digits: &str) -> Option<N> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// `time` as RFC 3339 in UTC, to the millisecond.
pub fn rfc3339(time: SystemTime) -> String {
    // What lies before 1970 makes humantime (2.4) panic.
    humantime::format_rfc3339_millis(time.max(SystemTime::UNIX_EPOCH)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("64m").unwrap(), 64 << 20);
        assert_eq!(size("0").unwrap(), 0);
        for bad in ["", "m", "-1", "1.5g", "1t", "99999999999g", "+1", "1 k"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("10").unwrap(), Duration::from_secs(10));
        assert_eq!(duration("2m").unwrap(), Duration::from_secs(120));
        for bad in ["", "s", "-1", "1d", "1.5s", "99999999999999999999", "999999999h", "1é"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(moment("10s", now).unwrap(), now - Duration::from_secs(10));
        assert_eq!(rfc3339(moment("2026-01-31T12:00:00Z", now).unwrap()), "2026-01-31T12:00:00.000Z");
        assert!(moment("yesterday", now).is_err());
        let boot = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        assert_eq!(rfc3339(moment("10m", boot).unwrap()), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH - Duration::from_secs(5)), "1970-01-01T00:00:00.000Z");
    }
}
