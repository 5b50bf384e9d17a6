//! The one connection: every request has a tag, so that all of them run beside each other.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::thread;

use gantry::wire::reply::Parsed;

use crate::connection::Daemon;
use crate::failure::Failure;
use crate::request::Request;

/// The way to ask. What is answered goes to whoever opened it.
pub struct Feed {
    writer: UnixStream,
}

impl Feed {
    /// Connects, and hands every line to `each`, none where the daemon has gone, until `each` wants no more.
    pub fn open(
        daemon: &Daemon,
        mut each: impl FnMut(Option<Parsed>) -> bool + Send + 'static,
    ) -> Result<Self, Failure> {
        let mut connection = daemon.connect()?;
        let writer = connection.writer()?;
        let body = move || {
            while let Ok(line) = connection.next_line() {
                if !each(Some(Parsed::read(line))) {
                    return;
                }
            }
            each(None);
        };
        let thread = thread::Builder::new().name("feed".to_owned()).spawn(body);
        thread.map_err(|error| Failure::Io("cannot start a thread".to_owned(), error))?;
        Ok(Self { writer })
    }

    /// Sends requests with their tags.
    pub fn send(&mut self, requests: Vec<(String, Request)>) -> Result<(), Failure> {
        for (tag, request) in requests {
            if self.writer.write_all(&request.tagged_line(&tag)).is_err() {
                // That it has gone is told by the one who reads.
                return Ok(());
            }
        }
        Ok(())
    }
}
