//! Reading a log in order, through every file it is in: from its end or its beginning, and on as it grows.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::log::Record;
use super::log_files::{LogFiles, Place, off_thread};
use crate::refusal::Refusal;

/// How much of a log is read at once, in bytes.
pub const READ_MAX: usize = 64 << 10;

/// Reads a log in whole lines. The file it reads is open, so that it reads it to its end even where that is removed.
pub struct Reader {
    place: Place,
    file: Arc<File>,
    /// Of the file.
    number: u64,
    offset: u64,
}

/// What a look at a log gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// The next lines, LFs included.
    Lines(Vec<u8>),
    /// So many files were removed before this reader came to them.
    Lost(u64),
    /// Nothing (yet).
    End,
}

impl Reader {
    /// Goes to the beginning of what is left of the log. It can be read on even where it is removed meanwhile.
    pub async fn open(files: &Arc<LogFiles>) -> Result<Self, Refusal> {
        let place = files.reader();
        let opened = place.open(place.oldest()).await;
        let (number, file) = opened.map_err(|e| Refusal::io("the container's log", &e))?;
        Ok(Self { place, file, number, offset: 0 })
    }

    /// Goes to where the last `count` lines begin, or as many of them as there are.
    pub async fn seek_tail(&mut self, count: u64) -> io::Result<()> {
        let mut tail = Tail { wanted: count, lines: 0, begin: 0 };
        let (oldest, newest) = (self.number, self.place.newest());
        for number in (oldest..=newest).rev() {
            let (opened, file) = self.place.open(number).await?;
            if opened != number {
                break;
            }
            let scanned = file.clone();
            tail = off_thread(move || tail.file(&scanned)).await?;
            (self.number, self.file, self.offset) = (number, file, tail.begin);
            if tail.is_done() {
                break;
            }
        }
        Ok(())
    }

    /// What comes next.
    pub async fn read(&mut self) -> io::Result<Read> {
        loop {
            // Asked first: what was written before the file was put aside is read behind it.
            let is_final = self.number < self.place.newest();
            let (file, offset) = (self.file.clone(), self.offset);
            let (lines, length) = off_thread(move || read_lines(&file, offset, is_final)).await?;
            self.offset += length;
            if !lines.is_empty() {
                return Ok(Read::Lines(lines));
            }
            if !is_final {
                return Ok(Read::End);
            }
            let (number, file) = self.place.open(self.number + 1).await?;
            let lost = number - self.number - 1;
            (self.number, self.file, self.offset) = (number, file, 0);
            if lost > 0 {
                return Ok(Read::Lost(lost));
            }
        }
    }

    /// The number of the file that is being read.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// A path of the file that is being read, by which it can be watched.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&*self.file)).into()
    }

    /// Waits until the file that was the newest at the last [`Reader::mark`] is put aside.
    pub async fn turned(&mut self) {
        self.place.turned().await;
    }

    /// Has [`Reader::turned`] wait for what comes from now on.
    pub fn mark(&mut self) {
        self.place.mark();
    }
}

/// Whole lines from `offset` on, and how long they are in the file: conmon cuts lines at 8 KiB, so that a chunk always holds
/// one. What a full disk tore has no LF: at the end of a file that is `final`, or within more than conmon writes at once, it
/// counts as a line.
fn read_lines(file: &File, offset: u64, is_final: bool) -> io::Result<(Vec<u8>, u64)> {
    let mut chunk = Vec::new();
    // Room for an LF more.
    chunk.try_reserve_exact(READ_MAX + 1)?;
    chunk.resize(READ_MAX, 0);
    let read = file.read_at(&mut chunk, offset)?;
    let whole = chunk[..read].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole > 0 || (read < READ_MAX && !is_final) {
        chunk.truncate(whole);
        return Ok((chunk, whole as u64));
    }
    chunk.truncate(read);
    if read > 0 {
        chunk.push(b'\n');
    }
    Ok((chunk, read as u64))
}

/// Counts lines from the end of a log towards its beginning; a line in pieces counts once, whichever files they are in.
struct Tail {
    wanted: u64,
    lines: u64,
    /// Where those that are wanted begin, in the file taken in last.
    begin: u64,
}

impl Tail {
    fn is_done(&self) -> bool {
        self.lines > self.wanted
    }

    /// Takes in a file that stands right before those taken in earlier, scanned from its end; `begin` is then in it.
    fn file(mut self, file: &File) -> io::Result<Self> {
        let end = file.metadata()?.len();
        self.begin = end;
        let mut position = end;
        // What is behind `position` and has no LF before it yet.
        let mut rest: Vec<u8> = Vec::new();
        while position > 0 && !self.is_done() {
            let size = position.min(READ_MAX as u64);
            position -= size;
            let mut block = vec![0; size as usize];
            file.read_exact_at(&mut block, position)?;
            block.append(&mut rest);
            let first = block.iter().position(|byte| *byte == b'\n').map_or(block.len(), |at| at + 1);
            let whole = if position == 0 { 0 } else { first };
            self.scan(&block[whole..], position + whole as u64);
            block.truncate(whole);
            rest = block;
        }
        Ok(self)
    }

    /// Takes in whole lines that begin at `position`, and stand right before those taken in earlier.
    fn scan(&mut self, block: &[u8], position: u64) {
        let mut end = block.len();
        while end > 0 && !self.is_done() {
            let start = block[..end - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let ends_a_line = Record::read(&block[start..end - 1]).is_none_or(|record| !record.partial);
            // A last line that is still in pieces counts as one too.
            if ends_a_line || self.lines == 0 {
                self.lines += 1;
            }
            if !self.is_done() {
                self.begin = position + start as u64;
            }
            end = start;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(flag: char, text: &str) -> String {
        format!("2026-11-21T21:02:37.832192415+00:00 stdout {flag} {text}\n")
    }

    fn tail_offset(file: &File, wanted: u64) -> io::Result<u64> {
        Tail { wanted, lines: 0, begin: 0 }.file(file).map(|tail| tail.begin)
    }

    fn log_file(text: &str) -> File {
        use std::io::Write;
        let path =
            std::env::temp_dir().join(format!("gantry-tail-{}-{:?}", std::process::id(), std::thread::current().id()));
        File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file
    }

    #[test]
    fn a_line_in_pieces_counts_once() {
        let lines = [line('F', "1"), line('P', "2a"), line('P', "2b"), line('F', "2c"), line('F', "3"), line('P', "4")];
        let file = log_file(&lines.concat());
        let begin = |count: usize| lines[..count].iter().map(|l| l.len() as u64).sum::<u64>();
        for (wanted, before) in [(0, 6), (1, 5), (2, 4), (3, 1), (4, 0), (9, 0)] {
            assert_eq!(tail_offset(&file, wanted).unwrap(), begin(before), "tail={wanted}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_tail_of_a_long_log(lengths in prop::collection::vec(0usize..9000, 0..60), wanted in 0u64..70) {
            let lines: Vec<String> = lengths.iter().map(|n| line('F', &"x".repeat(*n))).collect();
            let file = log_file(&lines.concat());
            let kept = lines.len() - lines.len().min(wanted as usize);
            let expected: u64 = lines[..kept].iter().map(|l| l.len() as u64).sum();
            prop_assert_eq!(tail_offset(&file, wanted).unwrap(), expected);
        }
    }
}
