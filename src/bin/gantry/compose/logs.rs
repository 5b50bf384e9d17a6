//! `compose logs`: what a project's containers wrote, with their names before it.

use super::follow::{self, Printer};
use super::notes::{self, Note};
use super::session;
use super::there::containers;
use crate::command::{Call, Outcome};
use crate::failure::Failure;

/// One container after another; with `-f` all at once, to the end of the last.
pub fn logs(call: &mut Call<'_>) -> Outcome {
    let (_, project) = session::open(call)?;
    let (named, options) = (session::named(call), call.options()?);
    if let Some(unknown) = named.iter().find(|name| project.service(name).is_none()) {
        return Err(Failure::Usage(format!("there is no service {unknown}")));
    }
    let mut there = containers(call.daemon, &project.name)?;
    there.retain(|one| named.is_empty() || named.contains(&one.service));
    let is_coloured = call.console.is_coloured(call.has("no-color")?);
    let names = there.iter().map(|one| one.shown()).collect();
    let mut printer = Printer::new(names, is_coloured, !call.has("no-log-prefix")?);
    let console = &mut *call.console;
    if !options.iter().any(|(key, value)| *key == "follow" && value == b"yes") {
        for one in &there {
            let shown = one.shown();
            follow::lines(call.daemon, &one.name, &options, |stream, text| {
                printer.line(console, &shown, stream, &text)
            })?;
        }
        return Ok(0);
    }
    let (teller, notes) = notes::channel();
    for one in &there {
        follow::start(call.daemon, one.name.clone(), one.shown(), options.clone(), teller.clone())?;
    }
    // It ends when the last of those who tell does.
    drop(teller);
    for note in notes {
        if let Note::Line { shown, stream, text } = note {
            printer.line(console, &shown, stream, &text)?;
        }
    }
    Ok(0)
}
