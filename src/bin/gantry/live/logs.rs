//! The log of one container, as far as it is kept to look at.

use std::collections::VecDeque;

use gantry::wire::reply::Parsed;

use crate::failure::Failure;
use crate::streams::Piece;

/// How many lines are kept.
pub const LINES_MAX: usize = 2000;

/// How long a line may become before it is taken for one.
const LINE_MAX: usize = 16 << 10;

/// A log that is looked at.
pub struct Logs {
    /// Whose.
    pub name: String,
    /// The tag of the request that brings it.
    pub tag: String,
    /// How it ended, where it has.
    pub end: Option<String>,
    /// How many lines lie below what is seen: none where the newest is.
    pub below: usize,
    lines: VecDeque<String>,
    begun: [Vec<u8>; 2],
}

impl Logs {
    /// Nothing yet.
    pub fn new(name: &str, tag: &str) -> Self {
        let (name, tag) = (name.to_owned(), tag.to_owned());
        Self { name, tag, end: None, below: 0, lines: VecDeque::new(), begun: [Vec::new(), Vec::new()] }
    }

    /// Takes in a line of the reply.
    pub fn take(&mut self, line: &Parsed) -> Result<(), Failure> {
        match line.head.as_str() {
            "LOG" => self.piece(&Piece::read(&line.rest)?),
            "OK" => self.end("it has ended"),
            "ERR" => self.end(&Failure::refused(&line.text()).to_string()),
            _ => {}
        }
        Ok(())
    }

    fn piece(&mut self, piece: &Piece) {
        let Some(text) = self.begun.get_mut(piece.stream) else { return };
        text.extend_from_slice(&piece.text);
        if !piece.is_part || text.len() >= LINE_MAX {
            let text = std::mem::take(text);
            self.push(&text);
        }
    }

    fn push(&mut self, text: &[u8]) {
        self.lines.push_back(plain(&String::from_utf8_lossy(text)));
        if self.lines.len() > LINES_MAX {
            self.lines.pop_front();
        }
        // Whoever reads further up goes on reading there.
        if self.below > 0 {
            self.scroll(1);
        }
    }

    fn end(&mut self, how: &str) {
        // A last line without its end is one all the same.
        for text in std::mem::take(&mut self.begun) {
            if !text.is_empty() {
                self.push(&text);
            }
        }
        self.end = Some(how.to_owned());
    }

    /// Goes up by so many lines, or down where it is less than none.
    pub fn scroll(&mut self, lines: isize) {
        self.below = self.below.saturating_add_signed(lines).min(self.lines.len().saturating_sub(1));
    }

    /// The lines that `height` has room for.
    pub fn seen(&self, height: usize) -> impl Iterator<Item = &str> {
        let end = self.lines.len() - self.below.min(self.lines.len());
        self.lines.range(end.saturating_sub(height)..end).map(String::as_str)
    }
}

/// Text without what would steer the terminal: sequences are left out, tabs become blanks.
fn plain(text: &str) -> String {
    let (mut out, mut column) = (String::with_capacity(text.len()), 0);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => skip_sequence(&mut rest),
            '\t' => {
                let blanks = 8 - column % 8;
                out.extend(std::iter::repeat_n(' ', blanks));
                column += blanks;
            }
            c if c.is_control() => {}
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    out
}

/// Behind ESC: `[` and all to a letter or the like (ECMA-48, 5.4), `]` and all to its end, or one character.
fn skip_sequence(rest: &mut std::str::Chars<'_>) {
    match rest.next() {
        Some('[') => drop(rest.find(|c| ('\x40'..='\x7e').contains(c))),
        Some(']') => drop(rest.find(|c| matches!(c, '\x07' | '\\'))),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(lines: &[&str]) -> Logs {
        let mut logs = Logs::new("web", "l1");
        lines.iter().for_each(|line| logs.take(&Parsed::read(line.as_bytes())).unwrap());
        logs
    }

    #[test]
    fn the_newest_lines_are_seen() {
        let mut logs = logs(&[
            "LOG stdout \"1\"",
            "LOG stdout+ \"2\"",
            "LOG stderr \"e\"",
            "LOG stdout \"x\"",
            "LOG stdout+ \"3\"",
        ]);
        assert_eq!(logs.seen(2).collect::<Vec<_>>(), ["e", "2x"]);
        logs.scroll(1);
        assert_eq!(logs.seen(2).collect::<Vec<_>>(), ["1", "e"]);
        // Where somebody reads further up, that is what stays.
        logs.take(&Parsed::read(b"OK")).unwrap();
        assert_eq!(logs.seen(2).collect::<Vec<_>>(), ["1", "e"]);
        logs.scroll(-9);
        assert_eq!(logs.seen(9).collect::<Vec<_>>(), ["1", "e", "2x", "3"]);
        assert_eq!(logs.end.as_deref(), Some("it has ended"));
        logs.scroll(99);
        assert_eq!(logs.seen(9).collect::<Vec<_>>(), ["1"]);
    }

    #[test]
    fn it_is_bounded() {
        let mut logs = Logs::new("web", "l1");
        for number in 0..LINES_MAX + 5 {
            logs.push(number.to_string().as_bytes());
        }
        assert_eq!(logs.seen(usize::MAX).next(), Some("5"));
        for _ in 0..3 {
            let piece = format!("LOG stdout+ \"{}\"", "x".repeat(LINE_MAX));
            logs.take(&Parsed::read(piece.as_bytes())).unwrap();
        }
        assert!(logs.begun[0].is_empty());
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(plain("\x1b[1;32mok\x1b[0m\ta\x07\x1b]0;title\x07b\r"), "ok      ab");
        assert_eq!(plain("\x1b"), "");
    }
}
