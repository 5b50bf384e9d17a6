//! What a container writes, back to bytes: `LOG` lines to the client's own stdout and stderr, apart.

use std::io::Write;

use gantry::wire::reply::Parsed;
use gantry::wire::words;

use crate::console::Console;
use crate::failure::Failure;
use crate::human;

/// Puts `LOG` lines with `text=quoted` back together.
#[derive(Default)]
pub struct Streams {
    /// Whether the last piece to stdout and to stderr left its line unfinished.
    unfinished: [bool; 2],
    /// Which of them was written last.
    last: usize,
}

impl Streams {
    /// Tells that files of a log were lost, and ends the lines that were begun in them.
    pub fn lost(&mut self, line: &Parsed, console: &mut Console) -> Result<(), Failure> {
        let Some(files) = line.get("files").filter(|_| line.get("type").as_deref() == Some("lost")) else {
            return Ok(());
        };
        for (unfinished, out) in self.unfinished.iter_mut().zip([&mut console.out, &mut console.err]) {
            if std::mem::take(unfinished) {
                out.write_all(b"\n").map_err(Failure::output)?;
            }
        }
        console.flush()?;
        writeln!(
            console.err,
            "gantry: {} files of the log were removed before they were read",
            human::printable(&files)
        )
        .map_err(Failure::output)
    }

    /// Writes what one `LOG` line carries. A time before the text is written once a line, not once a piece.
    pub fn write(&mut self, line: &Parsed, is_last: bool, console: &mut Console) -> Result<(), Failure> {
        let piece = Piece::read(&line.rest)?;
        if self.last != piece.stream {
            // On one terminal the two must show in the order in which they were written.
            console.flush()?;
        }
        self.last = piece.stream;
        let Some(unfinished) = self.unfinished.get_mut(piece.stream) else { return Ok(()) };
        let time = piece.time.as_deref().filter(|_| !*unfinished);
        *unfinished = piece.is_part;
        let out = if piece.stream == 0 { &mut console.out } else { &mut console.err };
        piece.write(time, out).map_err(Failure::output)?;
        if is_last { console.flush() } else { Ok(()) }
    }
}

/// One `LOG` line.
pub struct Piece {
    /// 0 for standard output, 1 for standard error.
    pub stream: usize,
    /// Whether more of the same line follows.
    pub is_part: bool,
    /// When it was written, where that was asked for.
    pub time: Option<Vec<u8>>,
    /// What was written.
    pub text: Vec<u8>,
}

impl Piece {
    /// Reads what stands behind `LOG` where `text=quoted` was asked for.
    pub fn read(rest: &[u8]) -> Result<Self, Failure> {
        let garbled = || Failure::Garbled(format!("LOG {}", String::from_utf8_lossy(rest)));
        let mut words = words::split(rest).map_err(|_| garbled())?;
        let text = words.pop().filter(|_| !words.is_empty()).ok_or_else(garbled)?;
        let head = words.remove(0);
        let (name, is_part) = head.strip_suffix(b"+").map_or((head.as_slice(), false), |name| (name, true));
        let stream = match name {
            b"stdout" => 0,
            b"stderr" => 1,
            _ => return Err(garbled()),
        };
        Ok(Self { stream, is_part, time: words.pop(), text })
    }

    fn write(&self, time: Option<&[u8]>, out: &mut dyn Write) -> std::io::Result<()> {
        if let Some(time) = time {
            out.write_all(time)?;
            out.write_all(b" ")?;
        }
        out.write_all(&self.text)?;
        if self.is_part { Ok(()) } else { out.write_all(b"\n") }
    }
}
