//! Listings of which only the daemon knows the columns.

use crate::command::{Call, Format, Outcome};
use crate::commands::once;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::request::Request;
use crate::row::Row;
use crate::table;

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

/// Writes rows as JSON, an object a line.
pub fn write_json(call: &mut Call<'_>, rows: &[Row]) -> Result<(), Failure> {
    rows.iter().try_for_each(|row| call.console.say(&row.json()))
}

/// Shows the rows as they are.
pub fn rows(call: &mut Call<'_>) -> Outcome {
    let (format, quiet) = (call.format()?, call.has("quiet")?);
    let rows = collect(&mut call.daemon.connect()?, &once::request(call)?)?;
    match format {
        _ if quiet => rows.iter().try_for_each(|row| call.console.say(row.get("name")))?,
        Format::Json => write_json(call, &rows)?,
        Format::Table => table::write_rows(&mut *call.console.out, &rows)?,
    }
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
}
