//! A daemon for the unit tests: a socket that expects certain requests and has their replies ready.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use gantry::wire::reply::Parsed;

use crate::console::Console;

/// Requests that are expected, in order, each with its reply; `*` expects any.
pub struct Script(VecDeque<(String, String)>);

/// What a command did.
pub struct Ran {
    /// Its exit status.
    pub status: u8,
    /// What it wrote, where that is text.
    pub out: String,
    /// What it wrote.
    pub out_bytes: Vec<u8>,
    /// What it told a person.
    pub err: String,
    /// What it sent.
    pub requests: Vec<String>,
}

#[derive(Clone, Default)]
struct Written(Rc<RefCell<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Script {
    /// A script of these exchanges.
    pub fn of(exchanges: &[(&str, &str)]) -> Self {
        Self(exchanges.iter().map(|(request, reply)| ((*request).to_owned(), (*reply).to_owned())).collect())
    }

    /// Runs the client against it, and holds that all of it was played.
    pub fn run(self, words: &[&str]) -> Ran {
        let socket = fresh_path();
        let listener = UnixListener::bind(&socket).unwrap();
        let daemon = thread::spawn(move || self.play(&listener));
        let mut ran = client(&socket, words);
        // Ends the accept loop.
        UnixStream::connect(&socket).unwrap().write_all(b"END\n").unwrap();
        let (requests, left) = daemon.join().unwrap();
        std::fs::remove_file(&socket).unwrap();
        assert!(left.is_empty(), "never asked: {left:?}; asked: {requests:?}; told: {}", ran.err);
        ran.requests = requests;
        ran
    }

    /// Runs the client where nobody answers.
    pub fn without_daemon(self, words: &[&str]) -> Ran {
        client(&fresh_path(), words)
    }

    fn play(mut self, listener: &UnixListener) -> (Vec<String>, VecDeque<(String, String)>) {
        let mut requests = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let line = line.unwrap();
                if line == "END" {
                    return (requests, self.0);
                }
                let (expected, reply) = self.0.pop_front().unwrap_or_default();
                assert!(expected == "*" || line == expected, "asked {line:?}, expected {expected:?}");
                requests.push(line);
                stream.write_all(reply.as_bytes()).unwrap();
                if !reply.lines().any(|line| Parsed::read(line.as_bytes()).is_final()) {
                    break;
                }
            }
        }
        (requests, self.0)
    }
}

fn client(socket: &PathBuf, words: &[&str]) -> Ran {
    let (out, err) = (Written::default(), Written::default());
    let mut console = Console {
        out: Box::new(out.clone()),
        err: Box::new(err.clone()),
        out_is_terminal: false,
        err_is_terminal: false,
    };
    let mut typed: Vec<OsString> = vec!["gantry".into(), "--socket".into(), socket.into()];
    typed.extend(words.iter().map(OsString::from));
    let status = crate::carry_out(&typed, &mut console);
    let (out_bytes, err) = (out.0.take(), String::from_utf8_lossy(&err.0.take()).into_owned());
    Ran { status, out: String::from_utf8_lossy(&out_bytes).into_owned(), out_bytes, err, requests: Vec::new() }
}

fn fresh_path() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("gantry-script-{}-{count}.sock", std::process::id()))
}
