//! `gantry top` alone: containers as they are now, on the whole screen, until the person has seen enough.
//!
//! ```text
//! feed (one connection: stats, events, ps, what keys ask for) \
//! keys (keyboard, size of the terminal)                        > notes -> model (pure) -> view (pure) -> screen
//! signals                                                     /              \-> requests -> feed
//! ```
//!
//! Nothing is polled: the daemon sends a sample each second, and tells of every change by an event, behind which `ps` is
//! asked once.

mod feed;
mod keys;
mod logs;
mod model;
mod screen;
mod view;

use std::io::{IsTerminal, stdin};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::SystemTime;

use gantry::wire::reply::Parsed;
use nix::sys::signal::{SigSet, Signal};
use ratatui::crossterm::event::{Event, read};

use crate::command::{Call, Outcome};
use crate::failure::Failure;
use feed::Feed;
use model::{Model, Next};
use screen::Screen;

/// How many notes may wait: whoever brings more waits, the daemon too.
const NOTES_MAX: usize = 256;

/// What happened.
enum Note {
    /// The daemon said something.
    Line(Parsed),
    /// The daemon has gone.
    Gone,
    /// A key was pressed, or the terminal has another size.
    Terminal(Event),
    /// The client is to end.
    Signal(Signal),
}

/// Shows them until a key, a signal or the end of the daemon.
pub fn live(call: &mut Call<'_>) -> Outcome {
    if !(stdin().is_terminal() && call.console.out_is_terminal) {
        let why =
            "without NAME it is a live view, for which both ends must be a terminal; see gantry stats --no-stream";
        return Err(Failure::Usage(why.to_owned()));
    }
    let (teller, notes) = sync_channel(NOTES_MAX);
    // Before any thread is made, which inherits the mask.
    watch_signals(teller.clone())?;
    let told = teller.clone();
    let mut feed = Feed::open(call.daemon, move |line| told.send(line.map_or(Note::Gone, Note::Line)).is_ok())?;
    let mut screen = Screen::enter(call.console.is_coloured(false))?;
    watch_terminal(teller)?;
    show(&notes, &mut feed, &mut screen)
}

fn show(notes: &Receiver<Note>, feed: &mut Feed, screen: &mut Screen) -> Outcome {
    let mut model = Model::default();
    model.begin();
    loop {
        feed.send(model.requests())?;
        screen.draw(&mut model, SystemTime::now())?;
        // Whatever has come is taken in before the next picture: a burst is drawn once.
        let mut next = notes.recv().ok();
        while let Some(note) = next {
            match note {
                Note::Line(line) => model.take(&line)?,
                Note::Gone => return Err(Failure::WentAway),
                Note::Signal(signal) => return Ok(128 + signal as u8),
                Note::Terminal(Event::Key(key)) if keys::press(&mut model, key) == Next::Leave => return Ok(0),
                // The next picture has the new size.
                Note::Terminal(_) => {}
            }
            next = notes.try_recv().ok();
        }
    }
}

fn watch_signals(teller: SyncSender<Note>) -> Result<(), Failure> {
    let signals: SigSet = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM].into_iter().collect();
    signals.thread_block().map_err(|errno| Failure::Io("cannot block signals".to_owned(), errno.into()))?;
    begin("signals", move || while signals.wait().is_ok_and(|signal| teller.send(Note::Signal(signal)).is_ok()) {})
}

fn watch_terminal(teller: SyncSender<Note>) -> Result<(), Failure> {
    begin("keys", move || while read().is_ok_and(|event| teller.send(Note::Terminal(event)).is_ok()) {})
}

fn begin(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.map(|_| ()).map_err(|error| Failure::Io("cannot start a thread".to_owned(), error))
}
