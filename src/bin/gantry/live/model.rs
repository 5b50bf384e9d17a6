//! What is known and what is looked at: pure, told by the daemon and by keys, read by the view.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use gantry::wire::reply::Parsed;
use ratatui::widgets::TableState;

use super::logs::{LINES_MAX, Logs};
use crate::failure::Failure;
use crate::request::Request;
use crate::row::Row;

const SAMPLES: &str = "samples";
const EVENTS: &str = "events";
const LIST: &str = "list";

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It goes on.
    Stay,
    /// The person has seen enough.
    Leave,
}

/// What containers are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Their names.
    #[default]
    Name,
    /// The processor's time that they use, most first.
    Cpu,
    /// Their memory, most first.
    Memory,
}

/// What is on the screen.
pub enum Mode {
    /// The containers.
    List,
    /// The containers, and a question: whether to do this to one of them.
    Sure(&'static str, String),
    /// A log.
    Logs(Logs),
}

/// Whether the list is being asked for.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Listing {
    #[default]
    Known,
    Asked,
    /// Something happened since it was asked for.
    AskedAndOld,
}

/// All of it.
pub struct Model {
    /// The containers in their order, those alone that are to be seen.
    pub shown: Vec<Row>,
    /// What is on the screen.
    pub mode: Mode,
    /// What was said last, for the person.
    pub said: String,
    /// What the containers are ordered by.
    pub order: Order,
    /// Whether those that do not run are to be seen too.
    pub is_all: bool,
    /// Where in the list, as the view left it.
    pub place: TableState,
    all: Vec<Row>,
    coming: Vec<Row>,
    samples: BTreeMap<String, Row>,
    chosen: Option<String>,
    listing: Listing,
    requests: Vec<(String, Request)>,
    /// What is being done, by tag.
    doing: BTreeMap<String, (&'static str, String)>,
    tags: usize,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            shown: Vec::new(),
            mode: Mode::List,
            said: String::new(),
            order: Order::default(),
            is_all: true,
            place: TableState::default(),
            all: Vec::new(),
            coming: Vec::new(),
            samples: BTreeMap::new(),
            chosen: None,
            listing: Listing::default(),
            requests: Vec::new(),
            doing: BTreeMap::new(),
            tags: 0,
        }
    }
}

impl Model {
    /// Asks for what is shown from the start. Events first: nothing is missed before the first list.
    pub fn begin(&mut self) {
        self.ask(EVENTS, Request::new("events").option("type", b"container"));
        self.ask(SAMPLES, Request::new("stats").option("follow", b"yes"));
    }

    /// What is to be asked of the daemon now, with tags.
    pub fn requests(&mut self) -> Vec<(String, Request)> {
        std::mem::take(&mut self.requests)
    }

    fn ask(&mut self, tag: &str, request: Request) {
        self.requests.push((tag.to_owned(), request));
    }

    fn fresh_tag(&mut self) -> String {
        self.tags += 1;
        format!("t{}", self.tags)
    }

    /// Takes in what the daemon said. That it tells no more of what is shown is the end.
    pub fn take(&mut self, line: &Parsed) -> Result<(), Failure> {
        let tag = line.tag.as_deref().unwrap_or_default();
        match (tag, line.head.as_str()) {
            (SAMPLES | EVENTS | LIST, "ERR") => return Err(Failure::refused(&line.text())),
            (SAMPLES, "ROW") => {
                let row = Row::read(line)?;
                self.samples.insert(row.get("name").to_owned(), row);
                if self.order != Order::Name {
                    self.arrange();
                }
            }
            (EVENTS, "EVENT") => self.changed(),
            (LIST, "ROW") => self.coming.push(Row::read(line)?),
            (LIST, "OK") => self.listed(),
            _ => self.answered(tag, line)?,
        }
        Ok(())
    }

    /// Something is other than it was: the list is asked for, once at a time.
    fn changed(&mut self) {
        if self.listing == Listing::Known {
            self.listing = Listing::Asked;
            self.ask(LIST, Request::new("ps"));
        } else {
            self.listing = Listing::AskedAndOld;
        }
    }

    fn listed(&mut self) {
        self.all = std::mem::take(&mut self.coming);
        let is_old = self.listing == Listing::AskedAndOld;
        self.listing = Listing::Known;
        if is_old {
            self.changed();
        }
        let all = &self.all;
        self.samples.retain(|name, _| all.iter().any(|row| row.get("name") == name));
        self.arrange();
    }

    fn answered(&mut self, tag: &str, line: &Parsed) -> Result<(), Failure> {
        if let Mode::Logs(logs) = &mut self.mode
            && logs.tag == tag
        {
            return logs.take(line);
        }
        if line.is_final()
            && let Some((verb, name)) = self.doing.remove(tag)
        {
            self.said = match line.head.as_str() {
                "OK" => format!("{verb} {name}: done"),
                _ => format!("{verb} {name}: {}", Failure::refused(&line.text())),
            };
        }
        Ok(())
    }

