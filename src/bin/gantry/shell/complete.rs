//! Completion: verbs, options and names, all of them as the daemon tells them. Which verbs there are is not known here.

use std::cell::OnceCell;
use std::time::Duration;

use rustyline::Context;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;

use super::forms::{self, Form};
use crate::commands::rows;
use crate::connection::Daemon;
use crate::failure::Failure;
use crate::request::Request;

/// How long the daemon may take to tell: a person at the keyboard waits for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whom completion asks.
pub trait Source {
    /// The verbs, as `help` tells them.
    fn verbs(&self) -> Vec<String>;
    /// One verb, as `help VERB` tells it.
    fn form(&self, verb: &str) -> Option<Form>;
    /// The names that a listing has.
    fn names(&self, listing: &str) -> Vec<String>;
}

/// What may stand in place of the last word of `typed`, and where that word starts.
pub fn candidates(typed: &str, source: &impl Source) -> (usize, Vec<String>) {
    let start = typed.rfind([' ', '\t']).map_or(0, |at| at + 1);
    let (before, word) = typed.split_at_checked(start).unwrap_or((typed, ""));
    let mut words: Vec<&str> = before.split_whitespace().collect();
    if words.first().is_some_and(|first| first.starts_with('@')) {
        words.remove(0);
    }
    // What a container runs is not the daemon's to tell.
    let found = if words.contains(&"--") { Vec::new() } else { meant(&words, word, source) };
    (start, found.into_iter().filter(|one| one.starts_with(word)).collect())
}

fn meant(words: &[&str], word: &str, source: &impl Source) -> Vec<String> {
    let verbs = source.verbs();
    let is_verb = |length: usize| words.len() >= length && verbs.contains(&words[..length].join(" "));
    match [2, 1].into_iter().find(|length| is_verb(*length)) {
        Some(length) => {
            let verb = words[..length].join(" ");
            source.form(&verb).map(|form| arguments(&form, &words[length..], word, &verbs, source)).unwrap_or_default()
        }
        None => forms::next_words(&verbs, words),
    }
}

/// What may stand behind a verb: options that were not given yet, a value of one, or a name.
fn arguments(form: &Form, words: &[&str], word: &str, verbs: &[String], source: &impl Source) -> Vec<String> {
    if let Some((key, _)) = word.split_once('=') {
        let Some(option) = form.options.iter().find(|option| option.key == key) else { return Vec::new() };
        let named = option.takes_a_name().then(|| format!("{key} ls")).filter(|listing| verbs.contains(listing));
        let names = named.map(|listing| source.names(&listing)).unwrap_or_default();
        return option.values().chain(names).map(|value| format!("{key}={value}")).collect();
    }
    let given = |key: &str| words.iter().any(|word| word.split_once('=').is_some_and(|(given, _)| given == key));
    let options = form.options.iter().filter(|option| option.repeats || !given(&option.key));
    let options: Vec<String> = options.map(|option| format!("{}=", option.key)).collect();
    let nth = words.iter().filter(|word| !word.contains('=')).count();
    let names = form.listing_of(nth, verbs).map(|listing| source.names(&listing)).unwrap_or_default();
    names.into_iter().chain(options).collect()
}

/// Asks the daemon, over connections of its own.
pub struct Helper {
    daemon: Daemon,
    verbs: OnceCell<Vec<String>>,
}

impl Helper {
    /// Asks this daemon.
    pub fn new(daemon: Daemon) -> Self {
        Self { daemon, verbs: OnceCell::new() }
    }

    fn help(&self, verb: &str) -> Result<Vec<String>, Failure> {
        let mut connection = self.daemon.connect()?;
        connection.answer_within(PATIENCE)?;
        let request =
            verb.split_whitespace().try_fold(Request::new("help"), |r, word| r.positional(word.as_bytes()))?;
        let mut lines = Vec::new();
        connection.exchange(&request, |line, _| {
            lines.push(line.text());
            Ok(())
        })?;
        Ok(lines)
    }
}

