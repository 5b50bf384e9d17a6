//! Waiting for a container to be what another one needs: told by events, never by asking again and again.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::model::Condition;
use crate::commands::rows;
use crate::connection::Daemon;
use crate::failure::Failure;
use crate::request::Request;
use crate::row::Row;

/// What a container is waited for.
#[derive(Clone, Copy)]
pub struct Wait<'a> {
    /// Its name, with its tag.
    pub container: &'a str,
    /// Whether its end is not yet the end of it.
    pub restarts: bool,
    /// When to give up.
    pub deadline: Option<Instant>,
}

/// Waits until it has run, is healthy, or has ended well.
pub fn until(daemon: &Daemon, wait: &Wait<'_>, condition: Condition) -> Result<(), Failure> {
    match condition {
        Condition::Started => Ok(()),
        Condition::Healthy => settled(daemon, wait, |row| match row.get("health") {
            "" if row.get("state") == "running" => Look::Bad("has no health check".to_owned()),
            health => look(health),
        }),
        Condition::Completed => completed(daemon, wait),
    }
}

/// Waits until it runs, and is healthy where it has a check.
pub fn up(daemon: &Daemon, wait: &Wait<'_>) -> Result<(), Failure> {
    settled(daemon, wait, |row| if row.get("health").is_empty() { Look::Well } else { look(row.get("health")) })
}

/// What a look at a container found.
enum Look {
    Well,
    Bad(String),
    NotYet,
}

fn look(health: &str) -> Look {
    match health {
        "healthy" => Look::Well,
        "unhealthy" => Look::Bad("is unhealthy".to_owned()),
        _ => Look::NotYet,
    }
}

/// Looks at it at once and behind each of its events. One that has ended is bad, unless it is started again.
fn settled(daemon: &Daemon, wait: &Wait<'_>, judge: impl Fn(&Row) -> Look) -> Result<(), Failure> {
    let name = wait.container;
    let mut events = daemon.connect()?;
    let request = Request::new("events").option("type", b"container").option("name", name.as_bytes());
    events.send(&request.line())?;
    loop {
        // The first line says that what happens from here on is told: nothing is missed before the first look.
        wait.bound(&events)?;
        let line = gantry::wire::reply::Parsed::read(events.next_line().map_err(|failure| wait.told(failure))?);
        if line.head == "ERR" {
            return Err(Failure::refused(&line.text()));
        }
        let rows = rows::collect(&mut daemon.connect()?, &Request::new("ps").option("name", name.as_bytes()))?;
        let row = rows.into_iter().find(|row| row.get("name") == name);
        let row = row.ok_or_else(|| Failure::Usage(format!("{name} is gone")))?;
        let found = match row.get("state") {
            "running" | "paused" => judge(&row),
            "exited" if !wait.restarts => Look::Bad(format!("has ended with exit status {}", row.get("exit"))),
            _ => Look::NotYet,
        };
        match found {
            Look::Well => return Ok(()),
            Look::Bad(why) => return Err(Failure::Usage(format!("{name} {why}"))),
            Look::NotYet => {}
        }
    }
}

fn completed(daemon: &Daemon, wait: &Wait<'_>) -> Result<(), Failure> {
    let mut connection = daemon.connect()?;
    wait.bound(&connection)?;
    let ended = connection.ask(&Request::new("wait").positional(wait.container.as_bytes())?);
    match ended.map_err(|failure| wait.told(failure))?.get("exit").as_deref() {
        Some("0") => Ok(()),
        exit => {
            let (name, exit) = (wait.container, exit.unwrap_or_default());
            Err(Failure::Usage(format!("{name} has ended with exit status {exit}")))
        }
    }
}

impl Wait<'_> {
    /// Bounds the next read where there is a deadline.
    fn bound(&self, connection: &crate::connection::Connection) -> Result<(), Failure> {
        let Some(deadline) = self.deadline else { return Ok(()) };
        // A limit of nothing would be none.
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        connection.answer_within(left)
    }

    /// The failure that an elapsed deadline shows as.
    fn told(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Io(_, error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Failure::Usage(format!("{} was not ready in time", self.container))
            }
            other => other,
        }
    }
}
