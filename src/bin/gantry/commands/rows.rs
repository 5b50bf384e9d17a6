//! Listings of which only the daemon knows the columns.

use std::io::Write;

use serde_json::Value;

use crate::command::{Call, Format, Outcome};
use crate::commands::once;
use crate::connection::Connection;
use crate::console::Console;
use crate::failure::Failure;
use crate::filter::Filters;
use crate::request::Request;
use crate::row::Row;
use crate::table;
use crate::template::{Fields, wire_key};

/// Every row of a reply.
pub fn collect(connection: &mut Connection, request: &Request) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    connection.exchange(request, |line, _| {
        if line.head == "ROW" {
            rows.push(Row::read(line)?);
        }
        Ok(())
    })?;
    Ok(rows)
}

/// What a field of a template means of a row.
pub type Field = fn(&Row, &str) -> Option<String>;

/// Shows rows as `--format` says; `draw` shows them to a person.
pub fn write(
    console: &mut Console,
    format: &Format,
    rows: &[Row],
    field: Field,
    draw: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match format {
        Format::Table => draw(&mut *console.out),
        Format::Json => rows.iter().try_for_each(|row| console.say(&row.json())),
        Format::Template(template) => {
            let fields: Vec<_> = rows.iter().map(|row| move |name: &str| value(row, name, field)).collect();
            let fields: Vec<Fields<'_>> = fields.iter().map(|fields| fields as Fields<'_>).collect();
            template.write(&mut *console.out, &fields)
        }
    }
}

fn value(row: &Row, name: &str, field: Field) -> Option<Value> {
    if name.is_empty() {
        return serde_json::from_str(&row.json()).ok();
    }
    field(row, name).or_else(|| of_wire(row, name)).map(Value::from)
}

/// A field by its key on the wire: `memory-limit`, or as Go would write it, `MemoryLimit`.
fn of_wire(row: &Row, name: &str) -> Option<String> {
    let is_meant = |key: &str| key == name || key == wire_key(name);
    row.pairs().find(|(key, _)| is_meant(key)).map(|(_, value)| value.to_owned())
}

/// Shows the rows as a table.
pub fn rows(call: &mut Call<'_>) -> Outcome {
    show(call, |_| true)
}

/// Shows what is one thing's properties, in one row or several: downwards, unless the rows are alike.
pub fn record(call: &mut Call<'_>) -> Outcome {
    show(call, |rows| rows.len() > 1 && rows.windows(2).all(|pair| matches!(pair, [a, b] if is_alike(a, b))))
}

fn is_alike(a: &Row, b: &Row) -> bool {
    a.pairs().map(|(key, _)| key).eq(b.pairs().map(|(key, _)| key))
}

/// What a listing can be filtered by, beside what the daemon does itself.
fn filters_of(verb: &str) -> &'static [&'static str] {
    match verb {
        "network ls" => &["name", "driver", "internal"],
        "volume ls" => &["name", "driver", "dangling"],
        _ => &[],
    }
}

fn is_wanted(row: &Row, filters: &Filters) -> bool {
    // The only drivers of docker's that there are.
    let driver = if row.get("bridge").is_empty() { "local" } else { "bridge" };
    filters.fit("name", |name| row.get("name").contains(name))
        && filters.fit("driver", |wanted| wanted == driver)
        && filters.fit_yes("internal", row.get("internal") == "yes")
        && filters.fit_yes("dangling", row.get("containers").is_empty())
}

fn show(call: &mut Call<'_>, is_table: fn(&[Row]) -> bool) -> Outcome {
    let (format, quiet) = (call.format()?, call.has("quiet")?);
    let filters = Filters::read(call, filters_of(call.entry.verb))?;
    let mut rows = collect(&mut call.daemon.connect()?, &once::request(call)?)?;
    rows.retain(|row| is_wanted(row, &filters));
    if quiet {
        rows.iter().try_for_each(|row| call.console.say(row.get("name")))?;
        return Ok(0);
    }
    write(
        call.console,
        &format,
        &rows,
        |_, _| None,
        |out| match is_table(&rows) {
            true => table::write_rows(out, &rows),
            false => rows.iter().try_for_each(|row| table::write_record(out, row)),
        },
    )?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use crate::commands::scripted::Script;

    #[test]
    fn the_daemon_names_the_columns() {
        let reply = "ROW pid=1 user=root command=httpd\nROW pid=7 user=root command=\"sh -c x\"\nOK name=web:latest\n";
        let shown = Script::of(&[("top web", reply)]).run(&["top", "web"]);
        assert_eq!(shown.out, "PID   USER   COMMAND\n1     root   httpd\n7     root   sh -c x\n");
        let json =
            Script::of(&[("volume ls", "ROW name=a path=/p\nOK count=1\n")]).run(&["volume", "ls", "--format", "json"]);
        assert_eq!(json.out, "{\"name\":\"a\",\"path\":\"/p\"}\n");
    }

    const VOLUMES: &str =
        "ROW name=data path=/p containers=\"\"\nROW name=kept path=/k containers=web:latest\nOK count=2\n";

    #[test]
    fn listings_are_filtered_and_formed() {
        let ls = |words: &[&str]| Script::of(&[("volume ls", VOLUMES)]).run(&[&["volume", "ls"], words].concat()).out;
        assert_eq!(ls(&["-q", "-f", "dangling=true"]), "data\n");
        assert_eq!(ls(&["-q", "--filter", "name=ep", "--filter", "driver=local"]), "kept\n");
        assert_eq!(ls(&["--format", "{{.Name}} {{.path}}"]), "data /p\nkept /k\n");
        assert_eq!(ls(&["--format", "table {{.Name}}", "-f", "name=data"]), "NAME\ndata\n");
        let refused = Script::of(&[]).run(&["volume", "ls", "-f", "label=a"]);
        assert_eq!(refused.err, "gantry: --filter: label=a is no filter; there are name=, driver=, dangling=\n");
    }
}
