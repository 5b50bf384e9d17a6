//! The flags of `compose` and its commands, as docker spells them.

use crate::container_flags as container;
use crate::flag::{Flag, Takes};
use crate::value;

const FORMAT: Flag =
    Flag::one("format", "FORMAT", "table, json for an object a line, or a template as {{.Name}}").here();
const TIMEOUT: Flag = Flag::one("timeout", "SECONDS", "Kill containers after so long").short('t').here();
const NO_COLOR: Flag = Flag::switch("no-color", "Names without colours").here();
const NO_PREFIX: Flag = Flag::switch("no-log-prefix", "Lines without names").here();
const ORPHANS: Flag = Flag::switch("remove-orphans", "Containers too whose service the file no longer has").here();
const FILE: Flag =
    Flag::many("file", "FILE", "The file, compose.yaml where left out; each stands over the one before").here();

/// Which project: before the command, or behind it.
pub const PROJECT: &[Flag] = &[FILE.short('f'), NAME.short('p'), DIRECTORY, PROFILE, ENV_FILE];

/// The same for a command whose `-f` means something else.
pub const PROJECT_LONG: &[Flag] = &[FILE, NAME.short('p'), DIRECTORY, PROFILE, ENV_FILE];

const NAME: Flag = Flag::one("project-name", "NAME", "What the project is called").here();
const DIRECTORY: Flag = Flag::one("project-directory", "DIR", "What paths in the file are relative to").here();
const PROFILE: Flag = Flag::many("profile", "NAME", "Services of this profile too").here();
const ENV_FILE: Flag = Flag::many("env-file", "FILE", "Variables of this file in place of .env").here();

/// Flags of `up`.
pub const UP: &[Flag] = &[
    Flag::switch("detach", "Leave it in the background").short('d').here(),
    Flag::switch("wait", "Leave it when all run and are healthy").here(),
    Flag::one("wait-timeout", "SECONDS", "Give up waiting after so long").here(),
    Flag::many("scale", "SERVICE=NUMBER", "So many containers of a service").here(),
    Flag::switch("force-recreate", "Replace containers that did not change too").here(),
    Flag::switch("no-recreate", "Replace no container that is there").here(),
    Flag::switch("no-deps", "Not those that the named services wait for").here(),
    Flag::switch("no-start", "Make containers, and do not start them").here(),
    Flag::one("pull", "WHEN", "Pull images: always, missing or never").here(),
    Flag::switch("abort-on-container-exit", "Stop all when one of them has ended").here(),
    Flag::switch("abort-on-container-failure", "Stop all when one of them has failed").here(),
    Flag::one("exit-code-from", "SERVICE", "Stop all when one has ended, and give this one's exit status").here(),
    ORPHANS,
    TIMEOUT,
    NO_COLOR,
    NO_PREFIX,
    Flag::refused("build", Takes::Switch, "gantry builds no images"),
    Flag::refused("renew-anon-volumes", Takes::Switch, "volumes without a name go with their containers").short('V'),
];

/// Where the images of `up` come from.
pub const SOURCE: &[Flag] = container::SOURCE;

/// Flags of `down`.
pub const DOWN: &[Flag] = &[
    Flag::switch("volumes", "Volumes of the file too, with all that is in them").short('v').here(),
    ORPHANS,
    TIMEOUT,
    Flag::refused("rmi", Takes::One("KIND"), "remove images with gantry rmi"),
];

/// Flags of `restart` and `stop`.
pub const STOP: &[Flag] = &[TIMEOUT];

/// Flags of `kill`.
pub const KILL: &[Flag] = &[
    Flag::one("signal", "SIGNAL", "This in place of KILL").short('s'),
    Flag::refused("remove-orphans", Takes::Switch, "compose down and up remove them"),
];

/// Flags of `pull`.
pub const PULL: &[Flag] = &[
    Flag::switch("ignore-pull-failures", "Go on behind one that cannot be had").here(),
    Flag::switch("include-deps", "Those too that the named services wait for").here(),
    Flag::switch("quiet", "Say nothing of what goes well").short('q').here(),
    Flag::refused("ignore-buildable", Takes::Switch, "gantry builds no images"),
    Flag::refused("policy", Takes::One("WHEN"), "gantry compose up --pull missing fetches what is not there"),
];

/// Flags of `ps`.
pub const PS: &[Flag] = &[
    Flag::switch("all", "Those that do not run too").short('a').here(),
    Flag::switch("quiet", "Only the ids").short('q').here(),
    Flag::switch("services", "Only the services").here(),
    FORMAT,
];

/// Flags of `logs`.
pub const LOGS: &[Flag] = &[
    Flag::switch("follow", "Go on as more is written").short('f'),
    Flag::one("tail", "NUMBER", "Only so many lines from the end, of each").short('n').via(value::tail),
    Flag::one("since", "TIME", "Only from then on: RFC 3339, or a duration ago").via(value::moment),
    Flag::switch("timestamps", "The time before each line").short('t'),
    NO_COLOR,
    NO_PREFIX,
];

/// Flags of `exec`.
pub const EXEC: &[Flag] = &[
    Flag::many("env", "NAME[=VALUE]", "Set a variable; without a value, the client's own")
        .short('e')
        .via(crate::environment::variable),
    Flag::switch("interactive", "Keep standard input open; =false to leave it").short('i').here(),
    Flag::switch("tty", "Give it a terminal, as it has where the client has one").short('t').here(),
    Flag::switch("no-tty", "Give it no terminal").short('T').also(&["no-TTY"]).here(),
    Flag::one("index", "NUMBER", "Which container of the service").here(),
    Flag::one("user", "USER[:GROUP]", "Run as this user, by name or number").short('u'),
    Flag::one("workdir", "DIR", "Start in this directory").short('w'),
    Flag::refused("detach", Takes::Switch, "a process in a container is waited for").short('d'),
    Flag::refused("privileged", Takes::Switch, "a process has what its container has"),
];

/// Flags of `config`.
pub const CONFIG: &[Flag] = &[
    Flag::switch("quiet", "Only tell whether it is sound").short('q').here(),
    Flag::switch("services", "Only the services").here(),
    Flag::switch("images", "Only the images").here(),
    Flag::switch("volumes", "Only the volumes").here(),
    Flag::switch("networks", "Only the networks").here(),
    Flag::one("format", "FORMAT", "yaml or json").here(),
];
