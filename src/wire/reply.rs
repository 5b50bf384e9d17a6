//! Replies: builds the lines a server writes, and reads them back for a client.

use std::fmt::{Display, Write as _};

use super::words;
use crate::refusal::Refusal;

/// One line of a reply, LF included. Built left to right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(Vec<u8>);

/// What most lines have room in, in bytes.
const USUAL: usize = 128;

impl Line {
    fn new(head: &str) -> Self {
        let mut line = Vec::with_capacity(USUAL);
        line.extend_from_slice(head.as_bytes());
        Self(line)
    }

    fn end(mut self) -> Self {
        self.0.push(b'\n');
        self
    }

    /// `HEAD key=value …` of as many values as keys.
    fn pairs<const N: usize>(head: &str, keys: &[&str; N], values: &[&dyn Display; N]) -> Self {
        let mut line = Self::new(head);
        let mut scratch = String::new();
        for (key, value) in keys.iter().zip(values) {
            scratch.clear();
            let _ = write!(scratch, "{value}");
            line.push_pair(key, scratch.as_bytes());
        }
        line.end()
    }

    fn push_pair(&mut self, key: &str, value: &[u8]) {
        self.0.push(b' ');
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'=');
        words::quote_into(&mut self.0, value);
    }

    /// `OK` with its keys.
    pub fn ok<const N: usize>(keys: &[&str; N], values: &[&dyn Display; N]) -> Self {
        Self::pairs("OK", keys, values)
    }

    /// `OK` and nothing more.
    pub fn done() -> Self {
        Self::new("OK").end()
    }

    /// `OK pong`.
    pub fn pong() -> Self {
        Self::new("OK pong").end()
    }

    /// `OK raw id=…`: from here on the connection is the process's.
    pub fn raw(id: &str) -> Self {
        Self::pairs("OK raw", &["id"], &[&id])
    }

    /// `ROW key=value …`.
    pub fn row<const N: usize>(keys: &[&str; N], values: &[&dyn Display; N]) -> Self {
        Self::pairs("ROW", keys, values)
    }

    /// `ROW key=value …` of values that may be any bytes.
    pub fn row_of_bytes<const N: usize>(keys: &[&str; N], values: &[&[u8]; N]) -> Self {
        let mut line = Self::new("ROW");
        for (key, value) in keys.iter().zip(values) {
            line.push_pair(key, value);
        }
        line.end()
    }

    /// `PROGRESS`, with whichever of its keys are known.
    pub fn progress<const N: usize>(keys: &[&str; N], values: &[&dyn Display; N]) -> Self {
        Self::pairs("PROGRESS", keys, values)
    }

    /// `EVENT key=value …`, of any number of keys.
    pub fn event<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut line = Self::new("EVENT");
        for (key, value) in pairs {
            line.push_pair(key, value.as_bytes());
        }
        line.end()
    }

    /// `JSON {…}`, compact.
    pub fn json(document: &serde_json::Value) -> Self {
        Self::new(&format!("JSON {document}")).end()
    }

    /// `TEXT …`: one line for a person.
    pub fn text(text: &str) -> Self {
        let mut line = Self::new("TEXT ");
        line.0.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        line.end()
    }

    /// `ERR code message`.
    pub fn err(refusal: &Refusal) -> Self {
        Self::new(&format!("ERR {refusal}")).end()
    }

    /// `LOG stream text`: `text` is written as it stands but for invalid UTF-8, or quoted byte for byte.
    pub fn log(head: &LogHead<'_>, text: &[u8], quoted: bool) -> Self {
        let mut line = Self::new("LOG ");
        line.0.extend_from_slice(head.stream.as_bytes());
        if head.partial {
            line.0.push(b'+');
        }
        line.0.push(b' ');
        if let Some(time) = head.time {
            line.0.extend_from_slice(time.as_bytes());
            line.0.push(b' ');
        }
        if quoted {
            words::quote_always_into(&mut line.0, text);
        } else {
            line.0.extend_from_slice(String::from_utf8_lossy(text).as_bytes());
        }
        line.end()
    }

    /// The bytes to write, LF included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this line ends its reply.
    pub fn is_final(&self) -> bool {
        self.0.starts_with(b"OK") || self.0.starts_with(b"ERR ")
    }
}