    /// What a container uses, as it was told last.
    pub fn sample(&self, name: &str) -> Option<&Row> {
        self.samples.get(name)
    }

    /// How many there are, and how many of them run.
    pub fn counts(&self) -> (usize, usize) {
        (self.all.len(), self.all.iter().filter(|row| runs(row)).count())
    }

    /// The sum of a number over all that run.
    pub fn sum(&self, key: &str) -> f64 {
        // Not `sum`, which is -0 of nothing.
        self.samples.values().filter_map(|row| row.get(key).parse::<f64>().ok()).fold(0.0, |sum, one| sum + one)
    }

    /// Puts what is to be seen in order, and keeps to the container that was chosen.
    fn arrange(&mut self) {
        let is_all = self.is_all;
        let mut shown: Vec<Row> = self.all.iter().filter(|row| is_all || runs(row)).cloned().collect();
        let number = |row: &Row, key: &str| -> u64 {
            let sample = self.samples.get(row.get("name"));
            // A share of a processor has decimals.
            sample.and_then(|sample| sample.get(key).parse::<f64>().ok()).map_or(0, |number| (number * 100.0) as u64)
        };
        shown.sort_by(|a, b| a.get("name").cmp(b.get("name")));
        match self.order {
            Order::Name => {}
            Order::Cpu => shown.sort_by_key(|row| Reverse(number(row, "cpu-percent"))),
            Order::Memory => shown.sort_by_key(|row| Reverse(number(row, "memory"))),
        }
        self.shown = shown;
        let known = self.shown.iter().position(|row| Some(row.get("name")) == self.chosen.as_deref());
        // Where it has gone, its neighbour is chosen.
        let place = known.or(self.place.selected()).unwrap_or(0);
        self.choose(place);
    }

    fn choose(&mut self, place: usize) {
        let place = place.min(self.shown.len().saturating_sub(1));
        self.chosen = self.shown.get(place).map(|row| row.get("name").to_owned());
        self.place.select(self.chosen.is_some().then_some(place));
    }

    /// Goes down the list by so many, or up where it is less than none.
    pub fn go(&mut self, rows: isize) {
        self.choose(self.place.selected().unwrap_or(0).saturating_add_signed(rows));
    }

    /// The next order.
    pub fn reorder(&mut self) {
        self.order = match self.order {
            Order::Name => Order::Cpu,
            Order::Cpu => Order::Memory,
            Order::Memory => Order::Name,
        };
        self.arrange();
    }

    /// All, or those alone that run.
    pub fn show_all(&mut self, is_all: bool) {
        self.is_all = is_all;
        self.arrange();
    }

    /// Asks the person whether to do this to the container that is chosen.
    pub fn propose(&mut self, verb: &'static str) {
        if let Some(name) = self.chosen.clone() {
            self.mode = Mode::Sure(verb, name);
        }
    }

    /// Does what was proposed, or leaves it.
    pub fn decide(&mut self, is_sure: bool) {
        let Mode::Sure(verb, name) = std::mem::replace(&mut self.mode, Mode::List) else { return };
        self.said = String::new();
        // A name that the daemon told is a name.
        let Ok(request) = Request::new(verb).positional(name.as_bytes()) else { return };
        if is_sure {
            let tag = self.fresh_tag();
            self.said = format!("{verb} {name} …");
            self.ask(&tag, request);
            self.doing.insert(tag, (verb, name));
        }
    }

    /// Looks at the log of the container that is chosen.
    pub fn open_logs(&mut self) {
        let Some(name) = self.chosen.clone() else { return };
        let Ok(request) = Request::new("logs").positional(name.as_bytes()) else { return };
        let (tag, lines) = (self.fresh_tag(), LINES_MAX.to_string());
        let request = request.option("follow", b"yes").option("tail", lines.as_bytes()).option("text", b"quoted");
        self.ask(&tag, request);
        self.mode = Mode::Logs(Logs::new(&name, &tag));
    }

    /// Back to the list.
    pub fn close_logs(&mut self) {
        let Mode::Logs(logs) = std::mem::replace(&mut self.mode, Mode::List) else { return };
        if let (None, Ok(cancel)) = (&logs.end, Request::new("cancel").positional(logs.tag.as_bytes())) {
            let tag = self.fresh_tag();
            self.ask(&tag, cancel);
        }
    }
}

/// Whether its process is there.
pub fn runs(row: &Row) -> bool {
    matches!(row.get("state"), "running" | "paused" | "stopping")
}

#[cfg(test)]
pub mod tests;
