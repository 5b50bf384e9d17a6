//! What is drawn: a line of sums, the containers or a log, a line of what was said, a line of keys.

use std::time::SystemTime;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as Drawn, Table};

use super::logs::Logs;
use super::model::{Mode, Model, Order, runs};
use crate::commands::ps;
use crate::human::{memory, percent, printable, size};
use crate::row::Row;

/// Columns from left to right, with their widths: as many are drawn as there is room for.
const COLUMNS: [(&str, u16); 8] = [
    ("NAME", 24),
    ("STATUS", 26),
    ("CPU %", 8),
    ("MEM USAGE / LIMIT", 21),
    ("MEM %", 7),
    ("NET I/O", 19),
    ("PIDS", 5),
    ("IMAGE", 32),
];

const KEYS: &str = "s stop  r restart  l logs  o order  a all or running  q quit";
const KEYS_OF_LOGS: &str = "up, down, page up, page down, home, end  q back";

/// Draws all of it.
pub fn draw(frame: &mut Frame<'_>, model: &mut Model, now: SystemTime, is_coloured: bool) {
    let one = Constraint::Length(1);
    let [head, body, said, keys] = Layout::vertical([one, Constraint::Min(0), one, one]).areas(frame.area());
    frame.render_widget(Line::from(sums(model)).style(Modifier::BOLD), head);
    let (line, help) = match &model.mode {
        Mode::List => (model.said.clone(), KEYS),
        Mode::Sure(verb, name) => (format!("{verb} {name}? y, or any other key for no"), ""),
        Mode::Logs(logs) => (of_log(logs), KEYS_OF_LOGS),
    };
    match &model.mode {
        Mode::Logs(logs) => log(frame, logs, body),
        Mode::List | Mode::Sure(..) => list(frame, model, body, now, is_coloured),
    }
    frame.render_widget(Line::from(printable(&line)), said);
    frame.render_widget(Line::from(help).style(Modifier::DIM), keys);
}

fn sums(model: &Model) -> String {
    let (all, running) = model.counts();
    let by = match model.order {
        Order::Name => "name",
        Order::Cpu => "cpu",
        Order::Memory => "memory",
    };
    let (cpu, memory_in_use) = (model.sum("cpu-percent"), memory(&format!("{:.0}", model.sum("memory"))));
    format!("gantry top: {running} of {all} running, cpu {cpu:.1}%, memory {memory_in_use}, by {by}")
}

fn list(frame: &mut Frame<'_>, model: &mut Model, area: Rect, now: SystemTime, is_coloured: bool) {
    let count = fitting(area.width);
    let columns = COLUMNS.iter().take(count);
    let head = Drawn::new(columns.clone().map(|(title, _)| *title)).style(Modifier::BOLD);
    let rows: Vec<_> = model.shown.iter().map(|row| drawn(row, model, count, now, is_coloured)).collect();
    // Long names have what room is left.
    let spare = area.width.saturating_sub(end_of(count));
    let longest = model.shown.iter().map(|row| row.get("name").len()).max().unwrap_or(0);
    let more = u16::try_from(longest).unwrap_or(u16::MAX).saturating_sub(COLUMNS[0].1).min(spare);
    let widths =
        columns.enumerate().map(|(nth, (_, width))| Constraint::Length(width + if nth == 0 { more } else { 0 }));
    let table = Table::new(rows, widths).header(head).column_spacing(1).row_highlight_style(Modifier::REVERSED);
    frame.render_stateful_widget(table, area, &mut model.place);
}

/// How many columns there is room for: one at least.
fn fitting(width: u16) -> usize {
    (2..=COLUMNS.len()).take_while(|count| end_of(*count) <= width).last().unwrap_or(1)
}

/// Where the last of so many columns ends, with a blank between each two.
fn end_of(count: usize) -> u16 {
    COLUMNS.iter().take(count).map(|(_, width)| width + 1).sum::<u16>().saturating_sub(1)
}

fn drawn<'a>(row: &Row, model: &Model, columns: usize, now: SystemTime, is_coloured: bool) -> Drawn<'a> {
    let nothing = Row::default();
    let used = model.sample(row.get("name")).filter(|_| runs(row)).unwrap_or(&nothing);
    let pair = |shown: fn(&str) -> String, a: &str, b: &str| format!("{} / {}", shown(used.get(a)), shown(used.get(b)));
    let cpu = used.get("cpu-percent");
    let cells = [
        row.get("name").to_owned(),
        ps::status(row, now),
        if cpu.is_empty() { "--".to_owned() } else { format!("{cpu}%") },
        pair(memory, "memory", "memory-limit"),
        percent(used.get("memory"), used.get("memory-limit")),
        pair(size, "net-rx", "net-tx"),
        used.get("pids").to_owned(),
        row.get("image").to_owned(),
    ];
    let colour = if is_coloured { colour(row) } else { None };
    let cells = cells.into_iter().take(columns).enumerate().map(|(nth, text)| {
        let style = colour.filter(|_| nth == 1).map_or_else(Style::default, |colour| Style::default().fg(colour));
        Cell::from(Span::styled(printable(&text), style))
    });
    let dim = if runs(row) { Modifier::empty() } else { Modifier::DIM };
    Drawn::new(cells.collect::<Vec<_>>()).style(dim)
}

