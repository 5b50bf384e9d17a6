//! The log that conmon writes (its `k8s-file` format): one line as it stands in the file, and what it means.
//!
//! `2026-11-21T21:02:37.832192415+00:00 stdout F hello`: time, stream, `F` for a whole line or the end of one, `P` for a
//! piece that more follows, then the text. `TZ=UTC` makes the offset always `+00:00`.

/// One line of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When, as written: RFC 3339 with nanoseconds and the offset `+00:00`.
    time: &'a [u8],
    /// `stdout` or `stderr`.
    pub stream: &'a str,
    /// More of the same line follows.
    pub partial: bool,
    /// What the container wrote, without LF.
    pub text: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads one line without its LF; none where it is not of that form.
    pub fn read(line: &'a [u8]) -> Option<Self> {
        let (time, rest) = cut(line)?;
        let (stream, rest) = cut(rest)?;
        let (flag, text) = cut(rest)?;
        let stream = match stream {
            b"stdout" => "stdout",
            b"stderr" => "stderr",
            _ => return None,
        };
        let partial = match flag {
            b"F" => false,
            b"P" => true,
            _ => return None,
        };
        Some(Self { time, stream, partial, text })
    }

    /// When, as the wire shows it: RFC 3339 in UTC with nanoseconds.
    pub fn time(&self) -> String {
        let time = String::from_utf8_lossy(self.time);
        match time.strip_suffix("+00:00") {
            Some(utc) => format!("{utc}Z"),
            None => time.into_owned(),
        }
    }

    /// Whether it was written at `moment` (as [`Record::time`] has it, nine digits of the second) or later.
    pub fn is_since(&self, moment: &str) -> bool {
        // Same form, same zone: the order of the text is that of time.
        self.time().as_str() >= moment
    }
}

fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b' ')?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read() {
        let record = Record::read(b"2026-11-21T21:02:37.832192415+00:00 stderr P a b\xff").unwrap();
        assert_eq!((record.stream, record.partial, record.text), ("stderr", true, &b"a b\xff"[..]));
        assert_eq!(record.time(), "2026-11-21T21:02:37.832192415Z");
        assert!(
            record.is_since("2026-11-21T21:02:37.832192415Z") && !record.is_since("2026-11-21T21:02:38.000000000Z")
        );
        assert_eq!(Record::read(b"t stdout F ").unwrap().text, b"");
        for bad in [&b""[..], b"x", b"t stdout", b"t stdin F x", b"t stdout Q x"] {
            assert_eq!(Record::read(bad), None);
        }
    }
}
