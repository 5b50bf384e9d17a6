//! Words: how a line is split, and how a value is written so that it can be pasted into a request.

use crate::refusal::Refusal;

/// A word after unquoting: any bytes.
pub type Word = Vec<u8>;

/// Splits one line (without its LF) into words.
///
/// A line that is empty, blank or a comment has none. Errors are `bad-request`: NUL or invalid UTF-8 in the line, an
/// unclosed quote, an unknown escape, a `\` at the end.
pub fn split(line: &[u8]) -> Result<Vec<Word>, Refusal> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.contains(&0) {
        return Err(Refusal::bad_request("the line holds a NUL byte; write \"\\x00\" where one is meant"));
    }
    if std::str::from_utf8(line).is_err() {
        return Err(Refusal::bad_request("the line is not valid UTF-8; write other bytes as \"\\xHH\""));
    }
    if line.first() == Some(&b'#') {
        return Ok(Vec::new());
    }
    let mut rest = Cursor(line);
    let mut words = Vec::new();
    while let Some(&first) = rest.0.first() {
        if is_blank(first) {
            rest.next();
        } else {
            words.push(rest.word()?);
        }
    }
    Ok(words)
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// What is left of the line.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn word(&mut self) -> Result<Word, Refusal> {
        let mut word = Word::new();
        while let Some(&byte) = self.0.first() {
            if is_blank(byte) {
                break;
            }
            self.next();
            match byte {
                b'"' => self.double_quoted(&mut word)?,
                b'\'' => self.single_quoted(&mut word)?,
                b'\\' => word.push(self.next().ok_or_else(|| Refusal::bad_request("a \\ at the end of the line"))?),
                _ => word.push(byte),
            }
        }
        Ok(word)
    }

    fn single_quoted(&mut self, word: &mut Word) -> Result<(), Refusal> {
        loop {
            match self.next() {
                Some(b'\'') => return Ok(()),
                Some(byte) => word.push(byte),
                None => return Err(Refusal::bad_request("a ' is not closed")),
            }
        }
    }

    fn double_quoted(&mut self, word: &mut Word) -> Result<(), Refusal> {
        loop {
            match self.next() {
                Some(b'"') => return Ok(()),
                Some(b'\\') => self.escape(word)?,
                Some(byte) => word.push(byte),
                None => return Err(Refusal::bad_request("a \" is not closed")),
            }
        }
    }

    fn escape(&mut self, word: &mut Word) -> Result<(), Refusal> {
        let byte = match self.next() {
            Some(b'\\') => b'\\',
            Some(b'"') => b'"',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'e') => 0x1b,
            Some(b'x') => self.hex_byte()?,
            Some(b'u') => return self.code_point(word),
            _ => {
                return Err(Refusal::bad_request(
                    "within \"…\" the escapes are \\\\ \\\" \\n \\r \\t \\e \\xHH \\u{…}",
                ));
            }
        };
        word.push(byte);
        Ok(())
    }

    fn hex_digit(&mut self) -> Option<u32> {
        let digit = char::from(*self.0.first()?).to_digit(16)?;
        self.next();
        Some(digit)
    }

    fn hex_byte(&mut self) -> Result<u8, Refusal> {
        let digits = self.hex_digit().zip(self.hex_digit());
        let (high, low) = digits.ok_or_else(|| Refusal::bad_request("\\x takes two hexadecimal digits"))?;
        Ok((high * 16 + low) as u8)
    }

    fn code_point(&mut self, word: &mut Word) -> Result<(), Refusal> {
        const FORM: &str = "\\u{…} takes one to six hexadecimal digits of a Unicode scalar value";
        let wrong = || Refusal::bad_request(FORM);
        if self.next() != Some(b'{') {
            return Err(wrong());
        }
        let mut value = self.hex_digit().ok_or_else(wrong)?;
        for _ in 1..6 {
            match self.hex_digit() {
                Some(digit) => value = value * 16 + digit,
                None => break,
            }
        }
        let c = char::from_u32(value).filter(|_| self.next() == Some(b'}')).ok_or_else(wrong)?;
        word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }
}

/// Writes `value` as one word: bare where nothing in it could be misread, else in `"…"`.
pub fn quote_into(out: &mut Vec<u8>, value: &[u8]) {
    if is_bare(value) {
        out.extend_from_slice(value);
    } else {
        quote_always_into(out, value);
    }
}

/// Writes `value` in `"…"`, whatever it holds.
pub fn quote_always_into(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    for chunk in value.utf8_chunks() {
        let mut rest = chunk.valid();
        while !rest.is_empty() {
            let plain = rest.bytes().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
            out.extend_from_slice(&rest.as_bytes()[..plain]);
            let mut behind = rest[plain..].chars();
            behind.next().into_iter().for_each(|c| quote_char(out, c));
            rest = behind.as_str();
        }
        for byte in chunk.invalid() {
            push_hex(out, *byte);
        }
    }
    out.push(b'"');
}

/// Whether a byte stands for itself between quotes.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

fn is_bare(value: &[u8]) -> bool {
    // Nearly all are, and need no more than a look at each byte.
    if !value.is_empty() && value.iter().all(|byte| is_plain(*byte) && !matches!(byte, b' ' | b'\'' | b'=')) {
        return true;
    }
    let special = |c: char| c.is_control() || matches!(c, ' ' | '"' | '\'' | '\\' | '=');
    !value.is_empty() && std::str::from_utf8(value).is_ok_and(|text| !text.contains(special))
}

fn quote_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\u{1b}' => out.extend_from_slice(b"\\e"),
        c if c.is_ascii_control() => push_hex(out, c as u8),
        c if c.is_control() => out.extend_from_slice(format!("\\u{{{:x}}}", c as u32).as_bytes()),
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(&[b'\\', b'x', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quoted(value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        quote_into(&mut out, value);
        out
    }

    #[test]
    fn values_are_bare_where_they_can_be() {
        assert_eq!(quoted(b"web:latest"), b"web:latest");
        assert_eq!(quoted(b""), b"\"\"");
        assert_eq!(quoted(b"a=b"), b"\"a=b\"");
        assert_eq!(quoted(b"\x1b[0m\xff"), b"\"\\e[0m\\xff\"");
        assert_eq!(quoted("\u{85}".as_bytes()), b"\"\\u{85}\"");
    }

    proptest! {
        #[test]
        fn quoting_and_splitting_are_inverses(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let mut line = b"verb".to_vec();
            for value in &values {
                line.push(b' ');
                // Only a word that starts the line could be taken for a comment, and only behind a blank is it none.
                quote_into(&mut line, value);
            }
            prop_assert!(!line.contains(&b'\n') && !line.contains(&0));
            let words = split(&line).unwrap();
            prop_assert_eq!(&words[1..], &values[..]);
        }

        #[test]
        fn no_line_makes_it_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = split(&line);
        }
    }
}
