//! `stats`: docker's columns from the wire's samples, once or as they come.

use std::os::unix::ffi::OsStrExt;

use crate::command::{Call, Format, Outcome};
use crate::commands::rows;
use crate::console::Console;
use crate::failure::Failure;
use crate::human::{memory, percent, size};
use crate::request::Request;
use crate::row::Row;
use crate::table;

const HEAD: [&str; 7] = ["NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"];

/// Cursor home and erase to the end: each table is drawn over the one before.
const REDRAW: &str = "\x1b[H\x1b[J";

/// Shows samples until interrupted, or once.
pub fn stats(call: &mut Call<'_>) -> Outcome {
    let is_once = call.has("no-stream")?;
    let mut shown =
        Shown { format: call.format()?, is_live: !is_once && call.console.out_is_terminal, rows: Vec::new() };
    let requests = requests(&call.operands(), is_once)?;
    let console = &mut *call.console;
    for request in requests {
        call.daemon.connect()?.exchange(&request, |line, is_last| {
            if line.head == "ROW" {
                shown.add(Row::read(line)?, console)?;
            }
            if is_last { shown.draw_live(console) } else { Ok(()) }
        })?;
    }
    // What is live has been drawn already.
    if !shown.is_live {
        shown.write(console)?;
    }
    Ok(0)
}

/// One request for all, or one a name.
fn requests(names: &[std::ffi::OsString], is_once: bool) -> Result<Vec<Request>, Failure> {
    let stats = || Request::new("stats");
    match (names, is_once) {
        ([], true) => Ok(vec![stats()]),
        ([], false) => Ok(vec![stats().option("follow", b"yes")]),
        ([name], false) => Ok(vec![stats().positional(name.as_bytes())?.option("follow", b"yes")]),
        (_, true) => names.iter().map(|name| stats().positional(name.as_bytes())).collect(),
        (_, false) => Err(Failure::Usage("follow one container, all of them, or use --no-stream".to_owned())),
    }
}

/// The samples of one moment: where a name comes again, the next moment has begun.
struct Shown {
    format: Format,
    is_live: bool,
    rows: Vec<Row>,
}

impl Shown {
    fn add(&mut self, row: Row, console: &mut Console) -> Result<(), Failure> {
        if self.rows.iter().any(|known| known.get("name") == row.get("name")) {
            if !self.is_live {
                self.write(console)?;
            }
            self.rows.clear();
        }
        self.rows.push(row);
        Ok(())
    }

    fn draw_live(&self, console: &mut Console) -> Result<(), Failure> {
        if !self.is_live {
            return Ok(());
        }
        write!(console.out, "{REDRAW}").map_err(Failure::output)?;
        self.write(console)
    }

    fn write(&self, console: &mut Console) -> Result<(), Failure> {
        rows::write(console, &self.format, &self.rows, field, |out| {
            table::write(out, &HEAD, &self.rows.iter().map(cells).collect::<Vec<_>>())
        })?;
        console.flush()
    }
}

/// Docker's names of fields.
fn field(row: &Row, name: &str) -> Option<String> {
    const FIELDS: [&str; 7] = ["Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];
    let name = if name == "Container" { "Name" } else { name };
    FIELDS.iter().position(|field| *field == name).and_then(|at| cells(row).into_iter().nth(at))
}

fn cells(row: &Row) -> Vec<String> {
    let pair = |shown: fn(&str) -> String, a: &str, b: &str| format!("{} / {}", shown(row.get(a)), shown(row.get(b)));
    vec![
        row.get("name").to_owned(),
        if row.get("cpu-percent").is_empty() { "--".to_owned() } else { format!("{}%", row.get("cpu-percent")) },
        pair(memory, "memory", "memory-limit"),
        percent(row.get("memory"), row.get("memory-limit")),
        pair(size, "net-rx", "net-tx"),
        pair(size, "block-read", "block-write"),
        row.get("pids").to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use crate::commands::scripted::Script;

    const WEB: &str = "ROW name=web:latest cpu-ns=1 cpu-percent=0.5 memory=1048576 cache=0 memory-limit=67108864 pids=2 \
        net-rx=1500 net-tx=0 block-read=0 block-write=4096\n";

    #[test]
    fn columns_are_dockers() {
        let ran = Script::of(&[("stats web", &format!("{WEB}OK\n"))]).run(&["stats", "--no-stream", "web"]);
        assert_eq!(
            ran.out,
            "NAME         CPU %   MEM USAGE / LIMIT   MEM %   NET I/O      BLOCK I/O    PIDS\n\
             web:latest   0.5%    1MiB / 64MiB        1.56%   1.5kB / 0B   0B / 4.1kB   2\n"
        );
    }

    #[test]
    fn a_name_that_comes_again_begins_the_next_table() {
        let db = "ROW name=db:latest pids=1\n";
        let reply = format!("{WEB}{db}{WEB}OK\n");
        let ran = Script::of(&[("stats follow=yes", &reply)]).run(&["stats"]);
        let names: Vec<_> = ran.out.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["NAME", "web:latest", "db:latest", "NAME", "web:latest"]);
        assert_eq!(Script::of(&[]).run(&["stats", "a", "b"]).status, 1);
        let ran =
            Script::of(&[("stats", &reply)]).run(&["stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"]);
        assert!(ran.out.starts_with("web:latest 1MiB / 64MiB\n"), "{}", ran.out);
    }
}
