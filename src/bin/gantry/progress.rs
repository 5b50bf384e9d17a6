//! Progress of long work: a bar where a person watches, a line a stage where a log does.

use std::io::Write;

use gantry::wire::reply::Parsed;
use gantry::wire::units;
use indicatif::{ProgressBar, ProgressStyle};

use crate::console::Console;
use crate::row::Row;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// A bar that goes away.
    Bar,
    /// A line for each stage.
    Lines,
    /// Not at all.
    Nothing,
}

/// The progress of one request.
pub struct Progress {
    show: Show,
    bar: Option<ProgressBar>,
    stage: String,
}

impl Progress {
    /// Nothing to show yet.
    pub fn new(show: Show) -> Self {
        Self { show, bar: None, stage: String::new() }
    }

    /// Takes in a `PROGRESS` line. One without stage only says that work goes on.
    pub fn update(&mut self, line: &Parsed, console: &mut Console) {
        let Ok(row) = Row::read(line) else { return };
        let stage = row.get("stage");
        // One bar is of all that is fetched; what is told of single blobs is in it.
        if stage.is_empty() || !row.get("blob").is_empty() {
            return;
        }
        let is_new = stage != self.stage;
        stage.clone_into(&mut self.stage);
        match self.show {
            Show::Bar => self.draw(&row, is_new),
            Show::Lines if is_new => {
                // What cannot be shown of progress is no failure of the work.
                let _ = writeln!(console.err, "{}", crate::human::printable(stage)).and_then(|()| console.err.flush());
            }
            Show::Lines | Show::Nothing => {}
        }
    }

    fn draw(&mut self, row: &Row, is_new: bool) {
        let bar = self.bar.get_or_insert_with(|| ProgressBar::no_length().with_style(without_total()));
        match units::number(row.get("total")).filter(|total: &u64| *total > 0) {
            Some(total) => {
                bar.set_style(with_total());
                bar.set_length(total);
                bar.set_position(units::number(row.get("done")).unwrap_or(0));
            }
            None if is_new => bar.set_style(without_total()),
            None => {}
        }
        bar.set_message(crate::human::printable(&self.stage));
        bar.tick();
    }

    /// Takes the bar away, so that something else can be written.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn with_total() -> ProgressStyle {
    style("{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}")
}

fn without_total() -> ProgressStyle {
    style("{spinner} {msg}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}
