//! The connection of a session: a line out, its reply to the terminal, and another connection where this one is given up.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use gantry::wire::reply::Parsed;

use super::queue::{Note, Queue};
use crate::connection::{Connection, Daemon};
use crate::failure::Failure;

/// A connection, with the thread that reads it.
pub struct Talk {
    daemon: Daemon,
    queue: Arc<Queue>,
    writer: UnixStream,
}

impl Talk {
    /// Connects.
    pub fn begin(daemon: Daemon, queue: Arc<Queue>) -> Result<Self, Failure> {
        let writer = open(&daemon, &queue)?;
        Ok(Self { daemon, queue, writer })
    }

    /// Sends a line, and shows what comes until it is answered; at once where it has a tag.
    pub fn say(&mut self, line: &str, is_tagged: bool, out: &mut dyn Write) -> Result<(), Failure> {
        // What has come before is not the answer.
        self.show_what_waits(out)?;
        // Where the daemon has hung up, it may have said why: the next line tells.
        let _ = self.writer.write_all(line.as_bytes()).and_then(|()| self.writer.write_all(b"\n"));
        if is_tagged {
            return Ok(());
        }
        loop {
            match self.queue.take() {
                Note::Line(line) => {
                    show(out, &line)?;
                    let parsed = Parsed::read(&line);
                    let is_raw = parsed.head == "OK" && parsed.rest.starts_with(b"raw ");
                    if parsed.tag.is_none() && is_raw {
                        let why = "a shell has lines, and that connection has none any more; say raw=no, or use gantry exec -it";
                        return self.again(why, out);
                    }
                    if parsed.tag.is_none() && parsed.is_final() {
                        return Ok(());
                    }
                }
                Note::Interrupted => return self.again("given up, on a new connection", out),
                Note::Closed => return Err(Failure::WentAway),
            }
        }
    }

    /// Shows what came behind the last answer and before this line was typed to its end.
    fn show_what_waits(&self, out: &mut dyn Write) -> Result<(), Failure> {
        while let Some(line) = self.queue.take_waiting() {
            show(out, &line)?;
        }
        Ok(())
    }

    /// Hangs up, says why, and connects again.
    fn again(&mut self, why: &str, out: &mut dyn Write) -> Result<(), Failure> {
        let _ = self.writer.shutdown(Shutdown::Both);
        self.writer = open(&self.daemon, &self.queue)?;
        show(out, format!("# {why}").as_bytes())?;
        Ok(())
    }
}

fn show(out: &mut dyn Write, line: &[u8]) -> Result<(), Failure> {
    out.write_all(line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).map_err(Failure::output)
}

/// A connection that is read from by a thread of its own; gives the way to write.
fn open(daemon: &Daemon, queue: &Arc<Queue>) -> Result<UnixStream, Failure> {
    let connection = daemon.connect()?;
    let (writer, number, queue) = (connection.writer()?, queue.next_connection(), Arc::clone(queue));
    let thread = thread::Builder::new().name("reader".to_owned()).spawn(move || read(connection, number, &queue));
    thread.map_err(|error| Failure::Io("cannot start a thread".to_owned(), error))?;
    Ok(writer)
}

fn read(mut connection: Connection, number: usize, queue: &Queue) {
    while let Ok(line) = connection.next_line() {
        if !queue.put(number, Note::Line(line.to_vec())) {
            return;
        }
    }
    queue.put(number, Note::Closed);
}
