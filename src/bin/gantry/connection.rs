//! The way to the daemon: one line out, lines back. No verb and no meaning.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use gantry::wire::reply::Parsed;

use crate::failure::Failure;
use crate::request::Request;

/// The longest reply line that is taken in: far above any that is sent, and the bound of this client's memory.
const REPLY_LINE_MAX: u64 = 64 << 20;

/// Where the daemon answers.
#[derive(Clone, Debug)]
pub struct Daemon {
    socket: PathBuf,
}

impl Daemon {
    /// The daemon behind `socket`.
    pub fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// A connection to it.
    pub fn connect(&self) -> Result<Connection, Failure> {
        let stream = UnixStream::connect(&self.socket);
        let stream = stream.map_err(|error| Failure::Unreachable(self.socket.clone(), error))?;
        Ok(Connection { reader: BufReader::with_capacity(64 << 10, stream), line: Vec::new() })
    }
}

/// One connection. Requests on it run one after another.
pub struct Connection {
    reader: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl Connection {
    /// Gives up where an answer takes longer than `limit`, which is not zero.
    pub fn answer_within(&self, limit: Duration) -> Result<(), Failure> {
        let set = self.reader.get_ref().set_read_timeout(Some(limit));
        set.map_err(|error| Failure::Io("cannot set a time limit".to_owned(), error))
    }

    /// Sends bytes that end a line.
    pub fn send(&mut self, line: &[u8]) -> Result<(), Failure> {
        let mut stream = self.reader.get_ref();
        match stream.write_all(line) {
            // The daemon may have said why before it hung up: the next line tells.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
            result => result.map_err(|error| Failure::Io("cannot write to the daemon".to_owned(), error)),
        }
    }

    /// The next line of a reply, without its LF.
    pub fn next_line(&mut self) -> Result<&[u8], Failure> {
        self.line.clear();
        let read = (&mut self.reader).take(REPLY_LINE_MAX).read_until(b'\n', &mut self.line);
        match read {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(Failure::WentAway),
            Err(error) => return Err(Failure::Io("cannot read from the daemon".to_owned(), error)),
            Ok(length) if length as u64 == REPLY_LINE_MAX => {
                return Err(Failure::Garbled("an endless line".to_owned()));
            }
            Ok(_) => {}
        }
        self.line.strip_suffix(b"\n").ok_or(Failure::WentAway)
    }

    /// Whether the next line would have to be waited for.
    pub fn is_quiet(&self) -> bool {
        !self.reader.buffer().contains(&b'\n')
    }

    /// Sends `request` and hands each data line of its reply to `each`, with whether more of them wait already; gives
    /// back the `OK` line.
    pub fn exchange(
        &mut self,
        request: &Request,
        mut each: impl FnMut(&Parsed, bool) -> Result<(), Failure>,
    ) -> Result<Parsed, Failure> {
        self.send(&request.line())?;
        loop {
            let line = Parsed::read(self.next_line()?);
            match line.head.as_str() {
                "OK" => return Ok(line),
                "ERR" => return Err(Failure::refused(&line.text())),
                _ => each(&line, self.is_quiet())?,
            }
        }
    }

    /// The two ways of a connection that is no longer one of lines.
    pub fn into_streams(self) -> Result<(BufReader<UnixStream>, UnixStream), Failure> {
        let writer = self.writer()?;
        Ok((self.reader, writer))
    }

    /// Another handle to write on.
    pub fn writer(&self) -> Result<UnixStream, Failure> {
        let writer = self.reader.get_ref().try_clone();
        writer.map_err(|error| Failure::Io("cannot share the connection".to_owned(), error))
    }

    /// Sends `request` where only its final line counts.
    pub fn ask(&mut self, request: &Request) -> Result<Parsed, Failure> {
        self.exchange(request, |_, _| Ok(()))
    }
}
