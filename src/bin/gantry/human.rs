//! Numbers and times as a person reads them, in docker's words.

use std::time::{Duration, SystemTime};

use gantry::wire::units;

/// A duration in one unit: `Less than a second`, `42 seconds`, `About an hour`, `3 weeks`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if days < 14 => format!("{days} days"),
        () if days < 60 => format!("{} weeks", days / 7),
        () if days < 730 => format!("{} months", days / 30),
        () => format!("{} years", days / 365),
    }
}

/// How long before `now` a time of the wire was; none where there is none.
pub fn since(time: &str, now: SystemTime) -> Option<String> {
    let then = (!time.is_empty()).then(|| units::moment(time, now).ok())??;
    // A clock that was set back makes a start lie ahead: then it is just now.
    Some(duration(now.duration_since(then).unwrap_or_default()))
}

/// The same with `ago`, empty where there is none.
pub fn ago(time: &str, now: SystemTime) -> String {
    since(time, now).map_or_else(String::new, |since| format!("{since} ago"))
}

/// A size in powers of 1000, three digits: `4.26MB`.
pub fn size(bytes: &str) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB"], 3)
}

/// A size in powers of 1024, four digits: `1.441MiB`.
pub fn memory(bytes: &str) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"], 4)
}

fn scaled(bytes: &str, base: f64, units: &[&str], digits: usize) -> String {
    let Some(count) = units::number::<u64>(bytes).filter(|_| !bytes.is_empty()) else { return "--".to_owned() };
    let (mut value, mut units) = (count as f64, units.iter().copied().peekable());
    let mut unit = units.next().unwrap_or_default();
    while value >= base && units.peek().is_some() {
        value /= base;
        unit = units.next().unwrap_or_default();
    }
    format!("{}{unit}", significant(value, digits))
}

/// `value` with so many digits, without zeros at the end.
fn significant(value: f64, digits: usize) -> String {
    let whole = (value.max(1.0).log10().floor() as usize) + 1;
    let text = format!("{value:.*}", digits.saturating_sub(whole));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `part` of `whole` in percent; `--` where either is not known.
pub fn percent(part: &str, whole: &str) -> String {
    match (part.parse::<f64>(), whole.parse::<f64>()) {
        (Ok(part), Ok(whole)) if whole > 0.0 => format!("{:.2}%", part / whole * 100.0),
        _ => "--".to_owned(),
    }
}

/// Text made fit for a terminal: what a container named or ran must not steer it.
pub fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_dockers() {
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3600, "About an hour"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 86_400, "2 weeks"),
            (60 * 86_400, "2 months"),
            (730 * 86_400, "2 years"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn times_are_told_from_now() {
        let now = units::moment("2026-01-31T12:00:00Z", SystemTime::now()).unwrap();
        assert_eq!(ago("2026-01-31T11:57:00.250Z", now), "2 minutes ago");
        assert_eq!(ago("2026-01-31T13:00:00Z", now), "Less than a second ago");
        assert_eq!(ago("", now), "");
    }

    #[test]
    fn sizes_are_dockers() {
        for (bytes, decimal, binary) in [
            ("0", "0B", "0B"),
            ("999", "999B", "999B"),
            ("4261550", "4.26MB", "4.064MiB"),
            ("1073741824", "1.07GB", "1GiB"),
            ("648", "648B", "648B"),
            ("126000", "126kB", "123KiB"),
            ("", "--", "--"),
        ] {
            assert_eq!((size(bytes).as_str(), memory(bytes).as_str()), (decimal, binary), "{bytes}");
        }
        assert_eq!(percent("50", "200"), "25.00%");
        assert_eq!(percent("50", ""), "--");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }
}
