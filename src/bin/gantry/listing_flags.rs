//! The flags of commands that look, stop and move things, as docker spells them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::environment;
use crate::flag::{Flag, Takes};
use crate::value::{self, Converted};

const FORMAT: Flag =
    Flag::one("format", "FORMAT", "table, json for an object a line, or a template as {{.Name}}").here();
const QUIET: Flag = Flag::switch("quiet", "Only the names").short('q').here();
const NO_TRUNC: Flag = Flag::switch("no-trunc", "Shorten nothing").here();

/// For a listing with nothing else.
pub const LISTING: &[Flag] = &[FORMAT];

/// Flags of `ps`.
pub const PS: &[Flag] = &[
    Flag::switch("all", "Those that do not run too").short('a').here(),
    Flag::many("filter", "KEY=VALUE", "Only those with this name=, id=, status=, label=, ancestor=, exited=, health=")
        .short('f')
        .via(ps_filter),
    Flag::one("last", "NUMBER", "Only so many, the youngest, running or not").short('n').here(),
    Flag::switch("latest", "Only the youngest, running or not").short('l').here(),
    Flag::switch("quiet", "Only the ids").short('q').here(),
    NO_TRUNC,
    FORMAT,
    Flag::refused("size", Takes::Switch, "gantry df tells what takes up the disk").short('s'),
];

/// Flags of `images`.
pub const IMAGES: &[Flag] = &[
    QUIET,
    NO_TRUNC,
    Flag::switch("digests", "Digests in full").here(),
    Flag::switch("all", "Every image is shown in any case").short('a').here(),
    Flag::many("filter", "KEY=VALUE", "Only those with this reference=, in which * is anything").short('f').here(),
    FORMAT,
];

/// Flags of `inspect`.
pub const INSPECT: &[Flag] = &[
    Flag::one("format", "TEMPLATE", "Only fields, by their path: {{.network.ip}}").short('f').here(),
    Flag::refused("size", Takes::Switch, "gantry df tells what takes up the disk").short('s'),
    Flag::refused("type", Takes::One("KIND"), "use gantry image inspect and the like"),
];

/// Flags of `inspect` of one kind of thing.
pub const INSPECT_ONE: &[Flag] =
    &[Flag::one("format", "TEMPLATE", "Only fields, by their path: {{.subnet}}").short('f').here()];

/// Flags of `network ls`.
pub const NETWORKS: &[Flag] = &[
    QUIET,
    NO_TRUNC,
    Flag::many("filter", "KEY=VALUE", "Only those with this name=, driver= or internal=").short('f').here(),
    FORMAT,
];

/// Flags of `volume ls`.
pub const VOLUMES: &[Flag] = &[
    QUIET,
    Flag::many("filter", "KEY=VALUE", "Only those with this name=, driver= or dangling=").short('f').here(),
    FORMAT,
];

/// Flags of `volume prune`, and of others that never ask whether one is sure.
pub const PRUNE: &[Flag] = &[FORCE, Flag::refused("filter", Takes::Many("KEY=VALUE"), "all that is unused goes")];

const FORCE: Flag = Flag::switch("force", "It never asks in any case").short('f').here();

/// Flags of `stats`.
pub const STATS: &[Flag] = &[
    Flag::switch("all", "Those that do not run are shown in any case").short('a').here(),
    Flag::switch("no-stream", "Once, not every second").here(),
    NO_TRUNC,
    FORMAT,
];

