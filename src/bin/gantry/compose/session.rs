//! A compose command as typed: the project that it is about, and what is shared by all of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::load::{self, Loaded, Wanted};
use super::model::Project;
use super::notes::{self, Note, Teller, say};
use crate::command::Call;
use crate::connection::Daemon;
use crate::failure::Failure;
use crate::flag::Pair;
use crate::request::Request;

/// The files, put together, and the project that they describe. What a person should hear of them is told.
pub fn open(call: &mut Call<'_>) -> Result<(Loaded, Project), Failure> {
    let loaded = load::load(&wanted(call), &environment())?;
    for warning in &loaded.warnings {
        writeln!(call.console.err, "gantry: {warning}").map_err(Failure::output)?;
    }
    call.console.flush()?;
    let project = Project::read(&loaded)?;
    Ok((loaded, project))
}

/// What was typed before the command or behind it.
fn wanted(call: &Call<'_>) -> Wanted {
    let text = |word: OsString| word.to_string_lossy().into_owned();
    let last = |flag: &str| call.values(flag).pop();
    Wanted {
        files: call.values("file").into_iter().map(PathBuf::from).collect(),
        env_files: call.values("env-file").into_iter().map(PathBuf::from).collect(),
        name: last("project-name").map(text),
        directory: last("project-directory").map(PathBuf::from),
        profiles: call.values("profile").into_iter().map(text).collect(),
    }
}

/// The client's environment, as far as it is text.
fn environment() -> BTreeMap<String, String> {
    let pairs = std::env::vars_os();
    pairs.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// Does `work` on a thread of its own, and writes what it tells meanwhile.
pub fn told(
    call: &mut Call<'_>,
    work: impl FnOnce(&Teller) -> Result<(), Failure> + Send + 'static,
) -> Result<u8, Failure> {
    let (teller, notes) = notes::channel();
    let body = move || {
        let outcome = work(&teller);
        let _ = teller.send(Note::Done(outcome));
    };
    let thread = std::thread::Builder::new().name("work".to_owned()).spawn(body);
    thread.map_err(|error| Failure::Io("cannot start a thread".to_owned(), error))?;
    for note in notes {
        match note {
            Note::Said(what) => {
                let err = &mut call.console.err;
                writeln!(err, "{what}").and_then(|()| err.flush()).map_err(Failure::output)?;
            }
            Note::Done(outcome) => return outcome.map(|()| 0),
            _ => {}
        }
    }
    Err(Failure::Usage("the work ended without a result".to_owned()))
}

/// The services that were named.
pub fn named(call: &Call<'_>) -> Vec<String> {
    call.operands().into_iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The option of a stop that `-t` asks for.
pub fn timeout(call: &Call<'_>) -> Result<Vec<Pair>, Failure> {
    let Some(typed) = call.value("timeout") else { return Ok(Vec::new()) };
    crate::value::duration("timeout", typed).map_err(|why| Failure::Usage(format!("--timeout: {why}")))
}

/// Asks the daemon to do something to a container, over a connection of its own.
pub fn ask(daemon: &Daemon, verb: &str, name: &str, options: &[Pair]) -> Result<(), Failure> {
    let request = Request::new(verb).positional(name.as_bytes())?.options(options);
    daemon.connect()?.ask(&request).map(|_| ())
}

/// The same where it is no failure that there is no such thing (any more).
pub fn ask_if_there(daemon: &Daemon, verb: &str, name: &str, options: &[Pair]) -> Result<bool, Failure> {
    match ask(daemon, verb, name, options) {
        Ok(()) => Ok(true),
        Err(failure) if failure.is(gantry::refusal::Code::NotFound) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Stops a container and removes it.
pub fn stop_and_remove(daemon: &Daemon, name: &str, timeout: &[Pair], teller: &Teller) -> Result<(), Failure> {
    if ask_if_there(daemon, "stop", name, timeout)? && ask_if_there(daemon, "rm", name, &[])? {
        say(teller, format!("Container {name}  Removed"));
    }
    Ok(())
}
