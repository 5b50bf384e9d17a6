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

fn show(call: &mut Call<'_>, is_table: fn(&[Row]) -> bool) -> Outcome {
    let (format, quiet) = (call.format()?, call.has("quiet")?);
    let rows = collect(&mut call.daemon.connect()?, &once::request(call)?)?;
    match format {
        _ if quiet => rows.iter().try_for_each(|row| call.console.say(row.get("name")))?,
        Format::Json => write_json(call, &rows)?,
        Format::Table if is_table(&rows) => table::write_rows(&mut *call.console.out, &rows)?,
        Format::Table => rows.iter().try_for_each(|row| table::write_record(&mut *call.console.out, row))?,
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
