//! `events`: what happens, a line each, until interrupted.

use crate::command::{Call, Format, Outcome};
use crate::commands::rows;
use crate::console::Console;
use crate::failure::Failure;
use crate::human;
use crate::row::Row;

/// Writes them as they come.
pub fn events(call: &mut Call<'_>) -> Outcome {
    let (request, format) = (call.request()?, call.format()?);
    let console = &mut *call.console;
    call.daemon.connect()?.exchange(&request, |line, is_last| {
        if line.head == "EVENT" {
            write(&Row::read(line)?, &format, console)?;
        }
        if is_last { console.flush() } else { Ok(()) }
    })?;
    Ok(0)
}

fn write(event: &Row, format: &Format, console: &mut Console) -> Result<(), Failure> {
    match (event.get("type"), format) {
        ("subscribed", _) => Ok(()),
        (_, Format::Json) => console.say(&event.json()),
        ("lost", Format::Table) => {
            let lost = format!("gantry: {} events were lost: this client was too slow", event.get("count"));
            writeln!(console.err, "{lost}").map_err(Failure::output)
        }
        (_, Format::Table) => console.say(&sentence(event)),
        (_, Format::Template(_)) => rows::write(console, format, std::slice::from_ref(event), field, |_| Ok(())),
    }
}

/// Docker's names of fields.
fn field(event: &Row, name: &str) -> Option<String> {
    match name {
        "Actor" | "ID" => Some(event.get("name").to_owned()),
        "Status" => Some(event.get("action").to_owned()),
        _ => None,
    }
}

/// `TIME type action name (key=value, …)`.
fn sentence(event: &Row) -> String {
    const SAID: [&str; 4] = ["time", "type", "action", "name"];
    let said = SAID.map(|key| human::printable(event.get(key))).join(" ");
    let others = event.pairs().filter(|(key, value)| !SAID.contains(key) && !value.is_empty());
    let others: Vec<_> = others.map(|(key, value)| format!("{key}={}", human::printable(value))).collect();
    if others.is_empty() { said } else { format!("{said} ({})", others.join(", ")) }
}

#[cfg(test)]
mod tests {
    use crate::commands::scripted::Script;

    const REPLY: &str = "EVENT type=subscribed\n\
        EVENT time=2026-01-31T12:00:00.000Z type=container name=web:latest action=exited exit=0 oom=no health=\"\"\n\
        EVENT type=lost count=4\n\
        ERR shutting-down the daemon is leaving\n";

    #[test]
    fn events_are_sentences() {
        let ran = Script::of(&[("events type=container", REPLY)]).run(&["events", "-f", "type=container"]);
        assert_eq!(ran.out, "2026-01-31T12:00:00.000Z container exited web:latest (exit=0, oom=no)\n");
        assert!(ran.err.starts_with("gantry: 4 events were lost"), "{}", ran.err);
        assert_eq!(ran.status, 1);
    }

    #[test]
    fn or_objects() {
        let ran = Script::of(&[("events", REPLY)]).run(&["events", "--format=json"]);
        assert_eq!(ran.out.lines().count(), 2);
        assert!(ran.out.ends_with("{\"type\":\"lost\",\"count\":\"4\"}\n"));
    }
}