/// What stands before the text of a `LOG` line.
#[derive(Clone, Copy, Debug)]
pub struct LogHead<'a> {
    /// `stdout` or `stderr`.
    pub stream: &'a str,
    /// More of the same line follows.
    pub partial: bool,
    /// When it was written, RFC 3339 with nanoseconds, where asked for.
    pub time: Option<&'a str>,
}

/// A reply line as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The tag of the request that it answers.
    pub tag: Option<String>,
    /// The first word: `OK`, `ROW`, `LOG`, …
    pub head: String,
    /// The rest of the line, unparsed.
    pub rest: Vec<u8>,
}

impl Parsed {
    /// Reads one reply line without its LF.
    pub fn read(line: &[u8]) -> Self {
        let (tag, line) = match line.strip_prefix(b"@") {
            Some(tagged) => {
                let (tag, rest) = cut(tagged);
                (Some(String::from_utf8_lossy(tag).into_owned()), rest)
            }
            None => (None, line),
        };
        let (head, rest) = cut(line);
        Self { tag, head: String::from_utf8_lossy(head).into_owned(), rest: rest.to_vec() }
    }

    /// Whether this line ends its reply.
    pub fn is_final(&self) -> bool {
        self.head == "OK" || self.head == "ERR"
    }

    /// The rest as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.rest).into_owned()
    }

    /// The rest as `key=value` words; a word without `=` has an empty value.
    pub fn pairs(&self) -> Result<Vec<(String, String)>, Refusal> {
        // A value is quoted when it holds a `=`, so the first one always ends the key.
        let pair = |word: words::Word| {
            let word = String::from_utf8_lossy(&word).into_owned();
            match word.split_once('=') {
                Some((key, value)) => (key.to_owned(), value.to_owned()),
                None => (word, String::new()),
            }
        };
        // A blank first, so that a `#` that starts the text is no comment.
        let line = [b" ".as_slice(), &self.rest].concat();
        Ok(words::split(&line)?.into_iter().map(pair).collect())
    }

    /// The value of `key` among the pairs.
    pub fn get(&self, key: &str) -> Option<String> {
        self.pairs().ok()?.into_iter().find(|(k, _)| k == key).map(|(_, value)| value)
    }
}

/// The bytes before and behind the first blank.
fn cut(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back() {
        let line = Line::row(&["name", "exit", "command"], &[&"web:latest", &"", &"a b=c"]);
        assert_eq!(line.as_bytes(), b"ROW name=web:latest exit=\"\" command=\"a b=c\"\n");
        let parsed = Parsed::read(&line.as_bytes()[..line.as_bytes().len() - 1]);
        assert_eq!(parsed.get("command").as_deref(), Some("a b=c"));
        assert_eq!(parsed.get("exit").as_deref(), Some(""));
        assert!(!parsed.is_final());
    }

    #[test]
    fn tagged_lines_read_back() {
        let parsed = Parsed::read(b"@a1 ERR not-found no container web:latest");
        assert_eq!((parsed.tag.as_deref(), parsed.head.as_str()), (Some("a1"), "ERR"));
        assert_eq!(parsed.text(), "not-found no container web:latest");
    }

    #[test]
    fn log_text_stands_as_written() {
        let head = LogHead { stream: "stdout", partial: true, time: None };
        assert_eq!(Line::log(&head, b"a\tb \x1b[0m", false).as_bytes(), b"LOG stdout+ a\tb \x1b[0m\n");
        assert_eq!(Line::log(&head, b"\xff\n", true).as_bytes(), b"LOG stdout+ \"\\xff\\n\"\n");
        assert_eq!(Line::log(&head, b"\xff", false).as_bytes(), "LOG stdout+ \u{fffd}\n".as_bytes());
    }
}
