//! `ps`: docker's columns from the wire's rows.

use std::time::SystemTime;

use crate::command::{Call, Outcome};
use crate::commands::{images, rows};
use crate::failure::Failure;
use crate::filter::Filters;
use crate::human;
use crate::row::Row;
use crate::table;

const HEAD: [&str; 6] = ["CONTAINER ID", "IMAGE", "CREATED", "STATUS", "PORTS", "NAMES"];

/// Lists containers, the youngest first.
pub fn ps(call: &mut Call<'_>) -> Outcome {
    let (format, quiet, is_whole) = (call.format()?, call.has("quiet")?, call.has("no-trunc")?);
    let containers = chosen(call)?;
    if quiet {
        containers.iter().try_for_each(|row| call.console.say(id(row, is_whole)))?;
        return Ok(0);
    }
    rows::write(call.console, &format, &containers, field, |out| {
        let now = SystemTime::now();
        let cells: Vec<_> = containers.iter().map(|row| cells(row, is_whole, now)).collect();
        table::write(out, &HEAD, &cells)
    })?;
    Ok(0)
}

/// Docker's names of fields.
pub fn field(row: &Row, name: &str) -> Option<String> {
    let now = SystemTime::now();
    Some(match name {
        "ID" => id(row, false).to_owned(),
        "Names" => row.get("name").to_owned(),
        "CreatedAt" => row.get("created").to_owned(),
        "RunningFor" => human::ago(row.get("created"), now),
        "Status" => status(row, now),
        "Ports" => row.get("ports").replace(',', ", "),
        _ => return None,
    })
}

/// What can be asked for with `--filter`; `label` is the daemon's to find.
const FILTERS: &[&str] = &["name", "id", "status", "state", "label", "ancestor", "exited", "health"];

/// States as the wire and docker have them.
const STATES: [&str; 5] = ["created", "running", "paused", "stopping", "exited"];

fn is_wanted(row: &Row, filters: &Filters) -> bool {
    let image = row.get("image");
    let full = row.get("name");
    // A tag that nobody gave is in no filter, unless it is written.
    let name = full.strip_suffix(":latest").unwrap_or(full);
    filters.fit("name", |wanted| name.contains(wanted) || (wanted.contains(':') && full.contains(wanted)))
        && filters.fit("id", |id| row.get("id").starts_with(id))
        && filters.fit("status", |state| row.get("state") == state)
        && filters.fit("state", |state| row.get("state") == state)
        && filters.fit("ancestor", |wanted| images::is_meant(image, wanted))
        && filters.fit("exited", |status| row.get("state") == "exited" && row.get("exit") == status)
        && filters.fit("health", |health| row.get("health") == if health == "none" { "" } else { health })
}

/// Those that were asked for.
fn chosen(call: &Call<'_>) -> Result<Vec<Row>, Failure> {
    let filters = Filters::read(call, FILTERS)?;
    let mut states = filters.values("status").chain(filters.values("state"));
    if let Some(unknown) = states.find(|state| !STATES.contains(state)) {
        return Err(Failure::Usage(format!("--filter: {unknown} is no state; there are {}", STATES.join(", "))));
    }
    let last = if call.has("latest")? { Some(1) } else { call.number("last")? };
    // As in docker: whoever asks for a state or for the last ones means all of them.
    let is_all = call.has("all")? || last.is_some() || ["status", "state", "exited"].iter().any(|key| filters.has(key));
    let mut containers = rows::collect(&mut call.daemon.connect()?, &call.request()?)?;
    containers.retain(|row| is_wanted(row, &filters));
    containers.retain(|row| is_all || matches!(row.get("state"), "running" | "paused" | "stopping"));
    containers.sort_by(|a, b| b.get("created").cmp(a.get("created")));
    containers.truncate(last.unwrap_or(usize::MAX));
    Ok(containers)
}

fn id(row: &Row, is_whole: bool) -> &str {
    let id = row.get("id");
    if is_whole { id } else { id.get(..12).unwrap_or(id) }
}

fn cells(row: &Row, is_whole: bool, now: SystemTime) -> Vec<String> {
    vec![
        id(row, is_whole).to_owned(),
        row.get("image").to_owned(),
        human::ago(row.get("created"), now),
        status(row, now),
        row.get("ports").replace(',', ", "),
        row.get("name").to_owned(),
    ]
}