impl Source for Helper {
    fn verbs(&self) -> Vec<String> {
        if let Some(verbs) = self.verbs.get() {
            return verbs.clone();
        }
        // A daemon that cannot be asked now may be later.
        let Ok(lines) = self.help("") else { return Vec::new() };
        self.verbs.get_or_init(|| lines.iter().filter_map(|line| forms::verb_of(line)).collect()).clone()
    }

    fn form(&self, verb: &str) -> Option<Form> {
        Form::read(&self.help(verb).ok()?)
    }

    fn names(&self, listing: &str) -> Vec<String> {
        let ask = || {
            let mut connection = self.daemon.connect()?;
            connection.answer_within(PATIENCE)?;
            rows::collect(&mut connection, &Request::new(listing))
        };
        ask().unwrap_or_default().iter().map(|row| row.get("name").to_owned()).collect()
    }
}

impl Completer for Helper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, found) = candidates(line.get(..pos).unwrap_or(line), self);
        // A blank behind what is complete, so that the next word can be typed at once.
        let replacement = |one: &str| if one.ends_with(['=', ':']) { one.to_owned() } else { format!("{one} ") };
        Ok((start, found.into_iter().map(|one| Pair { replacement: replacement(&one), display: one }).collect()))
    }
}

impl Hinter for Helper {
    type Hint = String;
}

impl Highlighter for Helper {}

impl Validator for Helper {}

impl rustyline::Helper for Helper {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A daemon whose verbs nobody has heard of.
    struct Other;

    impl Source for Other {
        fn verbs(&self) -> Vec<String> {
            ["ps", "paint", "barrel ls", "barrel roll", "barrel paint", "barrel fill"].map(str::to_owned).to_vec()
        }

        fn form(&self, verb: &str) -> Option<Form> {
            let help: &[&str] = match verb {
                "paint" => &[
                    "paint NAME [option=…]",
                    "  paint one",
                    "  colour=red|green[:N]      which",
                    "  note=TEXT                 a note (may repeat)",
                    "  barrel=NAME|none          from which",
                ],
                "barrel roll" => &["barrel roll NAME", "  roll one"],
                "barrel fill" => &["barrel fill BARREL NAME", "  fill one"],
                _ => &["other", "  x"],
            };
            Form::read(&help.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
        }

        fn names(&self, listing: &str) -> Vec<String> {
            let names: &[&str] = match listing {
                "ps" => &["web:1", "web:2"],
                "barrel ls" => &["oak", "ash"],
                _ => &[],
            };
            names.iter().map(|name| (*name).to_owned()).collect()
        }
    }

    #[test]
    fn what_the_daemon_tells_is_offered() {
        for (typed, start, offered) in [
            ("", 0, "ps paint barrel"),
            ("p", 0, "ps paint"),
            ("@t1 pa", 4, "paint"),
            ("barrel ", 7, "ls roll paint fill"),
            ("barrel r", 7, "roll"),
            ("barrel roll ", 12, "oak ash"),
            ("barrel fill ", 12, "oak ash"),
            ("barrel fill oak w", 16, "web:1 web:2"),
            ("paint ", 6, "web:1 web:2 colour= note= barrel="),
            ("paint w", 6, "web:1 web:2"),
            ("paint web:1 ", 12, "colour= note= barrel="),
            ("paint colour=red note=a ", 24, "web:1 web:2 note= barrel="),
            ("paint web:1 colour=g", 12, "colour=green"),
            ("paint web:1 barrel=", 12, "barrel=none barrel=oak barrel=ash"),
            ("paint web:1 note=", 12, ""),
            ("paint web:1 other=", 12, ""),
            ("paint web:1 -- w", 15, ""),
            ("none such ", 10, ""),
            ("paint ä", 6, ""),
        ] {
            let (at, found) = candidates(typed, &Other);
            assert_eq!((at, found.join(" ").as_str()), (start, offered), "{typed:?}");
        }
    }
}
