//! `compose up`: brings a project up, and stays with it unless told to leave it in the background.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use super::abort::Abort;
use super::follow::{self, Printer};
use super::model::{Project, Service};
use super::notes::{self, Note, Teller};
use super::order::{self, at_once};
use super::plan::Replace;
use super::session;
use super::there::{Container, containers, shown};
use super::work::{self, Asked};
use crate::command::{Call, Outcome};
use crate::console::Console;
use crate::failure::Failure;
use crate::flag::Pair;

/// The exit status of one that was interrupted, as a shell has it for INT.
const INTERRUPTED: u8 = 130;

/// Brings the project up.
pub fn up(call: &mut Call<'_>) -> Outcome {
    let stays = !(call.has("detach")? || call.has("wait")? || call.has("no-start")?);
    let asked = Arc::new(asked(call)?);
    let abort = Abort::typed(call, &asked.project)?;
    if stays {
        // Before any thread is made, which inherits the mask: else a signal could still end the process.
        signals().thread_block().map_err(|errno| Failure::Io("cannot block signals".to_owned(), errno.into()))?;
    }
    let (teller, notes) = notes::channel();
    let is_over = Arc::new(AtomicBool::new(false));
    let worker = (Arc::clone(&asked), teller.clone(), Arc::clone(&is_over));
    begin("work", move || {
        let (asked, teller, is_over) = worker;
        let outcome = work::bring_up(&asked, &teller, &is_over);
        let _ = teller.send(Note::Done(outcome));
    })?;
    let printer = printer(call, &asked)?;
    let mut screen = Screen {
        console: &mut *call.console,
        printer,
        asked,
        teller,
        is_over,
        stays,
        abort,
        followed: BTreeMap::new(),
        stops: 0,
    };
    screen.watch(&notes)
}

fn signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}

fn begin(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.map(|_| ()).map_err(|error| Failure::Io("cannot start a thread".to_owned(), error))
}

fn printer(call: &Call<'_>, asked: &Asked) -> Result<Printer, Failure> {
    let is_coloured = call.console.is_coloured(call.has("no-color")?);
    let services = asked.services.iter().filter_map(|name| asked.project.service(name));
    let names = services.flat_map(|service| {
        let name = |number| service.container(&asked.project.name, number);
        (1..=service.replicas).map(move |number| shown(&name(number), &service.name, number))
    });
    Ok(Printer::new(names.collect(), is_coloured, !call.has("no-log-prefix")?))
}

/// What was typed, with the project that it is about.
fn asked(call: &mut Call<'_>) -> Result<Asked, Failure> {
    let (_, mut project) = session::open(call)?;
    for (service, count) in scales(call)? {
        project.scale(&service, count)?;
    }
    let named = session::named(call);
    let services = order::meant(&project, &named, call.has("no-deps")?)?;
    let replace = match (call.has("force-recreate")?, call.has("no-recreate")?) {
        (true, true) => {
            return Err(Failure::Usage("--force-recreate and --no-recreate contradict each other".to_owned()));
        }
        (true, false) => Replace::Always,
        (false, true) => Replace::Never,
        (false, false) => Replace::Changed,
    };
    let limit = call.number("wait-timeout")?.map(|seconds| Duration::from_secs(seconds as u64));
    Ok(Asked {
        daemon: call.daemon.clone(),
        named: if named.is_empty() { services.clone() } else { named.into_iter().collect() },
        project,
        services,
        replace,
        pull: call.value("pull").map(|when| when.as_encoded_bytes().to_vec()),
        source: call.options()?,
        timeout: session::timeout(call)?,
        orphans_go: call.has("remove-orphans")?,
        only_make: call.has("no-start")?,
        wait: call.has("wait")?.then_some(limit),
    })
}

/// `--scale SERVICE=NUMBER`, each service's last.
fn scales(call: &Call<'_>) -> Result<BTreeMap<String, usize>, Failure> {
    let read = |word: std::ffi::OsString| {
        let text = word.to_string_lossy().into_owned();
        let pair =
            text.split_once('=').and_then(|(name, count)| Some((name.to_owned(), gantry::wire::units::number(count)?)));
        pair.ok_or_else(|| Failure::Usage(format!("--scale: {text:?} is not SERVICE=NUMBER")))
    };
    call.values("scale").into_iter().map(read).collect()
}

/// The one who writes, and who hears signals.
struct Screen<'a> {
    console: &'a mut Console,
    printer: Printer,
    asked: Arc<Asked>,
    teller: Teller,
    is_over: Arc<AtomicBool>,
    stays: bool,
    abort: Abort,
    /// Containers that are followed, or were, by name.
    followed: BTreeMap<String, Followed>,
    /// How often an end was wanted.
    stops: usize,
}

/// A container that is followed, or was.
struct Followed {
    /// What it is called before its lines.
    shown: String,
    /// Whence to go on where it is started again, once it has ended.
    behind: Option<Pair>,
    /// Whether it was started again before its end was told.
    is_again: bool,
}

