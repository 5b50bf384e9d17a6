//! `compose ps`: a project's containers.

use std::time::SystemTime;

use super::session;
use super::there::{Container, containers};
use crate::command::{Call, Outcome};
use crate::commands::{ps, rows};
use crate::{human, table};

const HEAD: [&str; 6] = ["NAME", "IMAGE", "SERVICE", "CREATED", "STATUS", "PORTS"];

/// Lists those that run, or all.
pub fn list(call: &mut Call<'_>) -> Outcome {
    let (format, quiet, is_all) = (call.format()?, call.has("quiet")?, call.has("all")?);
    let (_, project) = session::open(call)?;
    let named = session::named(call);
    let mut there = containers(call.daemon, &project.name)?;
    there.retain(|one| (is_all || one.is_running()) && (named.is_empty() || named.contains(&one.service)));
    if call.has("services")? {
        there.dedup_by(|a, b| a.service == b.service);
        there.iter().try_for_each(|one| call.console.say(&one.service))?;
        return Ok(0);
    }
    if quiet {
        there.iter().try_for_each(|one| call.console.say(one.row.get("id")))?;
        return Ok(0);
    }
    let rows: Vec<_> = there.iter().map(|one| one.row.clone().with("service", &one.service)).collect();
    rows::write(call.console, &format, &rows, ps::field, |out| {
        let now = SystemTime::now();
        table::write(out, &HEAD, &there.iter().map(|one| cells(one, now)).collect::<Vec<_>>())
    })?;
    Ok(0)
}

fn cells(container: &Container, now: SystemTime) -> Vec<String> {
    let row = &container.row;
    vec![
        container.name.clone(),
        row.get("image").to_owned(),
        container.service.clone(),
        human::ago(row.get("created"), now),
        ps::status(row, now),
        row.get("ports").replace(',', ", "),
    ]
}
