//! Progress of long work: bars where a person watches, one of all and one of each layer; a line a stage where a log does.

use std::collections::BTreeMap;
use std::io::Write;

use gantry::wire::reply::Parsed;
use gantry::wire::units;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::console::Console;
use crate::human::printable;
use crate::row::Row;

/// How many layers have a bar of their own: more than that would not leave room for the bar of all.
const LAYERS_MAX: usize = 16;

/// How many digits of a digest tell one layer from another, as in docker.
const DIGITS: usize = 12;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Bars that go away.
    Bar,
    /// A line for each stage.
    Lines,
    /// Not at all.
    Nothing,
}

/// The progress of one request.
pub struct Progress {
    show: Show,
    bars: Option<Bars>,
    stage: String,
}

/// What is drawn: the layers, and below them all together.
struct Bars {
    together: MultiProgress,
    all: ProgressBar,
    layers: BTreeMap<String, ProgressBar>,
}

impl Progress {
    /// Nothing to show yet.
    pub fn new(show: Show) -> Self {
        Self { show, bars: None, stage: String::new() }
    }

    /// Takes in a `PROGRESS` line. One without stage only says that work goes on.
    pub fn update(&mut self, line: &Parsed, console: &mut Console) {
        let Ok(row) = Row::read(line) else { return };
        let stage = row.get("stage");
        if stage.is_empty() {
            return;
        }
        if !row.get("blob").is_empty() {
            if self.show == Show::Bar {
                self.bars.get_or_insert_with(Bars::new).layer(&row);
            }
            return;
        }
        let is_new = stage != self.stage;
        stage.clone_into(&mut self.stage);
        match self.show {
            Show::Bar => self.bars.get_or_insert_with(Bars::new).all(&row, is_new),
            Show::Lines if is_new => {
                // What cannot be shown of progress is no failure of the work.
                let _ = writeln!(console.err, "{}", printable(stage)).and_then(|()| console.err.flush());
            }
            Show::Lines | Show::Nothing => {}
        }
    }

    /// Takes the bars away, so that something else can be written.
    pub fn clear(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.layers.values().for_each(ProgressBar::finish);
            bars.all.finish();
            // A terminal that cannot be cleared cannot be written to either, and that is told then.
            let _ = bars.together.clear();
        }
    }
}

impl Bars {
    fn new() -> Self {
        let together = MultiProgress::new();
        let all = together.add(ProgressBar::no_length().with_style(without_total()));
        Self { together, all, layers: BTreeMap::new() }
    }

    fn all(&self, row: &Row, is_new: bool) {
        match units::number(row.get("total")).filter(|total: &u64| *total > 0) {
            Some(total) => {
                self.all.set_style(with_total());
                self.all.set_length(total);
                self.all.set_position(units::number(row.get("done")).unwrap_or(0));
            }
            None if is_new => self.all.set_style(without_total()),
            None => {}
        }
        self.all.set_message(printable(row.get("stage")));
        self.all.tick();
    }

    fn layer(&mut self, row: &Row) {
        let digest = row.get("blob").rsplit(':').next().unwrap_or_default();
        let digits = digest.get(..DIGITS).unwrap_or(digest);
        if !self.layers.contains_key(digits) && self.layers.len() >= LAYERS_MAX {
            return;
        }
        let bar = self.layers.entry(digits.to_owned()).or_insert_with(|| {
            let bar = ProgressBar::no_length().with_style(of_layer()).with_message(printable(digits));
            self.together.insert_before(&self.all, bar)
        });
        let number = |key: &str| units::number(row.get(key)).unwrap_or(0);
        bar.set_length(number("total"));
        bar.set_position(number("done"));
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

fn of_layer() -> ProgressStyle {
    style("{msg} [{bar:30}] {bytes}/{total_bytes}")
}

fn without_total() -> ProgressStyle {
    style("{spinner} {msg}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}
