//! Signals of an attached run go to the container: what would end a program in the foreground ends it there.

use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use gantry::refusal::Code;
use nix::sys::signal::{SigSet, Signal};

use crate::connection::Daemon;
use crate::failure::Failure;
use crate::request::Request;

/// Those that are passed on. Not those that stop and continue the client itself, nor those that its own terminal,
/// pipes and children send.
const PASSED_ON: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
];

/// How long the daemon may take to deliver one: a person at the keyboard must not be held for ever.
const DELIVERY: Duration = Duration::from_secs(10);

/// Which container the signals are for.
#[derive(Clone, Default)]
enum Target {
    /// Not known yet.
    #[default]
    Unknown,
    /// It will have this name, once it is there.
    Expected(String),
    /// It has been started.
    Started(String),
}

/// Passes signals on while it may; shared with the thread that waits for them.
#[derive(Clone)]
pub struct Proxy {
    target: Arc<Mutex<Target>>,
}

impl Proxy {
    /// Takes the signals from here on. Until a target is known, one of them ends the client, and with the connection
    /// the daemon gives up what it was preparing.
    pub fn start(daemon: &Daemon, expected: Option<String>) -> Result<Self, Failure> {
        let target = expected.map_or(Target::Unknown, Target::Expected);
        let proxy = Self { target: Arc::new(Mutex::new(target)) };
        let signals: SigSet = PASSED_ON.into_iter().collect();
        // Before the thread is made, which inherits the mask: else a signal could still end the process.
        signals.thread_block().map_err(|errno| Failure::Io("cannot block signals".to_owned(), errno.into()))?;
        let (waiting, daemon) = (proxy.clone(), daemon.clone());
        let thread =
            thread::Builder::new().name("signals".to_owned()).spawn(move || waiting.pass_on(&signals, &daemon));
        thread.map_err(|error| Failure::Io("cannot watch signals".to_owned(), error))?;
        Ok(proxy)
    }

    /// Tells which container they are for.
    pub fn aim(&self, name: &str) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Target::Started(name.to_owned());
    }

    fn pass_on(&self, signals: &SigSet, daemon: &Daemon) {
        while let Ok(signal) = signals.wait() {
            let target = self.target.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (name, is_started) = match target {
                Target::Unknown => leave(signal),
                Target::Expected(name) => (name, false),
                Target::Started(name) => (name, true),
            };
            match deliver(daemon, &name, signal) {
                Ok(()) => {}
                // It is already over, perhaps removed, and the final line is on its way.
                Err(failure) if failure.is(Code::WrongState) || (is_started && failure.is(Code::NotFound)) => {}
                // Its image is still being pulled.
                Err(failure) if failure.is(Code::NotFound) => leave(signal),
                Err(failure) => {
                    eprintln!("gantry: {} could not be passed on: {failure}", signal.as_str());
                    leave(signal);
                }
            }
        }
    }
}

/// Asks the daemon, over a connection of its own, to send `signal` to the container.
fn deliver(daemon: &Daemon, target: &str, signal: Signal) -> Result<(), Failure> {
    let name = signal.as_str().trim_start_matches("SIG");
    let request = Request::new("kill").positional(target.as_bytes())?.option("signal", name.as_bytes());
    let mut connection = daemon.connect()?;
    connection.answer_within(DELIVERY)?;
    connection.ask(&request).map(|_| ())
}

/// Ends the client as the signal would have.
fn leave(signal: Signal) -> ! {
    process::exit(128 + signal as i32)
}
