//! Tables as docker draws them: a head, columns three blanks apart, no lines.

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};

use crate::failure::Failure;
use crate::human;
use crate::row::Row;

/// Writes `rows` under `head`; `rows` is empty where there is nothing, and the head is written all the same.
pub fn write(out: &mut dyn Write, head: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| human::printable(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end())).map_err(Failure::output)
}

/// Writes rows of which only the daemon knows the meaning: the keys in capitals are the head.
pub fn write_rows(out: &mut dyn Write, rows: &[Row]) -> Result<(), Failure> {
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in rows.iter().flat_map(Row::pairs) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let head: Vec<_> = keys.iter().map(|key| key.to_ascii_uppercase().replace('-', " ")).collect();
    let head: Vec<_> = head.iter().map(String::as_str).collect();
    let cells: Vec<_> = rows.iter().map(|row| keys.iter().map(|key| cell(row, key)).collect()).collect();
    if keys.is_empty() { Ok(()) } else { write(out, &head, &cells) }
}

/// The one key whose values a person does not want as they are: bytes.
fn cell(row: &Row, key: &str) -> String {
    if key == "size" { human::size(row.get(key)) } else { row.get(key).to_owned() }
}

/// Writes one row downwards, a line for each key.
pub fn write_record(out: &mut dyn Write, row: &Row) -> Result<(), Failure> {
    let mut lines = row.pairs().map(|(key, _)| format!("{key}: {}", human::printable(&cell(row, key))));
    lines.try_for_each(|line| writeln!(out, "{}", line.trim_end())).map_err(Failure::output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry::wire::reply::Parsed;

    #[test]
    fn columns_line_up() {
        let mut out = Vec::new();
        let rows = [vec!["a".to_owned(), "long value".to_owned()], vec!["bcd".to_owned(), String::new()]];
        write(&mut out, &["ID", "NAME"], &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "ID    NAME\na     long value\nbcd\n");
    }

    #[test]
    fn unknown_rows_show_their_keys() {
        let rows = [b"ROW pid=1 user=root".as_slice(), b"ROW pid=20 cpu-time=3"];
        let rows: Vec<_> = rows.iter().map(|line| Row::read(&Parsed::read(line)).unwrap()).collect();
        let mut out = Vec::new();
        write_rows(&mut out, &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "PID   USER   CPU TIME\n1     root\n20           3\n");
    }
}
