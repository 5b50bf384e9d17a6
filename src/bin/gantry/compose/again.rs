//! `compose restart`, `stop`, `start` and `kill`: the same verb for each container, in the order that it wants.

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

/// Sends containers a signal, those that others wait for last.
pub fn kill(call: &mut Call<'_>) -> Outcome {
    each(call, "kill", "Killed", false)
}

fn each(call: &mut Call<'_>, verb: &'static str, done: &'static str, is_forwards: bool) -> Outcome {
    let (_, project) = session::open(call)?;
    let named = session::named(call);
    let options: Vec<_> = call.options()?.into_iter().chain(session::timeout(call)?).collect();
    let meant = order::meant(&project, &named, !named.is_empty())?;
    let daemon = call.daemon.clone();
    session::told(call, move |teller| {
        let there = containers(&daemon, &project.name)?;
        // What runs already is not started, and what does not run hears no signal.
        let is_meant = |running: bool| match verb {
            "start" => !running,
            "kill" => running,
            _ => true,
        };
        let services: BTreeSet<_> =
            there.iter().map(|one| one.service.clone()).filter(|service| meant.contains(service)).collect();
        let graph =
            if is_forwards { order::forwards(&project, &services) } else { order::backwards(&project, &services) };
        order::each(graph, &|service| {
            let names = there.iter().filter(|one| one.service == service && is_meant(one.is_running()));
            let names: Vec<_> = names.map(|one| one.name.clone()).collect();
            at_once(&names, &|name: &String| {
                session::ask(&daemon, verb, name, &options)?;
                say(teller, format!("Container {name}  {done}"));
                Ok(())
            })
        })
    })
}
