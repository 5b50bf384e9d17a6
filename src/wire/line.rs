//! Lines: cuts a stream of bytes at its LFs, with a bound.

use std::collections::TryReserveError;

use memchr::memchr;

/// The longest line, in bytes without its LF.
pub const LINE_MAX: usize = 65_536;

/// One line of the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A line without its LF.
    Line(Vec<u8>),
    /// A line longer than [`LINE_MAX`]; told once, and skipped to its LF.
    TooLong,
    /// A line that was given up for want of room; told once, and skipped to its LF.
    NoRoom,
}

impl Frame {
    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        match self {
            Self::Line(line) => line.len(),
            Self::TooLong | Self::NoRoom => 0,
        }
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Collects bytes and gives back lines. Never holds more than one unfinished line beyond what was pushed at once.
#[derive(Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Where the first line not yet given back starts.
    start: usize,
    /// Up to where no LF was found.
    scanned: usize,
    /// Within a line that was told to be too long.
    skipping: bool,
}

impl Framer {
    /// Takes in what was read, where there is memory for it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TryReserveError> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.try_reserve(bytes.len())?;
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole line.
    pub fn next_frame(&mut self) -> Option<Frame> {
        loop {
            let Some(at) = memchr(b'\n', &self.buffer[self.scanned..]) else {
                self.scanned = self.buffer.len();
                if !self.has_rest() {
                    // A burst's memory is given back.
                    self.take_rest();
                }
                return self.overflow();
            };
            let end = self.scanned + at;
            let line = &self.buffer[self.start..end];
            let frame = match (self.skipping, line.len() > LINE_MAX + usize::from(line.ends_with(b"\r"))) {
                (true, _) => None,
                (false, true) => Some(Frame::TooLong),
                (false, false) => Some(Frame::Line(line.to_vec())),
            };
            self.skipping = false;
            self.start = end + 1;
            self.scanned = self.start;
            if frame.is_some() {
                return frame;
            }
        }
    }

    /// An unfinished line that is already too long is dropped now, so that it never fills memory.
    fn overflow(&mut self) -> Option<Frame> {
        let told = self.skipping;
        if !told && self.buffer.len() - self.start <= LINE_MAX + 1 {
            return None;
        }
        self.skipping = true;
        self.take_rest();
        (!told).then_some(Frame::TooLong)
    }

    /// Gives up a line that is not finished yet, as if it were too long.
    pub fn give_up(&mut self) -> Option<Frame> {
        let told = std::mem::replace(&mut self.skipping, true);
        self.take_rest();
        (!told).then_some(Frame::NoRoom)
    }

    /// Whether bytes wait that do not make a line yet. Those of a line that was told to be too long do not count.
    pub fn has_rest(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// How many bytes wait, be they lines or not.
    pub fn waiting(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Gives up the bytes behind the last line: for a connection that turns raw, or at its end.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.buffer);
        rest.drain(..self.start);
        (self.start, self.scanned) = (0, 0);
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> Option<Frame> {
        Some(Frame::Line(text.as_bytes().to_vec()))
    }

    #[test]
    fn lines_come_whole_in_any_pieces() {
        let mut framer = Framer::default();
        framer.push(b"pi").unwrap();
        assert_eq!(framer.next_frame(), None);
        framer.push(b"ng\nversion\nqu").unwrap();
        assert_eq!(framer.next_frame(), line("ping"));
        assert_eq!(framer.next_frame(), line("version"));
        assert_eq!(framer.next_frame(), None);
        assert!(framer.has_rest());
        assert_eq!(framer.take_rest(), b"qu");
        assert!(!framer.has_rest());
    }

    #[test]
    fn a_long_line_is_told_once_and_skipped() {
        let mut framer = Framer::default();
        for _ in 0..40 {
            framer.push(&[b'x'; 4096]).unwrap();
        }
        assert_eq!(framer.next_frame(), Some(Frame::TooLong));
        assert_eq!(framer.next_frame(), None);
        framer.push(&[b'x'; 100_000]).unwrap();
        assert_eq!(framer.next_frame(), None);
        framer.push(b"\nping\n").unwrap();
        assert_eq!(framer.next_frame(), line("ping"));
    }

    #[test]
    fn a_line_that_is_given_up_is_told_once_and_skipped() {
        let mut framer = Framer::default();
        framer.push(b"pi").unwrap();
        assert_eq!(framer.next_frame(), None);
        assert_eq!(framer.give_up(), Some(Frame::NoRoom));
        framer.push(b"ng").unwrap();
        assert_eq!(framer.next_frame(), None);
        assert_eq!((framer.give_up(), framer.waiting()), (None, 0));
        framer.push(b"\nversion\n").unwrap();
        assert_eq!(framer.next_frame(), line("version"));
    }

    #[test]
    fn what_a_long_line_took_is_given_back() {
        let mut framer = Framer::default();
        framer.push(&[b'x'; LINE_MAX]).unwrap();
        assert_eq!(framer.next_frame(), None);
        framer.push(b"\n").unwrap();
        assert!(framer.next_frame().is_some_and(|frame| frame.len() == LINE_MAX));
        assert_eq!((framer.next_frame(), framer.buffer.capacity()), (None, 0));
    }

    #[test]
    fn the_bound_is_exact() {
        let mut framer = Framer::default();
        let mut bytes = vec![b'x'; LINE_MAX];
        bytes.push(b'\n');
        framer.push(&bytes).unwrap();
        assert!(matches!(framer.next_frame(), Some(Frame::Line(l)) if l.len() == LINE_MAX));
        bytes.insert(0, b'x');
        framer.push(&bytes).unwrap();
        assert_eq!(framer.next_frame(), Some(Frame::TooLong));
        framer.push(b"ping\n").unwrap();
        assert_eq!(framer.next_frame(), line("ping"));
    }

    proptest! {
        #[test]
        fn cutting_does_not_depend_on_the_pieces(lines in prop::collection::vec("[a-z]{0,20}", 0..20), size in 1usize..9) {
            let stream: String = lines.iter().map(|l| format!("{l}\n")).collect();
            let mut framer = Framer::default();
            let mut got = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                framer.push(piece).unwrap();
                while let Some(Frame::Line(line)) = framer.next_frame() {
                    got.push(String::from_utf8(line).unwrap());
                }
            }
            prop_assert_eq!(got, lines);
        }
    }
}
