//! A client's connection: lines out, replies in.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use gantry::wire::reply::Parsed;

use super::shell;

/// How long a read may hang before the test fails. A bound on a hang, never a measure of speed.
const DEADLINE: u64 = 120;

/// One connection.
pub struct Conn {
    reader: BufReader<UnixStream>,
}

/// A reply: its data lines without PROGRESS, and its final line.
pub struct Reply {
    /// `ROW`, `LOG`, `EVENT`, `JSON` and `TEXT` lines.
    pub lines: Vec<Parsed>,
    /// How many PROGRESS lines there were.
    pub progress: usize,
    /// `OK` or `ERR`.
    pub end: Parsed,
}

impl Conn {
    /// Connects.
    pub fn open(socket: &Path) -> std::io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(shell::patience(DEADLINE)))?;
        stream.set_write_timeout(Some(shell::patience(DEADLINE)))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// Writes bytes as they are. That the server has closed shows in the next read.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        match self.reader.get_mut().write_all(bytes) {
            Err(e) if e.kind() != ErrorKind::BrokenPipe => panic!("the daemon takes what is sent: {e}"),
            _ => {}
        }
    }

    /// Writes one line.
    #[track_caller]
    pub fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes());
    }

    /// The next line without its LF; none at the end.
    #[track_caller]
    pub fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line) {
            // The server closed before it had read everything: its end all the same.
            Err(e) if e.kind() != ErrorKind::ConnectionReset => panic!("the daemon goes on answering: {e}"),
            _ if line.is_empty() => return None,
            _ => {}
        }
        assert_eq!(line.pop(), Some(b'\n'), "the server closed within a line: {}", String::from_utf8_lossy(&line));
        Some(line)
    }

    /// The next line, read.
    #[track_caller]
    fn any(&mut self) -> Parsed {
        Parsed::read(&self.line().expect("the server closed where a line was due"))
    }

    /// The next line that is not PROGRESS, which a client may ignore.
    #[track_caller]
    pub fn parsed(&mut self) -> Parsed {
        loop {
            let line = self.any();
            if line.head != "PROGRESS" {
                return line;
            }
        }
    }

    /// The lines up to a final one.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        let (mut lines, mut progress) = (Vec::new(), 0);
        loop {
            let line = self.any();
            if line.is_final() {
                return Reply { lines, progress, end: line };
            } else if line.head == "PROGRESS" {
                progress += 1;
            } else {
                lines.push(line);
            }
        }
    }

    /// Sends a line and reads its reply.
    #[track_caller]
    pub fn request(&mut self, line: &str) -> Reply {
        self.send(line);
        self.reply()
    }

    /// The same for a request that must be carried out.
    #[track_caller]
    pub fn ok(&mut self, line: &str) -> Reply {
        let reply = self.request(line);
        assert_eq!(reply.end.head, "OK", "{line}\n{reply:?}");
        reply
    }

    /// The code of the refusal of a request that must be refused; its message must say something.
    #[track_caller]
    pub fn refused(&mut self, line: &str) -> String {
        let reply = self.request(line);
        assert_eq!(reply.end.head, "ERR", "{line}\n{reply:?}");
        let text = reply.end.text();
        assert!(text.split_once(' ').is_some_and(|(_, message)| message.len() > 5), "{line}: no message: {text}");
        reply.code()
    }

    /// Says that no more requests come.
    pub fn half_close(&mut self) {
        self.reader.get_mut().shutdown(Shutdown::Write).expect("a connection can be half-closed");
    }

    /// So many bytes.
    #[track_caller]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).expect("the bytes come");
        bytes
    }

    /// Another handle to write on.
    pub fn writer(&self) -> UnixStream {
        self.reader.get_ref().try_clone().expect("a handle")
    }

    /// The id of the process whose streams the connection has become.
    #[track_caller]
    pub fn raw(&mut self) -> String {
        let line = self.parsed();
        assert!(line.head == "OK" && line.rest.starts_with(b"raw id="), "{line:?}");
        line.get("id").expect("its id")
    }

    /// Everything up to the end.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).expect("the server closes in the end");
        rest
    }
}

impl Reply {
    /// The value of a key of the final line.
    #[track_caller]
    pub fn get(&self, key: &str) -> String {
        self.end.get(key).unwrap_or_else(|| panic!("no {key}= in {:?}", self.end))
    }

    /// The code of a refusal.
    pub fn code(&self) -> String {
        self.end.text().split(' ').next().unwrap_or_default().to_owned()
    }

    /// The value of a key in every row.
    #[track_caller]
    pub fn column(&self, key: &str) -> Vec<String> {
        let rows = self.lines.iter().filter(|line| line.head == "ROW");
        rows.map(|row| row.get(key).unwrap_or_else(|| panic!("no {key}= in {row:?}"))).collect()
    }

    /// What a container wrote, each line as `stdout text` or `stderr text`.
    pub fn logs(&self) -> Vec<String> {
        self.lines.iter().filter(|line| line.head == "LOG").map(Parsed::text).collect()
    }

    /// All that a container wrote to one stream, put together again from its lines and pieces.
    pub fn written(&self, stream: &str) -> String {
        let pieces = self.lines.iter().filter(|line| line.head == "LOG").map(Parsed::text);
        let text = |piece: String| {
            let (head, text) = piece.split_once(' ')?;
            let end = if head.ends_with('+') { "" } else { "\n" };
            (head.trim_end_matches('+') == stream).then(|| format!("{text}{end}"))
        };
        pieces.filter_map(text).collect()
    }

    /// The one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.lines.len(), 1, "{self:?}");
        serde_json::from_slice(&self.lines[0].rest).expect("JSON")
    }
}

impl std::fmt::Debug for Reply {
    /// As the wire had it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in self.lines.iter().chain([&self.end]) {
            writeln!(f, "< {} {}", line.head, line.text())?;
        }
        Ok(())
    }
}
