//! What of a project is there: its containers, found by their labels.

use gantry::refusal::Code;
use serde_json::Value;

use super::wanted::{CONFIG, NUMBER, PROJECT, SERVICE};
use crate::commands::{inspect, rows};
use crate::connection::Daemon;
use crate::failure::Failure;
use crate::request::Request;
use crate::row::Row;

/// A container of a project.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// `name:tag`.
    pub name: String,
    /// The service it is of.
    pub service: String,
    /// Which of that service's.
    pub number: usize,
    /// What it was made with, as a digest.
    pub config: String,
    /// Where its image is unpacked: another place for another image of the same name.
    pub tree: String,
    /// What `ps` tells of it.
    pub row: Row,
}

impl Container {
    /// Whether its process is there.
    pub fn is_running(&self) -> bool {
        matches!(self.row.get("state"), "running" | "paused" | "stopping")
    }

    /// What it is called before its lines: its name where it was given one, else its service and number.
    pub fn shown(&self) -> String {
        shown(&self.name, &self.service, self.number)
    }
}

/// What a container of this name is called before its lines.
pub fn shown(name: &str, service: &str, number: usize) -> String {
    match name.split(':').next() {
        Some(own) if own != service => own.to_owned(),
        _ => format!("{service}-{number}"),
    }
}

/// Every container of a project, by service and number.
pub fn containers(daemon: &Daemon, project: &str) -> Result<Vec<Container>, Failure> {
    let mut connection = daemon.connect()?;
    let request = Request::new("ps").option("label", format!("{PROJECT}={project}").as_bytes());
    let mut found = Vec::new();
    for row in rows::collect(&mut connection, &request)? {
        let looked = inspect::document(&mut connection, "inspect", row.get("id").as_bytes());
        match looked {
            Ok(document) => found.push(container(row, &document)),
            // It was removed meanwhile.
            Err(failure) if failure.is(Code::NotFound) => {}
            Err(failure) => return Err(failure),
        }
    }
    found.sort_by(|a, b| (&a.service, a.number).cmp(&(&b.service, b.number)));
    Ok(found)
}

fn container(row: Row, document: &Value) -> Container {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let label = |name: &str| text(document.get("labels").and_then(|labels| labels.get(name)));
    Container {
        name: row.get("name").to_owned(),
        service: label(SERVICE),
        number: label(NUMBER).parse().unwrap_or(1),
        config: label(CONFIG),
        tree: text(document.get("lower-dir")),
        row,
    }
}

/// Where an image is unpacked, if it is here.
pub fn tree_of(daemon: &Daemon, image: &str) -> Result<Option<String>, Failure> {
    let looked = inspect::document(&mut daemon.connect()?, "image inspect", image.as_bytes());
    match looked {
        Ok(document) => Ok(document.get("rootfs").and_then(Value::as_str).map(str::to_owned)),
        Err(failure) if failure.is(Code::NotFound) => Ok(None),
        Err(failure) => Err(failure),
    }
}
