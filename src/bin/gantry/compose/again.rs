//! `compose restart`, `stop` and `start`: the same verb for each container, in the order that it wants.

use std::collections::BTreeSet;

use super::notes::say;
use super::order::{self, at_once};
use super::session;
use super::there::containers;
use crate::command::{Call, Outcome};

/// Stops containers and starts them again, those that others wait for first.
pub fn restart(call: &mut Call<'_>) -> Outcome {
    each(call, "restart", "Restarted", true)
}

/// Stops containers, those that others wait for last.
pub fn stop(call: &mut Call<'_>) -> Outcome {
    each(call, "stop", "Stopped", false)
}

/// Starts containers that were stopped, those that others wait for first.
pub fn start(call: &mut Call<'_>) -> Outcome {
    each(call, "start", "Started", true)
}

fn each(call: &mut Call<'_>, verb: &'static str, done: &'static str, is_forwards: bool) -> Outcome {
    let (_, project) = session::open(call)?;
    let (named, timeout) = (session::named(call), session::timeout(call)?);
    let meant = order::meant(&project, &named, !named.is_empty())?;
    let daemon = call.daemon.clone();
    session::told(call, move |teller| {
        let there = containers(&daemon, &project.name)?;
        // Nothing is done to what runs already by starting it.
        let is_meant = |running: bool| verb != "start" || !running;
        let services: BTreeSet<_> =
            there.iter().map(|one| one.service.clone()).filter(|service| meant.contains(service)).collect();
        let graph =
            if is_forwards { order::forwards(&project, &services) } else { order::backwards(&project, &services) };
        order::each(graph, &|service| {
            let names = there.iter().filter(|one| one.service == service && is_meant(one.is_running()));
            let names: Vec<_> = names.map(|one| one.name.clone()).collect();
            at_once(&names, &|name: &String| {
                session::ask(&daemon, verb, name, &timeout)?;
                say(teller, format!("Container {name}  {done}"));
                Ok(())
            })
        })
    })
}
