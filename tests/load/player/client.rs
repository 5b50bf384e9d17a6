//! One client: requests out, as many at once as its group says, and their replies in, each timed.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use gantry::wire::reply::Parsed;

/// How long a read may hang: a bound on a hang, never a measure of speed.
const PATIENCE: Duration = Duration::from_secs(300);

/// What was asked, and when.
struct Asked {
    line: String,
    at: Instant,
}

/// What a client saw.
#[derive(Default)]
pub struct Seen {
    /// The verb of each request, and how long its reply took to the final line.
    pub replies: Vec<(String, Duration)>,
    /// How many data lines came.
    pub lines: u64,
}

/// A connection with requests on their way.
pub struct Client {
    reader: BufReader<UnixStream>,
    tagged: HashMap<String, Asked>,
    plain: VecDeque<Asked>,
    /// What it saw.
    pub seen: Seen,
}

impl Client {
    /// Connects.
    pub fn connect(socket: &Path) -> Result<Self, String> {
        let stream = UnixStream::connect(socket).map_err(|e| format!("{}: {e}", socket.display()))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
        Ok(Self {
            reader: BufReader::with_capacity(64 << 10, stream),
            tagged: HashMap::new(),
            plain: VecDeque::new(),
            seen: Seen::default(),
        })
    }

    /// How many requests are on their way.
    pub fn under_way(&self) -> usize {
        self.tagged.len() + self.plain.len()
    }

    /// Sends lines in one piece.
    pub fn send(&mut self, lines: Vec<String>) -> Result<(), String> {
        let mut bytes = lines.join("\n").into_bytes();
        bytes.push(b'\n');
        let at = Instant::now();
        for line in lines {
            match tag(&line) {
                Some(tag) => drop(self.tagged.insert(tag.to_owned(), Asked { line, at })),
                None => self.plain.push_back(Asked { line, at }),
            }
        }
        self.reader.get_mut().write_all(&bytes).map_err(|e| format!("sending: {e}"))
    }

    /// Reads until no more than so many requests are on their way.
    pub fn await_at_most(&mut self, left: usize) -> Result<(), String> {
        while self.under_way() > left {
            self.read()?;
        }
        Ok(())
    }

    /// Reads until a line has that text, or nothing is on its way any more.
    pub fn listen(&mut self, until: Option<&str>) -> Result<(), String> {
        while self.under_way() > 0 {
            let text = self.read()?;
            if until.is_some_and(|until| text.contains(until)) {
                return Ok(());
            }
        }
        match until {
            Some(until) => Err(format!("the stream ended before {until}")),
            None => Ok(()),
        }
    }

    /// One line, which must be none of a refusal, nor tell of a loss.
    pub fn read(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        let read = self.reader.read_until(b'\n', &mut line).map_err(|e| format!("reading: {e}"))?;
        if read == 0 || line.pop() != Some(b'\n') {
            return Err("the daemon hung up".to_owned());
        }
        let line = Parsed::read(&line);
        if line.is_final() {
            self.finish(&line)?;
        } else if line.head == "EVENT" && line.get("type").as_deref() == Some("lost") {
            return Err(format!("events were lost: {}", line.text()));
        } else if line.head != "PROGRESS" {
            self.seen.lines += 1;
        }
        Ok(line.text())
    }

    fn finish(&mut self, line: &Parsed) -> Result<(), String> {
        let asked = match &line.tag {
            Some(tag) => self.tagged.remove(tag),
            None => self.plain.pop_front(),
        };
        let asked = asked.ok_or_else(|| format!("a reply that nobody asked for: {}", line.text()))?;
        if line.head != "OK" {
            return Err(format!("{}: {}", asked.line, line.text()));
        }
        self.seen.replies.push((verb(&asked.line), asked.at.elapsed()));
        Ok(())
    }
}

fn tag(line: &str) -> Option<&str> {
    line.strip_prefix('@')?.split(' ').next()
}

/// The verb of a request: the words that the registry has.
fn verb(line: &str) -> String {
    let untagged = tag(line).map_or(line, |tag| line[tag.len() + 1..].trim_start());
    let mut words = untagged.split(' ');
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let two = matches!(first, "image" | "network" | "volume");
    if two { format!("{first} {second}") } else { first.to_owned() }
}
