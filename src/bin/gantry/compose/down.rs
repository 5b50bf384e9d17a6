//! `compose down`: a project's containers stop in the reverse of the order in which they started, and nothing stays of it.

use std::collections::BTreeSet;

use super::model::Project;
use super::notes::Teller;
use super::order::{self, at_once};
use super::there::{Container, containers};
use super::{ground, session};
use crate::command::{Call, Outcome};
use crate::connection::Daemon;
use crate::failure::Failure;
use crate::flag::Pair;

/// Removes containers and networks, and volumes where they are to go too.
pub fn down(call: &mut Call<'_>) -> Outcome {
    let (_, project) = session::open(call)?;
    let (timeout, orphans_go, volumes_go) =
        (session::timeout(call)?, call.has("remove-orphans")?, call.has("volumes")?);
    let daemon = call.daemon.clone();
    session::told(call, move |teller| {
        let there = containers(&daemon, &project.name)?;
        let (known, orphans): (Vec<_>, Vec<_>) =
            there.into_iter().partition(|container| project.service(&container.service).is_some());
        if orphans_go {
            remove(&daemon, &names(&orphans, |_| true), &timeout, teller)?;
        }
        all(&daemon, &project, &known, &timeout, teller)?;
        ground::clear(&daemon, &project, volumes_go, teller)
    })
}

/// Those first that others wait for last.
fn all(
    daemon: &Daemon,
    project: &Project,
    there: &[Container],
    timeout: &[Pair],
    teller: &Teller,
) -> Result<(), Failure> {
    let services: BTreeSet<_> = there.iter().map(|container| container.service.clone()).collect();
    order::each(order::backwards(project, &services), &|service| {
        remove(daemon, &names(there, |container| container.service == service), timeout, teller)
    })
}

fn names(containers: &[Container], is_meant: impl Fn(&Container) -> bool) -> Vec<String> {
    containers.iter().filter(|container| is_meant(container)).map(|container| container.name.clone()).collect()
}

fn remove(daemon: &Daemon, names: &[String], timeout: &[Pair], teller: &Teller) -> Result<(), Failure> {
    at_once(names, &|name: &String| session::stop_and_remove(daemon, name, timeout, teller))
}