/// How its state is coloured, where it says something.
fn colour(row: &Row) -> Option<Color> {
    match (row.get("state"), row.get("health")) {
        (_, "unhealthy") => Some(Color::Red),
        ("paused" | "stopping", _) | (_, "starting") => Some(Color::Yellow),
        ("running", _) => Some(Color::Green),
        _ => None,
    }
}

fn of_log(logs: &Logs) -> String {
    let end = logs.end.as_ref().map(|end| format!(" ({end})")).unwrap_or_default();
    let below = if logs.below > 0 { format!(", {} lines below", logs.below) } else { String::new() };
    format!("log of {}{end}{below}", logs.name)
}

fn log(frame: &mut Frame<'_>, logs: &Logs, area: Rect) {
    let lines: Vec<_> = logs.seen(area.height.into()).map(Line::from).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

#[cfg(test)]
mod tests {
    use gantry::wire::units;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::model::tests::{THREE, tell, told};
    use super::*;

    /// The screen of so many columns and rows, and its lines.
    fn drawn_on(model: &mut Model, width: u16, height: u16, is_coloured: bool) -> (Terminal<TestBackend>, Vec<String>) {
        let now = units::moment("2026-01-31T12:00:00Z", SystemTime::now()).unwrap();
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model, now, is_coloured)).unwrap();
        let cells: Vec<_> = terminal.backend().buffer().content().iter().map(|cell| cell.symbol()).collect();
        let lines = cells.chunks(width.into()).map(|line| line.concat().trim_end().to_owned()).collect();
        (terminal, lines)
    }

    fn lines(model: &mut Model, width: u16, height: u16) -> Vec<String> {
        drawn_on(model, width, height, false).1
    }

    #[test]
    fn containers_are_seen_with_what_they_use() {
        let seen = lines(&mut told(THREE), 149, 8);
        assert_eq!(
            seen,
            [
                "gantry top: 2 of 3 running, cpu 2.0%, memory 33MiB, by name",
                "NAME                     STATUS                     CPU %    MEM USAGE / LIMIT     MEM %   NET I/O             PIDS  IMAGE",
                "db:latest                Up 30 seconds              1.5%     1MiB / --             --      0B / 0B             1     localhost/db:latest",
                "job:latest               Exited (3) 5 seconds ago   --       -- / --               --      -- / --                   localhost/job:latest",
                "web:latest               Up 3 minutes (healthy)     0.5%     32MiB / 64MiB         50.00%  1.5kB / 99B         7     localhost/httpd:latest",
                "",
                "",
                KEYS,
            ]
        );
    }

    #[test]
    fn there_are_as_many_columns_as_there_is_room_for() {
        for (width, last) in [(10, "NAME"), (60, "CPU %"), (80, "CPU %"), (82, "MEM USAGE / LIMIT"), (200, "IMAGE")] {
            let head = lines(&mut told(THREE), width, 8).remove(1);
            assert!(head.ends_with(last) || width == 10, "{width}: {head}");
        }
        // Nothing is too small to be drawn on.
        for (width, height) in [(1, 1), (3, 2), (20, 3)] {
            lines(&mut told(THREE), width, height);
        }
    }

    #[test]
    fn a_long_name_has_what_room_is_left() {
        let name = format!("{}:latest", "n".repeat(30));
        let mut model = told(&[&format!("@list ROW name={name} state=running"), "@list OK count=1"]);
        assert!(lines(&mut model, 80, 8)[2].starts_with(&format!("{name} Up")));
        assert!(lines(&mut model, 60, 8)[2].starts_with("nnnnnnnnnnnnnnnnnnnnnnnn Up"));
    }

    #[test]
    fn a_long_list_is_scrolled_to_the_one_chosen() {
        let mut model = told(THREE);
        model.go(2);
        let seen = lines(&mut model, 60, 5);
        assert!(seen[2].starts_with("web:latest"), "{seen:#?}");
    }

    #[test]
    fn colours_are_drawn_only_where_they_are_wanted() {
        let of_web = |is_coloured| {
            let (terminal, _) = drawn_on(&mut told(THREE), 80, 8, is_coloured);
            let buffer = terminal.backend().buffer().clone();
            let colours: Vec<_> =
                buffer.content().iter().map(|cell| cell.fg).filter(|fg| *fg != Color::Reset).collect();
            (buffer[(25, 4)].fg, colours.is_empty())
        };
        assert_eq!(of_web(true), (Color::Green, false));
        assert_eq!(of_web(false), (Color::Reset, true));
    }

    #[test]
    fn a_question_and_a_log_are_seen() {
        let mut model = told(THREE);
        model.propose("stop");
        assert_eq!(lines(&mut model, 80, 8)[6], "stop db:latest? y, or any other key for no");
        model.decide(false);
        model.open_logs();
        tell(&mut model, &["@t1 LOG stdout \"one\"", "@t1 LOG stderr \"\\e[31mtwo\"", "@t1 OK"]);
        let seen = lines(&mut model, 80, 8);
        assert_eq!((seen[1].as_str(), seen[2].as_str()), ("one", "two"));
        assert_eq!((seen[6].as_str(), seen[7].as_str()), ("log of db:latest (it has ended)", KEYS_OF_LOGS));
    }
}
