//! What a load file says: protocol lines, and directives in comments.
//!
//! | directive | says of the lines that follow |
//! | --- | --- |
//! | `#: before [times N]` | sent once, or so often, before anything is measured |
//! | `#: clients N [repeat N] [think DURATION] [window N]` | sent by so many clients at the same time, so often by each; with a rest between two rounds; with so many requests on their way at once. Groups run beside each other |
//! | `#: listeners N [until TEXT]` | sent once by each of so many clients, which then read: until a line with TEXT comes, or the last reply |
//! | `#: after [times N]` | sent once, or so often, when the groups are done |
//! | `#: number WORD` | `WORD` is another in every round of every client: with that round's number in place of its last character |
//! | `#: budget KEY=VALUE…` | what may not be exceeded: see [`Budget`] |
//!
//! To a person's `socat` directives are comments, and each line is sent once.

use std::time::Duration;

use gantry::wire::units;

/// A load file, read.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// What it shows: its first comment.
    pub title: String,
    /// Its sections, in their order.
    pub sections: Vec<Section>,
    /// Words that are others in every round.
    pub numbered: Vec<String>,
    /// What may not be exceeded.
    pub budget: Budget,
}

/// Lines, and who sends them.
#[derive(Clone, Debug)]
pub struct Section {
    /// Who.
    pub part: Part,
    /// What, without the LF.
    pub lines: Vec<String>,
}

/// Who sends lines, when and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// One client, before what is measured.
    Before(usize),
    /// Those who are measured.
    Clients(Clients),
    /// Those who read what comes, until a line has that text.
    Listeners(usize, Option<String>),
    /// One client, after what is measured.
    After(usize),
}

/// A group of clients that do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clients {
    /// How many.
    pub count: usize,
    /// How many rounds each.
    pub repeat: usize,
    /// The rest between two rounds.
    pub think: Duration,
    /// How many requests of a client are on their way at once.
    pub window: usize,
}

/// What may not be exceeded. None of it is asked of a brief play.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Budget {
    /// The slowest of a hundred requests, for each verb named: `ps.p99=5ms`; `p99=…` is for all.
    pub p99: Vec<(String, Duration)>,
    /// The daemon's processor time for a request on average: `cpu=10us`.
    pub cpu: Option<Duration>,
    /// How much larger the daemon's proportional set may be afterwards: `pss=512k`.
    pub pss: Option<u64>,
}

impl Script {
    /// Reads a load file; the error names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut script = Self::default();
        for (number, line) in text.lines().enumerate() {
            script.add(line.trim_end()).map_err(|what| format!("line {}: {what}", number + 1))?;
        }
        match script.sections.iter().find(|section| section.lines.is_empty()) {
            Some(empty) => Err(format!("no lines for {:?}", empty.part)),
            None => Ok(script),
        }
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        if let Some(directive) = line.strip_prefix("#:") {
            self.direct(directive.trim())
        } else if let Some(comment) = line.strip_prefix('#') {
            if self.title.is_empty() {
                self.title = comment.trim().to_owned();
            }
            Ok(())
        } else if line.is_empty() {
            Ok(())
        } else {
            let section = self.sections.last_mut().ok_or("a request before the first directive")?;
            section.lines.push(line.to_owned());
            Ok(())
        }
    }

    fn direct(&mut self, directive: &str) -> Result<(), String> {
        let (head, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        let part = match head {
            "before" => Part::Before(times(rest)?),
            "after" => Part::After(times(rest)?),
            "clients" => Part::Clients(clients(rest)?),
            "listeners" => {
                let (count, until) = rest.split_once(" until ").map_or((rest, None), |(n, text)| (n, Some(text)));
                Part::Listeners(number(count)?, until.map(str::to_owned))
            }
            "number" => {
                self.numbered.push(rest.trim().to_owned());
                return Ok(());
            }
            "budget" => return rest.split_whitespace().try_for_each(|word| self.budget.add(word)),
            other => return Err(format!("{other}: no such directive")),
        };
        self.sections.push(Section { part, lines: Vec::new() });
        Ok(())
    }

    /// The same for a look at whether it works: no rests, and at most so many rounds and times.
    pub fn briefly(mut self, rounds: usize) -> Self {
        for section in &mut self.sections {
            match &mut section.part {
                Part::Before(times) | Part::After(times) => *times = (*times).min(rounds),
                Part::Clients(clients) => {
                    clients.repeat = clients.repeat.min(rounds);
                    clients.count = clients.count.min(rounds);
                    clients.think = Duration::ZERO;
                }
                Part::Listeners(count, _) => *count = (*count).min(rounds),
            }
        }
        self.budget = Budget::default();
        self
    }

    /// A line in round `number`.
    pub fn line(&self, line: &str, number: usize) -> String {
        let mut line = line.to_owned();
        for word in &self.numbered {
            let stem = word.trim_end_matches(|c: char| c.is_ascii_digit());
            line = line.replace(word, &format!("{stem}{number}"));
        }
        line
    }
}

impl Budget {
    fn add(&mut self, word: &str) -> Result<(), String> {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("{word}: not KEY=VALUE"))?;
        match key {
            "cpu" => self.cpu = Some(duration(value)?),
            "pss" => self.pss = Some(units::size(value).map_err(|e| e.message().to_owned())?),
            _ => {
                let verb = key.strip_suffix("p99").ok_or_else(|| format!("{key}: no such budget"))?;
                self.p99.push((verb.trim_end_matches('.').replace('_', " "), duration(value)?));
            }
        }
        Ok(())
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.trim().parse().map_err(|_| format!("{text}: not a number"))
}

/// A duration as the protocol has it, or in microseconds.
fn duration(text: &str) -> Result<Duration, String> {
    match text.strip_suffix("us") {
        Some(number) => number.parse().map(Duration::from_micros).map_err(|_| format!("{text}: not a number")),
        None => units::duration(text).map_err(|e| e.message().to_owned()),
    }
}

fn times(rest: &str) -> Result<usize, String> {
    match rest.strip_prefix("times ") {
        Some(count) => number(count),
        None if rest.is_empty() => Ok(1),
        None => Err(format!("{rest}: not [times N]")),
    }
}

fn clients(rest: &str) -> Result<Clients, String> {
    let mut words = rest.split_whitespace();
    let count = number(words.next().ok_or("how many clients?")?)?;
    let mut clients = Clients { count, repeat: 1, think: Duration::ZERO, window: 1 };
    while let Some(key) = words.next() {
        let value = words.next().ok_or_else(|| format!("{key} what?"))?;
        match key {
            "repeat" => clients.repeat = number(value)?,
            "window" => clients.window = number(value)?.max(1),
            "think" => clients.think = duration(value)?,
            other => return Err(format!("{other}: no such word of clients")),
        }
    }
    Ok(clients)
}
