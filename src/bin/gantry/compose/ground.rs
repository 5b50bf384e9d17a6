//! What containers of a project stand on: its networks, its volumes, directories of the host.

use std::collections::BTreeSet;
use std::fs;

use gantry::refusal::Code;
use serde_json::Value;

use super::model::{Network, Project, Service};
use super::notes::{Teller, say};
use super::session::{ask, ask_if_there};
use crate::commands::inspect;
use crate::connection::Daemon;
use crate::failure::Failure;
use crate::flag::Pair;

/// Makes what these services need and is not there.
pub fn prepare(
    daemon: &Daemon,
    project: &Project,
    services: &BTreeSet<String>,
    teller: &Teller,
) -> Result<(), Failure> {
    let services: Vec<&Service> = services.iter().filter_map(|name| project.service(name)).collect();
    for network in &project.networks {
        if services.iter().any(|service| service.networks.contains(&network.key)) {
            prepare_network(daemon, network, teller)?;
        }
    }
    for volume in &project.volumes {
        if !services.iter().any(|service| service.volumes.contains(&volume.key)) {
            continue;
        }
        if volume.external {
            inspect::document(&mut daemon.connect()?, "volume inspect", volume.name.as_bytes())?;
        } else if is_made(ask(daemon, "volume create", &volume.name, &[]))? {
            say(teller, format!("Volume {}  Created", volume.name));
        }
    }
    for directory in services.iter().flat_map(|service| &service.directories) {
        // A file will do too.
        if !directory.exists() {
            let made = fs::create_dir_all(directory);
            made.map_err(|error| Failure::Io(format!("cannot make {}", directory.display()), error))?;
        }
    }
    Ok(())
}

/// Whether a request to make something has made it; where it is there already, all is well.
fn is_made(made: Result<(), Failure>) -> Result<bool, Failure> {
    match made {
        Ok(()) => Ok(true),
        Err(failure) if failure.is(Code::Exists) => Ok(false),
        Err(failure) => Err(failure),
    }
}

fn prepare_network(daemon: &Daemon, network: &Network, teller: &Teller) -> Result<(), Failure> {
    let looked = inspect::document(&mut daemon.connect()?, "network inspect", network.name.as_bytes());
    match looked {
        Ok(document) if network.external || is_as_said(network, &document) => Ok(()),
        Ok(_) => Err(Failure::Usage(format!(
            "networks.{}: {} is there with another subnet or another internal; end the project with down first",
            network.key, network.name
        ))),
        Err(failure) if failure.is(Code::NotFound) && !network.external => {
            let subnet = network.subnet.as_ref().map(|subnet| ("subnet", subnet.clone().into_bytes()));
            let internal = network.internal.then(|| ("internal", b"yes".to_vec()));
            let options: Vec<Pair> = subnet.into_iter().chain(internal).collect();
            if is_made(ask(daemon, "network create", &network.name, &options))? {
                say(teller, format!("Network {}  Created", network.name));
            }
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

fn is_as_said(network: &Network, document: &Value) -> bool {
    let subnet = document.get("subnet").and_then(Value::as_str);
    let internal = document.get("internal").and_then(Value::as_bool).unwrap_or(false);
    network.internal == internal && network.subnet.as_deref().is_none_or(|wanted| Some(wanted) == subnet)
}

/// Takes the project's networks away, and its volumes where they are to go too. What is external stays.
pub fn clear(daemon: &Daemon, project: &Project, with_volumes: bool, teller: &Teller) -> Result<(), Failure> {
    let mut outcome = Ok(());
    let networks = project.networks.iter().filter(|one| !one.external).map(|one| ("network rm", "Network", &one.name));
    let volumes = project.volumes.iter().filter(|one| with_volumes && !one.external);
    for (verb, kind, name) in networks.chain(volumes.map(|one| ("volume rm", "Volume", &one.name))) {
        match ask_if_there(daemon, verb, name, &[]) {
            Ok(true) => say(teller, format!("{kind} {name}  Removed")),
            Ok(false) => {}
            Err(failure) => outcome = outcome.and(Err(failure)),
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_is_there_must_be_the_one() {
        let network = |subnet: Option<&str>, internal| Network {
            key: "n".to_owned(),
            name: "app_n".to_owned(),
            subnet: subnet.map(str::to_owned),
            internal,
            external: false,
        };
        let there = serde_json::json!({"subnet": "10.1.0.0/24", "internal": false});
        assert!(is_as_said(&network(None, false), &there));
        assert!(is_as_said(&network(Some("10.1.0.0/24"), false), &there));
        assert!(!is_as_said(&network(Some("10.2.0.0/24"), false), &there));
        assert!(!is_as_said(&network(None, true), &there));
    }
}
