//! The flags of commands that look, stop and move things, as docker spells them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::environment;
use crate::flag::{Flag, Takes};
use crate::value::{self, Converted};

const FORMAT: Flag = Flag::one("format", "FORMAT", "table, or json for an object a line").here();
const QUIET: Flag = Flag::switch("quiet", "Only the names").short('q').here();
const NO_TRUNC: Flag = Flag::switch("no-trunc", "Shorten nothing").here();

/// For a listing with nothing else.
pub const LISTING: &[Flag] = &[FORMAT];

/// Flags of `ps`.
pub const PS: &[Flag] = &[
    Flag::switch("all", "Those that do not run too").short('a').here(),
    Flag::many("filter", "KEY=VALUE", "Only those with this name=, status= or label=").short('f').via(ps_filter),
    Flag::one("last", "NUMBER", "Only so many, the youngest, running or not").short('n').here(),
    Flag::switch("latest", "Only the youngest, running or not").short('l').here(),
    Flag::switch("quiet", "Only the ids").short('q').here(),
    NO_TRUNC,
    FORMAT,
];

/// Flags of `images`.
pub const IMAGES: &[Flag] = &[
    QUIET,
    NO_TRUNC,
    Flag::switch("digests", "Digests in full").here(),
    Flag::switch("all", "Every image is shown in any case").short('a').here(),
    FORMAT,
];

/// Flags of listings that can be cut down to names.
pub const NAMES: &[Flag] = &[QUIET, FORMAT];

/// Flags of `stats`.
pub const STATS: &[Flag] = &[Flag::switch("no-stream", "Once, not every second").here(), FORMAT];

/// Flags of `events`.
pub const EVENTS: &[Flag] = &[
    Flag::one("since", "TIME", "Those from then on too").via(value::moment),
    Flag::many("filter", "KEY=VALUE", "Only those with this type= or name=").short('f').via(events_filter),
    FORMAT,
];

/// Flags of `logs`.
pub const LOGS: &[Flag] = &[
    Flag::switch("follow", "Go on as more is written").short('f'),
    Flag::one("tail", "NUMBER", "Only so many lines from the end").short('n').via(value::tail),
    Flag::one("since", "TIME", "Only from then on: RFC 3339, or a duration ago").via(value::moment),
    Flag::switch("timestamps", "The time before each line").short('t'),
    Flag::refused("until", Takes::One("TIME"), "a log is shown to its end"),
    Flag::refused("details", Takes::Switch, "a log holds no more than its lines"),
];

/// Flags of `stop` and `restart`.
pub const STOP: &[Flag] =
    &[Flag::one("timeout", "SECONDS", "Kill it after so long").short('t').also(&["time"]).via(value::duration)];

/// Flags of `kill`.
pub const KILL: &[Flag] = &[Flag::one("signal", "SIGNAL", "This in place of KILL").short('s')];

/// Flags of `rm`.
pub const RM: &[Flag] = &[
    Flag::switch("force", "Kill it first where it runs").short('f'),
    Flag::refused("volumes", Takes::Switch, "there are no nameless volumes; see gantry volume rm").short('v'),
];

/// Flags of `start`.
pub const START: &[Flag] = &[Flag::refused("attach", Takes::Switch, "use gantry logs -f").short('a')];

/// Flags of `rmi`.
pub const RMI: &[Flag] =
    &[Flag::refused("force", Takes::Switch, "remove the containers first, with gantry rm -f").short('f')];

/// Flags of `pull` alone.
pub const PULL: &[Flag] = &[
    Flag::switch("quiet", "Only the image's name").short('q').here(),
    Flag::refused("all-tags", Takes::Switch, "pull each by its tag").short('a'),
];

/// Flags of `import`.
pub const IMPORT: &[Flag] = &[
    Flag::one("cmd", "WORDS", "What it runs, as one string of words"),
    Flag::one("entrypoint", "COMMAND", "What stands before that"),
    Flag::many("env", "NAME[=VALUE]", "Set a variable").short('e').via(environment::variable),
    Flag::one("workdir", "DIR", "Where it starts").short('w'),
    Flag::one("user", "USER[:GROUP]", "As whom it runs").short('u'),
    Flag::refused("change", Takes::Many("INSTRUCTION"), "use --cmd, --entrypoint, --env, --workdir, --user").short('c'),
];

/// Flags of `load`.
pub const LOAD: &[Flag] = &[Flag::one("input", "PATH", "The archive or oci:DIR to read").short('i').here()];

/// Flags of `save`.
pub const SAVE: &[Flag] = &[Flag::one("output", "FILE", "Where the archive goes").short('o').here()];

/// Flags of `image prune`.
pub const IMAGE_PRUNE: &[Flag] = &[
    Flag::switch("all", "Images with names too").short('a'),
    Flag::one("unused", "TIME", "Only those that nothing has used for so long").via(value::duration),
];

/// Flags of `shutdown`.
pub const SHUTDOWN: &[Flag] =
    &[Flag::one("timeout", "TIME", "How long each container may take to stop").short('t').via(value::duration)];

/// Flags of `network create`.
pub const NETWORK_CREATE: &[Flag] =
    &[Flag::one("subnet", "CIDR", "Its addresses"), Flag::switch("internal", "Nothing outside is reached from it")];

/// Flags of `update`.
pub const UPDATE: &[Flag] = &[
    Flag::one("memory", "SIZE", "Most memory it may use").short('m').via(value::size),
    Flag::one("memory-swap", "SIZE", "Most memory and swap together").via(value::size),
    Flag::one("cpus", "NUMBER", "Most processors it may use, as 1.5"),
    Flag::one("pids-limit", "NUMBER", "Most processes it may have").key("pids"),
];

fn ps_filter(_: &'static str, typed: &OsStr) -> Converted {
    filter(typed, &[("name", "name"), ("status", "state"), ("state", "state"), ("label", "label")])
}

fn events_filter(_: &'static str, typed: &OsStr) -> Converted {
    filter(typed, &[("type", "type"), ("name", "name"), ("container", "name")])
}

/// `KEY=VALUE` of docker's, by the keys of the wire.
fn filter(typed: &OsStr, known: &[(&str, &'static str)]) -> Converted {
    let names = || known.iter().map(|(name, _)| format!("{name}=")).collect::<Vec<_>>().join(", ");
    let text = typed.to_str().and_then(|text| text.split_once('='));
    let found = text.and_then(|(name, value)| Some((known.iter().find(|(known, _)| *known == name)?.1, value)));
    match found {
        Some((key, value)) => Ok(vec![(key, OsStr::new(value).as_bytes().to_vec())]),
        None => Err(format!("{} is no filter; there are {}", typed.display(), names())),
    }
}
