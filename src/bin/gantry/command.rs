//! A command: one entry of the registry, and one call of it as typed.

use std::ffi::OsString;

use clap::ArgMatches;

use crate::connection::Daemon;
use crate::console::Console;
use crate::failure::Failure;
use crate::flag::{Flag, Pair};
use crate::request::Request;
use crate::template::Template;
use crate::value;

/// What stands behind a command's flags.
#[derive(Clone, Copy)]
pub enum Operands {
    /// Exactly these.
    Exactly(&'static [&'static str]),
    /// One or more.
    Each(&'static str),
    /// Any number.
    Any(&'static str),
    /// The first ends the flags: all that follows belongs to a program.
    Program(&'static str),
}

/// How a command ends: an exit status, or a failure to be told.
pub type Outcome = Result<u8, Failure>;

/// One command.
pub struct Entry {
    /// As it is typed, perhaps in two words.
    pub name: &'static str,
    /// Other names for it.
    pub also: &'static [&'static str],
    /// The verb of the protocol behind it.
    pub verb: &'static str,
    /// What stands behind its flags.
    pub operands: Operands,
    /// Flags of its own.
    pub own: &'static [Flag],
    /// Lists of flags that it shares with other commands.
    pub shared: &'static [&'static [Flag]],
    /// The exit status of a failure.
    pub failed: u8,
    /// What it does.
    pub act: fn(&mut Call<'_>) -> Outcome,
    /// The same in half a line.
    pub about: &'static str,
}

impl Entry {
    /// Its flags, one after another.
    pub fn all_flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.own.iter().chain(self.shared.iter().copied().flatten())
    }
}

/// How a listing is shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Format {
    /// For a person.
    Table,
    /// For a program: one JSON object a line, with the keys of the wire.
    Json,
    /// As a template says.
    Template(Template),
}

/// A command as typed, with what it needs to be carried out.
pub struct Call<'a> {
    /// Which command.
    pub entry: &'static Entry,
    /// What was typed.
    pub matches: &'a ArgMatches,
    /// What was typed between the word of a group and the command.
    pub group: Option<&'a ArgMatches>,
    /// Whom it is for.
    pub daemon: &'a Daemon,
    /// Where it writes.
    pub console: &'a mut Console,
}

impl Call<'_> {
    /// What stands behind the flags.
    pub fn operands(&self) -> Vec<OsString> {
        let typed = self.matches.try_get_many::<OsString>(crate::cli::OPERANDS).ok().flatten();
        typed.into_iter().flatten().cloned().collect()
    }

    /// The flags for the daemon, as options.
    pub fn options(&self) -> Result<Vec<Pair>, Failure> {
        let pairs: Result<Vec<_>, _> = self.entry.all_flags().map(|flag| flag.pairs(self.matches)).collect();
        Ok(pairs?.concat())
    }

    /// The request that the flags make, without operands.
    pub fn request(&self) -> Result<Request, Failure> {
        Ok(Request::new(self.entry.verb).options(&self.options()?))
    }

    /// The value of a flag.
    pub fn value(&self, long: &str) -> Option<&OsString> {
        self.matches.try_get_one::<OsString>(long).ok().flatten()
    }

    /// Every value of a flag, those that stand before the command first.
    pub fn values(&self, long: &str) -> Vec<OsString> {
        let places = self.group.into_iter().chain([self.matches]);
        let typed = places.filter_map(|place| place.try_get_many::<OsString>(long).ok().flatten());
        typed.flatten().cloned().collect()
    }

    /// Whether a switch is on; `otherwise` where it was not typed.
    pub fn is_on(&self, long: &str, otherwise: bool) -> Result<bool, Failure> {
        let typed = self.value(long).map_or(Ok(otherwise), |typed| value::is_yes(typed));
        typed.map_err(|why| Failure::Usage(format!("--{long}: {why}")))
    }

    /// Whether a switch was turned on.
    pub fn has(&self, long: &str) -> Result<bool, Failure> {
        self.is_on(long, false)
    }

    /// The number behind a flag.
    pub fn number(&self, long: &str) -> Result<Option<usize>, Failure> {
        let Some(typed) = self.value(long) else { return Ok(None) };
        let number = typed.to_str().and_then(gantry::wire::units::number);
        number.map(Some).ok_or_else(|| Failure::Usage(format!("--{long}: {} is no number", typed.display())))
    }

    /// How a listing is to be shown.
    pub fn format(&self) -> Result<Format, Failure> {
        let unknown = || Failure::Usage("--format: it is table, json, or a template as {{.Name}}".to_owned());
        match self.value("format").map(|typed| typed.to_str().ok_or_else(unknown)).transpose()? {
            None | Some("table") => Ok(Format::Table),
            Some("json") => Ok(Format::Json),
            Some(template) if template.contains("{{") => {
                let read = Template::read(template).map_err(|why| Failure::Usage(format!("--format: {why}")));
                read.map(Format::Template)
            }
            Some(_) => Err(unknown()),
        }
    }
}
