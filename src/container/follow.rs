//! Reading a log: from its end or its beginning, and on as it grows, told by the kernel.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::io::Interest;
use tokio::sync::oneshot;

use super::log::Record;
use crate::readiness;
use crate::refusal::Refusal;

/// How much of a log is read at once.
const CHUNK: usize = 64 << 10;

/// Reads a log in whole lines.
pub struct Reader {
    file: Arc<File>,
    offset: u64,
}

impl Reader {
    /// Opens the log at `path`. It can be read on even where it is removed meanwhile.
    pub fn open(path: &Path) -> Result<Self, Refusal> {
        let file = File::open(path).map_err(|e| Refusal::io("the container's log", &e))?;
        Ok(Self { file: Arc::new(file), offset: 0 })
    }

    /// Goes to where the last `count` lines begin.
    pub async fn seek_tail(&mut self, count: u64) -> io::Result<()> {
        let file = self.file.clone();
        self.offset = off_thread(move || tail_offset(&file, count)).await?;
        Ok(())
    }

    /// The next lines, LFs included; empty where there are none (yet).
    pub async fn lines(&mut self) -> io::Result<Vec<u8>> {
        let (file, offset) = (self.file.clone(), self.offset);
        let lines = off_thread(move || read_lines(&file, offset)).await?;
        self.offset += lines.len() as u64;
        Ok(lines)
    }
}

/// A disk may be slow, and the daemon's thread does not wait for it.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(io::Error::other(e)))
}

/// Whole lines from `offset` on: conmon cuts lines at 8 KiB, so that a chunk always holds one.
fn read_lines(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let mut chunk = vec![0; CHUNK];
    let read = file.read_at(&mut chunk, offset)?;
    let whole = chunk[..read].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    chunk.truncate(whole);
    Ok(chunk)
}

/// Where the last `count` lines of the container begin: scanned from the end, and a line in pieces counts once.
fn tail_offset(file: &File, count: u64) -> io::Result<u64> {
    let end = file.metadata()?.len();
    let mut tail = Tail { wanted: count, lines: 0, begin: end };
    let mut position = end;
    // What is behind `position` and has no LF before it yet.
    let mut rest: Vec<u8> = Vec::new();
    while position > 0 && !tail.is_done() {
        let size = position.min(CHUNK as u64);
        position -= size;
        let mut block = vec![0; size as usize];
        file.read_exact_at(&mut block, position)?;
        block.append(&mut rest);
        let first = block.iter().position(|byte| *byte == b'\n').map_or(block.len(), |at| at + 1);
        let whole = if position == 0 { 0 } else { first };
        tail.scan(&block[whole..], position + whole as u64);
        block.truncate(whole);
        rest = block;
    }
    Ok(tail.begin)
}

/// Counts lines from the end of a log towards its beginning.
struct Tail {
    wanted: u64,
    lines: u64,
    begin: u64,
}

impl Tail {
    fn is_done(&self) -> bool {
        self.lines > self.wanted
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

/// Tells when files grow. One inotify instance serves every follower, as a host has few of them.
pub struct Changes {
    inotify: Inotify,
    waiting: RefCell<HashMap<WatchDescriptor, Vec<oneshot::Sender<()>>>>,
}

impl Changes {
    /// Takes an inotify instance and listens to it for as long as the daemon lives.
    pub fn start() -> io::Result<Rc<Self>> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let fd: OwnedFd = inotify.as_fd().try_clone_to_owned()?;
        let events = readiness::watch(fd, Interest::READABLE)?;
        let changes = Rc::new(Self { inotify, waiting: RefCell::default() });
        let listener = changes.clone();
        actix_rt::spawn(async move {
            while let Ok(mut ready) = events.readable().await {
                if !listener.deliver() {
                    ready.clear_ready();
                }
            }
        });
        Ok(changes)
    }

    /// Arms a notice of the next growth of `reader`'s file. Read once more before waiting for it: what came before the
    /// arming is not told.
    pub fn arm(&self, reader: &Reader) -> Result<oneshot::Receiver<()>, Refusal> {
        let path = format!("/proc/self/fd/{}", reader.file.as_raw_fd());
        let once = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ONESHOT;
        let watch = self
            .inotify
            .add_watch(path.as_str(), once)
            .map_err(|e| Refusal::errno("following the log (inotify)", e))?;
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.borrow_mut();
        let listeners = waiting.entry(watch).or_default();
        listeners.retain(|listener| !listener.is_closed());
        listeners.push(sender);
        Ok(receiver)
    }

    /// Tells the listeners of what has changed. False when there was nothing to read.
    fn deliver(&self) -> bool {
        match self.inotify.read_events() {
            Ok(events) => {
                for event in events {
                    if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                        // Some notices are lost, nobody knows whose: everyone looks again.
                        self.waiting.borrow_mut().clear();
                    }
                    for listener in self.waiting.borrow_mut().remove(&event.wd).unwrap_or_default() {
                        // One that has stopped listening is no failure.
                        let _ = listener.send(());
                    }
                }
                true
            }
            Err(Errno::EINTR) => true,
            Err(_) => false,
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