impl Screen<'_> {
    fn watch(&mut self, notes: &Receiver<Note>) -> Outcome {
        if self.stays {
            let teller = self.teller.clone();
            follow::watch_starts(&self.asked.daemon, self.teller.clone())?;
            begin("signals", move || while signals().wait().is_ok() && teller.send(Note::Interrupted).is_ok() {})?;
        }
        let (mut is_working, mut is_stopped) = (true, false);
        loop {
            let Ok(note) = notes.recv() else { return Ok(0) };
            match note {
                Note::Said(what) => self.say(&what)?,
                Note::Runs { name, shown, from } if self.stays => self.follow(name, shown, from)?,
                Note::Again { name } => self.again(&name)?,
                Note::Runs { .. } => {}
                Note::Line { shown, stream, text } => self.printer.line(self.console, &shown, stream, &text)?,
                Note::Ended { shown, exit, behind } => self.ended(&shown, &exit, behind)?,
                Note::Done(Ok(())) => is_working = false,
                // What was interrupted has failed because of that.
                Note::Done(Err(failure)) if self.stops == 0 => return Err(failure),
                Note::Done(Err(_)) => is_working = false,
                Note::Stopped(outcome) => {
                    outcome?;
                    is_stopped = true;
                }
                Note::Interrupted => {
                    if self.stops == 0 {
                        self.abort.leave();
                    }
                    self.stop()?;
                }
            }
            let all_ended = self.followed.values().all(|one| one.behind.is_some());
            match self.stops {
                0 if all_ended && !is_working => return Ok(0),
                1.. if all_ended && is_stopped => return Ok(self.abort.status().unwrap_or(INTERRUPTED)),
                _ => {}
            }
        }
    }

    /// Shows what a container writes, from there on.
    fn follow(&mut self, name: String, shown: String, from: Vec<Pair>) -> Result<(), Failure> {
        self.followed.insert(name.clone(), Followed { shown: shown.clone(), behind: None, is_again: false });
        let options = [("follow", b"yes".to_vec())].into_iter().chain(from).collect();
        follow::start(&self.asked.daemon, name, shown, options, self.teller.clone())
    }

    /// Follows on where somebody has started a container again.
    fn again(&mut self, name: &str) -> Result<(), Failure> {
        let Some(known) = self.followed.get_mut(name) else { return Ok(()) };
        let Some(behind) = known.behind.take() else {
            // Its end is yet to be told.
            known.is_again = true;
            return Ok(());
        };
        let shown = known.shown.clone();
        self.follow(name.to_owned(), shown, vec![behind])
    }

    /// What a container wrote is told to its end. Where it was started meanwhile, be it for the first time, it is looked at
    /// once more.
    fn ended(&mut self, shown: &str, exit: &str, behind: Pair) -> Result<(), Failure> {
        let Some((name, known)) = self.followed.iter_mut().find(|(_, known)| known.shown == shown) else {
            return Ok(());
        };
        if std::mem::take(&mut known.is_again) {
            let name = name.clone();
            return self.follow(name, shown.to_owned(), vec![behind]);
        }
        known.behind = Some(behind);
        let service = service_of(&self.asked.project, name).unwrap_or_default();
        let ends_all = self.abort.ended(&self.asked.project, &service, exit);
        self.say(&format!("{shown} exited with code {exit}"))?;
        if ends_all && self.stops == 0 { self.stop() } else { Ok(()) }
    }

    /// First it asks, then it kills, then it leaves.
    fn stop(&mut self) -> Result<(), Failure> {
        self.stops += 1;
        self.is_over.store(true, Ordering::Relaxed);
        let (asked, teller) = (Arc::clone(&self.asked), self.teller.clone());
        match self.stops {
            1 => {
                self.say("Stopping; once more kills")?;
                begin("stop", move || drop(teller.send(Note::Stopped(stop_all(&asked)))))
            }
            2 => {
                self.say("Killing")?;
                begin("kill", move || drop(teller.send(Note::Stopped(kill_all(&asked)))))
            }
            _ => Err(Failure::Usage("left while containers were being killed".to_owned())),
        }
    }

    fn say(&mut self, what: &str) -> Result<(), Failure> {
        self.console.flush()?;
        writeln!(self.console.err, "{what}").and_then(|()| self.console.err.flush()).map_err(Failure::output)
    }
}

/// The service that a container of this name is of.
fn service_of(project: &Project, name: &str) -> Option<String> {
    let is_of =
        |service: &&Service| (1..=service.replicas).any(|number| service.container(&project.name, number) == name);
    project.services.iter().find(is_of).map(|service| service.name.clone())
}

/// How often it is looked whether a start that was under way has brought one more.
const ROUNDS: usize = 3;

fn stop_all(asked: &Asked) -> Result<(), Failure> {
    for round in 0..ROUNDS {
        // The first time those too that rest before their next start.
        let names = names(asked, |container| round == 0 || container.is_running())?;
        if names.is_empty() {
            break;
        }
        order::each(order::backwards(&asked.project, &asked.services), &|service| {
            let of: Vec<_> = names.iter().filter(|(of, _)| of == service).map(|(_, name)| name.clone()).collect();
            at_once(&of, &|name: &String| {
                session::ask_if_there(&asked.daemon, "stop", name, &asked.timeout).map(|_| ())
            })
        })?;
    }
    Ok(())
}

fn kill_all(asked: &Asked) -> Result<(), Failure> {
    let names: Vec<_> = names(asked, |_| true)?.into_iter().map(|(_, name)| name).collect();
    let at_once_dead = [("timeout", b"0".to_vec())];
    at_once(&names, &|name: &String| session::ask_if_there(&asked.daemon, "stop", name, &at_once_dead).map(|_| ()))
}

/// Service and name of the containers that are meant.
fn names(asked: &Asked, is_meant: impl Fn(&Container) -> bool) -> Result<Vec<(String, String)>, Failure> {
    let there = containers(&asked.daemon, &asked.project.name)?;
    let meant = there.into_iter().filter(|one| asked.services.contains(&one.service) && is_meant(one));
    Ok(meant.map(|one| (one.service, one.name)).collect())
}