/// Flags of `events`.
pub const EVENTS: &[Flag] = &[
    Flag::one("since", "TIME", "Those from then on too").via(value::moment),
    Flag::refused("until", Takes::One("TIME"), "they go on until interrupted"),
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
pub const STOP: &[Flag] = &[
    Flag::one("timeout", "SECONDS", "Kill it after so long").short('t').also(&["time"]).via(value::duration),
    Flag::refused("signal", Takes::One("SIGNAL"), "it is the container's --stop-signal; gantry kill sends any other")
        .short('s'),
];

/// Flags of `kill`.
pub const KILL: &[Flag] = &[Flag::one("signal", "SIGNAL", "This in place of KILL").short('s')];

/// Flags of `rm`.
pub const RM: &[Flag] = &[
    Flag::switch("force", "Kill it first where it runs").short('f'),
    Flag::switch("volumes", "Volumes without a name go with it in any case").short('v').here(),
    Flag::refused("link", Takes::Switch, "containers of one network find each other by name").short('l'),
];

/// Flags of `start`.
pub const START: &[Flag] = &[
    Flag::refused("attach", Takes::Switch, "use gantry attach, or gantry logs -f").short('a'),
    Flag::refused("interactive", Takes::Switch, "use gantry attach").short('i'),
    Flag::refused("detach-keys", Takes::One("KEYS"), "they are of gantry attach"),
];

/// Flags of `rmi`.
pub const RMI: &[Flag] = &[
    Flag::refused("force", Takes::Switch, "remove the containers first, with gantry rm -f").short('f'),
    Flag::refused("no-prune", Takes::Switch, "an image goes with its last name"),
    Flag::refused("platform", Takes::One("OS/ARCH"), "an image is of one platform"),
];

/// Flags of `pull` alone.
pub const PULL: &[Flag] = &[
    Flag::switch("quiet", "Only the image's name").short('q').here(),
    Flag::refused("all-tags", Takes::Switch, "pull each by its tag").short('a'),
    Flag::refused("disable-content-trust", Takes::Switch, "the host's policy.json says whose images are let in"),
];

/// Flags of `import`.
pub const IMPORT: &[Flag] = &[
    Flag::one("cmd", "WORDS", "What it runs, as one string of words"),
    Flag::one("entrypoint", "COMMAND", "What stands before that"),
    Flag::many("env", "NAME[=VALUE]", "Set a variable").short('e').via(environment::variable),
    Flag::one("workdir", "DIR", "Where it starts").short('w'),
    Flag::one("user", "USER[:GROUP]", "As whom it runs").short('u'),
    Flag::refused("change", Takes::Many("INSTRUCTION"), "use --cmd, --entrypoint, --env, --workdir, --user").short('c'),
    Flag::refused("message", Takes::One("TEXT"), "an image has no message").short('m'),
    Flag::refused("platform", Takes::One("OS/ARCH"), "it is this host's"),
];

/// Flags of `load`.
pub const LOAD: &[Flag] = &[
    Flag::one("input", "PATH", "The archive or oci:DIR to read").short('i').here(),
    Flag::switch("quiet", "Show no progress").short('q').here(),
    Flag::refused("platform", Takes::One("OS/ARCH"), "every image of the archive is taken in"),
];

/// Flags of `commit`.
pub const COMMIT: &[Flag] = &[
    Flag::refused("author", Takes::One("TEXT"), "an image has no author").short('a'),
    Flag::refused("change", Takes::Many("INSTRUCTION"), "it is run as the container was").short('c'),
    Flag::refused("message", Takes::One("TEXT"), "an image has no message").short('m'),
    Flag::refused("pause", Takes::Switch, "the container stands still in any case").short('p'),
];

/// Flags of `cp`.
pub const COPY: &[Flag] = &[
    Flag::refused("archive", Takes::Switch, "what is copied is root's").short('a'),
    Flag::refused("follow-link", Takes::Switch, "a link is copied as one").short('L'),
    Flag::switch("quiet", "It shows no progress in any case").short('q').here(),
];

/// Flags of `save`.
pub const SAVE: &[Flag] = &[Flag::one("output", "FILE", "Where the archive goes").short('o').here()];

/// Flags of `image prune`.
pub const IMAGE_PRUNE: &[Flag] = &[
    FORCE,
    Flag::refused("filter", Takes::Many("KEY=VALUE"), "use --unused"),
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
    Flag::refused("restart", Takes::One("POLICY"), "it is said when the container is made"),
    Flag::refused("blkio-weight", Takes::One("WEIGHT"), NO_LIMIT),
    Flag::refused("cpu-period", Takes::One("TIME"), "use --cpus"),
    Flag::refused("cpu-quota", Takes::One("TIME"), "use --cpus"),
    Flag::refused("cpu-rt-period", Takes::One("TIME"), NO_LIMIT),
    Flag::refused("cpu-rt-runtime", Takes::One("TIME"), NO_LIMIT),
    Flag::refused("cpu-shares", Takes::One("SHARES"), "use --cpus").short('c'),
    Flag::refused("cpuset-cpus", Takes::One("LIST"), "it is said when the container is made"),
    Flag::refused("cpuset-mems", Takes::One("LIST"), NO_LIMIT),
    Flag::refused("memory-reservation", Takes::One("SIZE"), "use --memory"),
];

const NO_LIMIT: &str = "there is no such limit; see --cpus, --memory and --pids-limit";

/// Labels are the daemon's to find; the rest the client picks out of the rows.
fn ps_filter(_: &'static str, typed: &OsStr) -> Converted {
    match typed.as_bytes().strip_prefix(b"label=") {
        Some(label) => Ok(vec![("label", label.to_vec())]),
        None => Ok(Vec::new()),
    }
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
