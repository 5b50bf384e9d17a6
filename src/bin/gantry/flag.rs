//! A flag: what a docker user types, what it becomes on the wire, how help shows it. One entry of a table is all there
//! is to a flag; the parser, the request and the help derive from it.

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, ArgMatches, value_parser};

use crate::failure::Failure;
use crate::value;

/// One option of a request: its key and its value, unquoted.
pub type Pair = (&'static str, Vec<u8>);

/// Turns what was typed into options of the wire; the error is the reason, without the flag's name.
pub type Convert = fn(key: &'static str, typed: &OsStr) -> Result<Vec<Pair>, String>;

/// How many values it takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// None, though docker's `--flag=false` is understood.
    Switch,
    /// One, the last where it is given again; the word names the value in help.
    One(&'static str),
    /// One each time it is given.
    Many(&'static str),
}

/// Who acts on it.
#[derive(Clone, Copy)]
pub enum Means {
    /// The daemon: it goes out as `KEY=`.
    Wire(&'static str, Convert),
    /// The client alone.
    Here,
    /// Nobody: docker has it and gantry does not, for this reason.
    Refused(&'static str),
}

/// One flag.
#[derive(Clone, Copy)]
pub struct Flag {
    /// Its name behind `--`.
    pub long: &'static str,
    /// Its letter behind `-`.
    pub short: Option<char>,
    /// Other names that docker has had for it.
    pub also: &'static [&'static str],
    /// How many values it takes.
    pub takes: Takes,
    /// Who acts on it.
    pub means: Means,
    /// What it does, in half a line.
    pub about: &'static str,
}

impl Flag {
    const fn new(long: &'static str, takes: Takes, convert: Convert, about: &'static str) -> Self {
        Self { long, short: None, also: &[], takes, means: Means::Wire(long, convert), about }
    }

    /// A flag without value, sent as `LONG=yes` or `no`.
    pub const fn switch(long: &'static str, about: &'static str) -> Self {
        Self::new(long, Takes::Switch, value::switch, about)
    }

    /// A flag with one value, sent as `LONG=VALUE`.
    pub const fn one(long: &'static str, value: &'static str, about: &'static str) -> Self {
        Self::new(long, Takes::One(value), value::text, about)
    }

    /// A flag that may be given again and keeps its order.
    pub const fn many(long: &'static str, value: &'static str, about: &'static str) -> Self {
        Self::new(long, Takes::Many(value), value::text, about)
    }

    /// A flag of docker's that is refused by name.
    pub const fn refused(long: &'static str, takes: Takes, why: &'static str) -> Self {
        Self { long, short: None, also: &[], takes, means: Means::Refused(why), about: "" }
    }

    /// The same flag with a letter.
    pub const fn short(self, letter: char) -> Self {
        Self { short: Some(letter), ..self }
    }

    /// The same flag under other names too.
    pub const fn also(self, names: &'static [&'static str]) -> Self {
        Self { also: names, ..self }
    }

    /// The same flag, sent as `KEY=`.
    pub const fn key(self, key: &'static str) -> Self {
        match self.means {
            Means::Wire(_, convert) => Self { means: Means::Wire(key, convert), ..self },
            Means::Here | Means::Refused(_) => self,
        }
    }

    /// The same flag, its value turned into the wire's form by `convert`.
    pub const fn via(self, convert: Convert) -> Self {
        match self.means {
            Means::Wire(key, _) => Self { means: Means::Wire(key, convert), ..self },
            Means::Here | Means::Refused(_) => self,
        }
    }

    /// The same flag, for the client alone.
    pub const fn here(self) -> Self {
        Self { means: Means::Here, ..self }
    }

    /// It as the parser knows it.
    pub fn arg(&self) -> Arg {
        let mut arg = Arg::new(self.long).long(self.long).value_parser(value_parser!(OsString)).help(self.about);
        // Not offered to who completes a line, either.
        arg = arg.hide(matches!(self.means, Means::Refused(_)));
        if let Some(letter) = self.short {
            arg = arg.short(letter);
        }
        for name in self.also {
            arg = arg.alias(*name);
        }
        match self.takes {
            Takes::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
            Takes::One(value) => arg.value_name(value).allow_hyphen_values(true),
            Takes::Many(value) => arg.value_name(value).allow_hyphen_values(true).action(ArgAction::Append),
        }
    }

    /// What of it was typed, as options of the request.
    pub fn pairs(&self, matches: &ArgMatches) -> Result<Vec<Pair>, Failure> {
        let Ok(Some(typed)) = matches.try_get_many::<OsString>(self.long) else { return Ok(Vec::new()) };
        let wrong = |why: &str| Failure::Usage(format!("--{}: {why}", self.long));
        match self.means {
            Means::Here => Ok(Vec::new()),
            Means::Refused(why) => Err(wrong(why)),
            Means::Wire(key, convert) => {
                let converted: Result<Vec<_>, _> = typed.map(|typed| convert(key, typed)).collect();
                converted.map(|pairs| pairs.concat()).map_err(|why| wrong(&why))
            }
        }
    }

    /// Its line in help: how it is typed, and what it does; none where it is refused.
    pub fn help(&self) -> Option<(String, &'static str)> {
        if matches!(self.means, Means::Refused(_)) {
            return None;
        }
        let letter = self.short.map_or("    ".to_owned(), |letter| format!("-{letter}, "));
        let value = match self.takes {
            Takes::Switch => String::new(),
            Takes::One(value) | Takes::Many(value) => format!(" {value}"),
        };
        Some((format!("{letter}--{}{value}", self.long), self.about))
    }
}