/// `Up 3 minutes (healthy)`, `Exited (0) 5 seconds ago`.
pub fn status(row: &Row, now: SystemTime) -> String {
    let up = || human::since(row.get("started"), now).map_or("Up".to_owned(), |since| format!("Up {since}"));
    let health = match row.get("health") {
        "" => String::new(),
        "starting" => " (health: starting)".to_owned(),
        health => format!(" ({health})"),
    };
    match row.get("state") {
        "running" => format!("{}{health}", up()),
        "paused" => format!("{} (Paused)", up()),
        "stopping" => format!("{} (stopping)", up()),
        "exited" => {
            format!("Exited ({}) {}", row.get("exit"), human::ago(row.get("finished"), now)).trim_end().to_owned()
        }
        "created" => "Created".to_owned(),
        state => state.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::scripted::Script;
    use gantry::wire::{reply::Parsed, units};

    const REPLY: &str = "ROW name=web:latest id=0123456789abcdef image=docker.io/library/httpd:2.4 state=running pid=7 \
        ports=0.0.0.0:80->80/tcp,0.0.0.0:81->81/tcp exit=\"\" health=\"\" created=1999-01-01T00:00:00Z started=1999-01-01T00:00:01Z\n\
        ROW name=db:latest id=aaaaaaaaaaaaaaaa image=db state=exited ports=\"\" exit=3 created=2000-01-01T00:00:00Z started=\"\"\n\
        OK count=2\n";

    #[test]
    fn states_are_told_in_dockers_words() {
        let now = units::moment("2026-01-31T12:00:00Z", SystemTime::now()).unwrap();
        for (row, words) in [
            ("state=running started=2026-01-31T11:57:00Z health=\"\"", "Up 3 minutes"),
            ("state=running started=2026-01-31T11:59:30Z health=starting", "Up 30 seconds (health: starting)"),
            ("state=running started=2026-01-31T11:59:30Z health=healthy", "Up 30 seconds (healthy)"),
            ("state=paused started=2026-01-31T11:00:00Z", "Up About an hour (Paused)"),
            ("state=exited exit=0 finished=2026-01-31T11:59:55Z", "Exited (0) 5 seconds ago"),
            ("state=exited exit=137", "Exited (137)"),
            ("state=created", "Created"),
        ] {
            let line = format!("ROW {row}");
            assert_eq!(status(&Row::read(&Parsed::read(line.as_bytes())).unwrap(), now), words);
        }
    }

    #[test]
    fn only_what_runs_unless_asked() {
        let ran = Script::of(&[("ps", REPLY)]).run(&["ps", "-q"]);
        assert_eq!(ran.out, "0123456789ab\n");
        let ran = Script::of(&[("ps", REPLY)]).run(&["ps", "-aq", "--no-trunc"]);
        assert_eq!(ran.out, "aaaaaaaaaaaaaaaa\n0123456789abcdef\n");
        let ran = Script::of(&[("ps label=\"a=b\"", REPLY)]).run(&["ps", "-qf", "status=exited", "-f", "label=a=b"]);
        assert_eq!(ran.out, "aaaaaaaaaaaa\n");
        assert_eq!(Script::of(&[("ps", REPLY)]).run(&["ps", "-lq"]).out, "aaaaaaaaaaaa\n");
        let ran = Script::of(&[]).run(&["ps", "--filter", "color=red"]);
        assert_eq!(
            ran.err,
            "gantry: --filter: color=red is no filter; there are name=, id=, status=, state=, label=, ancestor=, exited=, health=\n"
        );
    }

    #[test]
    fn filters_and_templates_are_dockers() {
        let ps = |words: &[&str]| Script::of(&[("ps", REPLY)]).run(&[&["ps", "-a"], words].concat()).out;
        for (filters, names) in [
            (vec!["name=e"], "web:latest\n"),
            (vec!["name=web", "name=db"], "db:latest\nweb:latest\n"),
            (vec!["name=web", "status=exited"], ""),
            (vec!["id=aaaa"], "db:latest\n"),
            (vec!["exited=3"], "db:latest\n"),
            (vec!["ancestor=httpd"], "web:latest\n"),
            (vec!["health=none"], "db:latest\nweb:latest\n"),
        ] {
            let words: Vec<_> =
                filters.iter().flat_map(|filter| ["-f", *filter]).chain(["--format", "{{.Names}}"]).collect();
            assert_eq!(ps(&words), names, "{filters:?}");
        }
        assert_eq!(ps(&["--format", "{{.ID}} {{.Image}} {{.State}}", "-f", "name=db"]), "aaaaaaaaaaaa db exited\n");
        assert_eq!(Script::of(&[]).run(&["ps", "-f", "status=dead"]).status, 1);
    }

    #[test]
    fn columns_are_dockers() {
        let ran = Script::of(&[("ps", REPLY)]).run(&["ps"]);
        let words: Vec<_> = ran.out.lines().map(|line| line.split("   ").map(str::trim).collect::<Vec<_>>()).collect();
        assert_eq!(words[0].iter().filter(|w| !w.is_empty()).count(), 6);
        assert!(ran.out.contains("0.0.0.0:80->80/tcp, 0.0.0.0:81->81/tcp   web:latest\n"), "{}", ran.out);
    }

    #[test]
    fn json_has_the_keys_of_the_wire() {
        let ran = Script::of(&[("ps", REPLY)]).run(&["ps", "--format", "json"]);
        assert!(ran.out.starts_with("{\"name\":\"web:latest\",\"id\":\"0123456789abcdef\","), "{}", ran.out);
        assert_eq!(Script::of(&[]).run(&["ps", "--format", "yaml"]).status, 1);
    }
}
