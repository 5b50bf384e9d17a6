//! The command line: made from the registry, and read back into one of its entries.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::command::{Entry, Operands};
use crate::registry::{ENTRIES, GROUPS};

/// The parser's name for what stands behind the flags.
pub const OPERANDS: &str = "operands";

/// Where the daemon answers, unless told otherwise.
const SOCKET: &str = "/run/gantry/gantry.sock";

/// The whole command line.
pub fn parser() -> Command {
    let mut top = Command::new("gantry")
        .about("Runs OCI containers: the client of gantryd")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("COMMAND")
        .subcommand_help_heading("Commands")
        .arg(socket());
    let alone = ENTRIES.iter().filter(|entry| group_of(entry).is_none());
    top = top.subcommands(alone.map(|entry| {
        named(entry).defer(|command| match find(command.get_name()) {
            Some(entry) => completed(command, entry),
            None => command,
        })
    }));
    top.subcommands(GROUPS.iter().map(|(group, about, _)| Command::new(*group).about(*about).defer(filled)))
}

/// A group with its flags and its commands.
fn filled(command: Command) -> Command {
    let Some((group, _, flags)) = GROUPS.iter().find(|(group, ..)| *group == command.get_name()) else {
        return command;
    };
    let own = ENTRIES.iter().filter(|entry| group_of(entry) == Some(group));
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(flags.iter().map(|flag| flag.arg()))
        .subcommands(own.map(|entry| completed(named(entry), entry)))
}

fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

fn socket() -> Arg {
    Arg::new("socket")
        .long("socket")
        .short('H')
        .value_name("PATH")
        .env("GANTRY_SOCKET")
        .hide_env_values(true)
        .default_value(SOCKET)
        .value_parser(value_parser!(OsString))
        .help("The daemon's socket")
}

/// The socket that was typed, with or without docker's `unix://`.
pub fn socket_of(matches: &ArgMatches) -> PathBuf {
    let typed = matches.get_one::<OsString>("socket").map_or(SOCKET.as_bytes(), |typed| typed.as_bytes());
    OsStr::from_bytes(typed.strip_prefix(b"unix://").unwrap_or(typed)).into()
}

fn group_of(entry: &Entry) -> Option<&'static str> {
    entry.name.split_once(' ').map(|(group, _)| group)
}

/// A command as it is typed: its name, and what stands behind it.
pub fn form(entry: &Entry) -> String {
    let flags = if entry.all_flags().next().is_some() { " [OPTIONS]" } else { "" };
    format!("{}{flags} {}", entry.name, operands(entry.operands).1).trim_end().to_owned()
}

/// A command as a list of commands shows it. What it takes is told when it is that one that was typed: to make all of them
/// takes longer than most answers do.
fn named(entry: &'static Entry) -> Command {
    let own_name = entry.name.rsplit(' ').next().unwrap_or(entry.name);
    Command::new(own_name).visible_aliases(entry.also).about(entry.about)
}

fn completed(command: Command, entry: &'static Entry) -> Command {
    let (operands, shown) = operands(entry.operands);
    let short_help = entry.all_flags().all(|flag| flag.short != Some('h'));
    let help = Arg::new("help").long("help").action(ArgAction::Help);
    command
        .override_usage(format!("gantry {} [OPTIONS] {shown}", entry.name))
        .help_template(format!("{{usage-heading}} {{usage}}\n\n{{about}}\n{}", options_help(entry)))
        .disable_help_flag(true)
        .args_override_self(true)
        .args(entry.all_flags().map(|flag| flag.arg()))
        .arg(if short_help { help.short('h') } else { help })
        .args(operands)
}

/// The positional as the parser knows it, and as usage shows it.
fn operands(kind: Operands) -> (Option<Arg>, String) {
    let arg = Arg::new(OPERANDS).value_parser(value_parser!(OsString)).action(ArgAction::Set);
    match kind {
        Operands::Exactly([]) => (None, String::new()),
        Operands::Exactly(names) => {
            (Some(arg.num_args(names.len()).value_names(names).required(true)), names.join(" "))
        }
        Operands::Each(name) => (Some(arg.num_args(1..).value_name(name).required(true)), format!("{name}…")),
        Operands::Any(name) => (Some(arg.num_args(0..).value_name(name)), format!("[{name}…]")),
        // Nothing behind the first is a flag of ours, however it looks.
        Operands::Program(form) => (Some(arg.num_args(0..).trailing_var_arg(true)), form.to_owned()),
    }
}

fn options_help(entry: &Entry) -> String {
    let lines: Vec<_> = entry.all_flags().filter_map(|flag| flag.help()).collect();
    let width = lines.iter().map(|(form, _)| form.chars().count()).max().unwrap_or(0);
    let mut text = if lines.is_empty() { String::new() } else { "\nOptions:\n".to_owned() };
    for (form, about) in lines {
        let _ = writeln!(text, "  {form:width$}   {about}");
    }
    text
}

/// What was typed: an entry, the matches of its own flags, and those of its group's.
pub struct Chosen<'a> {
    /// Which command.
    pub entry: &'static Entry,
    /// Its own flags and operands.
    pub matches: &'a ArgMatches,
    /// Flags between the word of its group and itself.
    pub group: Option<&'a ArgMatches>,
}

/// Reads which entry was typed.
pub fn chosen(matches: &ArgMatches) -> Option<Chosen<'_>> {
    let (first, inner) = matches.subcommand()?;
    let (name, matches, group) = match inner.subcommand() {
        Some((second, innermost)) => (format!("{first} {second}"), innermost, Some(inner)),
        None => (first.to_owned(), inner, None),
    };
    find(&name).map(|entry| Chosen { entry, matches, group })
}

/// The exit status of a command line that cannot be read: that of the command it names.
pub fn unreadable(typed: &[OsString]) -> u8 {
    let named = typed.iter().skip(1).find_map(|word| {
        ENTRIES.iter().find(|entry| entry.name == word.as_os_str() || entry.also.iter().any(|name| *name == word))
    });
    named.map_or(1, |entry| entry.failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_makes_a_sound_parser() {
        parser().debug_assert();
    }

    #[test]
    fn every_entry_can_be_chosen() {
        for entry in ENTRIES {
            let count = match entry.operands {
                Operands::Exactly(names) => names.len(),
                _ => 1,
            };
            let words = std::iter::once("gantry").chain(entry.name.split(' ')).chain(std::iter::repeat_n("x", count));
            let matches = parser().try_get_matches_from(words).unwrap();
            assert_eq!(chosen(&matches).unwrap().entry.name, entry.name);
        }
    }

    #[test]
    fn unknown_flags_are_told_with_the_nearest() {
        let error = parser().try_get_matches_from(["gantry", "run", "--nmae", "x", "i"]).unwrap_err();
        assert!(error.to_string().contains("--name"), "{error}");
        assert_eq!(unreadable(&["gantry".into(), "run".into(), "--nmae".into()]), 125);
        assert_eq!(unreadable(&["gantry".into(), "ps".into(), "--bad".into()]), 1);
    }
}
