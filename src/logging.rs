//! How the daemon's own log is written: for people, for journald, or for programs.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;
use std::time::SystemTime;

use env_logger::{Builder, Env};
use log::{Level, Record};

/// Whoever says nothing hears what happens, and not how.
const LEVEL: &str = "info";

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A time, a level, what happened.
    Text,
    /// The level as journald reads it (sd-daemon(3)), which has the time itself.
    Journal,
    /// A JSON object of `time` (RFC 3339, UTC), `level` and `message`.
    Json,
}

impl Format {
    /// That of a process whose stderr is the journal's, as systemd.exec(5) tells by `JOURNAL_STREAM`, or that for people.
    pub fn of_stderr() -> Self {
        let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
        let own = std::fs::metadata("/proc/self/fd/2").map(|stderr| format!("{}:{}", stderr.dev(), stderr.ino()));
        if own.is_ok_and(|own| own == stream) { Self::Journal } else { Self::Text }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "journal" => Ok(Self::Journal),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is none of text, journal, json")),
        }
    }
}

/// Has everything that is logged written to stderr, as much of it as `GANTRY_LOG` says.
pub fn start(format: Format) {
    let mut builder = Builder::from_env(Env::new().filter_or("GANTRY_LOG", LEVEL));
    match format {
        Format::Text => builder.format_target(false),
        Format::Journal => builder.format(journal),
        Format::Json => builder.format(|out, record| json(out, record, SystemTime::now())),
    };
    builder.init();
}

fn journal(out: &mut impl Write, record: &Record<'_>) -> io::Result<()> {
    // Each line of a message is an entry of its own, and needs its level.
    let level = priority(record.level());
    record.args().to_string().lines().try_for_each(|line| writeln!(out, "<{level}>{line}"))
}

/// syslog(3)'s number.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn json(out: &mut impl Write, record: &Record<'_>, now: SystemTime) -> io::Result<()> {
    let line = serde_json::json!({
        "time": humantime::format_rfc3339_micros(now).to_string(),
        "level": record.level().as_str().to_ascii_lowercase(),
        "message": record.args().to_string(),
    });
    writeln!(out, "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_programs_read() {
        let written = |write: &dyn Fn(&mut Vec<u8>, &Record<'_>) -> io::Result<()>| {
            let mut out = Vec::new();
            write(&mut out, &Record::builder().level(Level::Warn).args(format_args!("a \"b\"\nc")).build()).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(&|out, record| journal(out, record)), "<4>a \"b\"\n<4>c\n");
        let line = written(&|out, record| json(out, record, SystemTime::UNIX_EPOCH));
        assert_eq!(line.lines().count(), 1);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (read["time"].as_str(), read["level"].as_str(), read["message"].as_str()),
            (Some("1970-01-01T00:00:00.000000Z"), Some("warn"), Some("a \"b\"\nc"))
        );
    }

    #[test]
    fn formats_have_names() {
        assert_eq!(("json".parse(), "journal".parse()), (Ok(Format::Json), Ok(Format::Journal)));
        assert!("JSON".parse::<Format>().is_err());
    }
}
