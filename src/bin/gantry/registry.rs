//! The list of commands: the only place that says which there are. Parser, help and dispatch derive from it.

use crate::command::Operands::{self, Any, Each, Exactly, Program};
use crate::command::{Call, Entry, Outcome};
use crate::commands::{
    attach, check, completion, copy, each, events, exec, image, images, inspect, logs, manual, once, ps, raw, rows,
    run, stats, top, version,
};
use crate::compose;
use crate::container_flags as container;
use crate::failure::NOT_THE_CONTAINERS;
use crate::flag::Flag;
use crate::listing_flags as flags;
use crate::shell;

/// Words that group commands, what they are about, and flags that stand between them and the command.
pub const GROUPS: &[(&str, &str, &[Flag])] = &[
    ("image", "Manage images", &[]),
    ("network", "Manage networks", &[]),
    ("volume", "Manage volumes", &[]),
    ("compose", "Run the containers of a compose file", compose::flags::PROJECT),
];

const NAME: Operands = Each("NAME");
const ONE_NAME: Operands = Exactly(&["NAME"]);
const NONE: Operands = Exactly(&[]);
const SERVICES: Operands = Any("SERVICE");
const PROJECT: &[&[Flag]] = &[compose::flags::PROJECT];

type Act = fn(&mut Call<'_>) -> Outcome;

/// A command of the same name as its verb, without flags.
const fn entry(name: &'static str, operands: Operands, act: Act, about: &'static str) -> Entry {
    Entry { name, also: &[], verb: name, operands, own: &[], shared: &[], failed: 1, act, about }
}

impl Entry {
    const fn verb(self, verb: &'static str) -> Self {
        Self { verb, ..self }
    }

    const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }

    const fn flags(self, own: &'static [Flag]) -> Self {
        Self { own, ..self }
    }

    const fn shares(self, shared: &'static [&'static [Flag]]) -> Self {
        Self { shared, ..self }
    }

    /// One that gives back a container's exit status: its own failures have a status apart.
    const fn gives_status(self) -> Self {
        Self { failed: NOT_THE_CONTAINERS, ..self }
    }
}

/// Every command, in the order of help.
pub const ENTRIES: &[Entry] = &[
    entry("run", Program("IMAGE [COMMAND [ARG…]]"), run::run, "Create and start a container")
        .flags(container::RUN)
        .shares(container::ALL)
        .gives_status(),
    entry("create", Program("IMAGE [COMMAND [ARG…]]"), run::create, "Create a container")
        .shares(container::ALL)
        .gives_status(),
    entry("exec", Program("NAME COMMAND [ARG…]"), exec::exec, "Run a command in a running container")
        .flags(container::EXEC_NOT_OFFERED)
        .shares(&[container::PROCESS])
        .gives_status(),
    entry("attach", ONE_NAME, attach::attach, "Be at the standard streams of a running container")
        .flags(container::ATTACH)
        .gives_status(),
    entry("start", NAME, each::names, "Start containers").flags(flags::START),
    entry("stop", NAME, each::names, "Stop containers").flags(flags::STOP),
    entry("restart", NAME, each::names, "Stop containers and start them again").flags(flags::STOP),
    entry("kill", NAME, each::names, "Send a signal to containers").flags(flags::KILL),
    entry("pause", NAME, each::names, "Freeze containers"),
    entry("unpause", NAME, each::names, "Let frozen containers go on").verb("resume").also(&["resume"]),
    entry("wait", NAME, each::exits, "Wait until containers end, and print their exit statuses"),
    entry("rm", NAME, each::names, "Remove containers").flags(flags::RM),
    entry("update", NAME, each::names, "Change the limits of running containers").flags(flags::UPDATE),
    entry("ps", NONE, ps::ps, "List containers").flags(flags::PS),
    entry("logs", ONE_NAME, logs::logs, "Show what a container has written").flags(flags::LOGS),
    entry("inspect", NAME, inspect::inspect, "Show all there is to know of containers or images").flags(flags::INSPECT),
    entry("stats", Any("NAME"), stats::stats, "Show what containers use").flags(flags::STATS),
    entry("top", Any("NAME"), top::top, "List the processes of a container; alone, show all containers live")
        .flags(flags::LISTING),
    entry("diff", ONE_NAME, rows::rows, "List what a container changed in its files").flags(flags::LISTING),
    entry("cp", Exactly(&["SRC", "DST"]), copy::copy, "Copy between the host and a container, as NAME:PATH")
        .flags(flags::COPY),
    entry("commit", Exactly(&["NAME", "REF"]), once::forward, "Make an image of a container").flags(flags::COMMIT),
    entry("pull", Exactly(&["REF"]), image::pull, "Pull an image from its registry")
        .verb("image pull")
        .flags(flags::PULL)
        .shares(&[container::SOURCE]),
    entry("images", Any("REF"), images::images, "List images").verb("image ls").flags(flags::IMAGES),
    entry("rmi", Each("REF"), each::names, "Remove images").verb("image rm").flags(flags::RMI),
    entry("tag", Exactly(&["REF", "NEW"]), once::quiet, "Give an image another name").verb("image tag"),
    entry("import", Exactly(&["PATH", "REF"]), image::import, "Make an image of a directory or tar archive")
        .verb("image import")
        .flags(flags::IMPORT),
    entry("load", NONE, image::load, "Take in images from an archive").verb("image load").flags(flags::LOAD),
    entry("save", Exactly(&["REF"]), image::save, "Write an image to an archive").verb("image save").flags(flags::SAVE),
    entry("image ls", Any("REF"), images::images, "List images").also(&["list"]).flags(flags::IMAGES),
    entry("image pull", Exactly(&["REF"]), image::pull, "Pull an image")
        .flags(flags::PULL)
        .shares(&[container::SOURCE]),
    entry("image rm", Each("REF"), each::names, "Remove images").flags(flags::RMI),
    entry("image inspect", Each("REF"), inspect::inspect, "Show all there is to know of images")
        .flags(flags::INSPECT_ONE),
    entry("image tag", Exactly(&["REF", "NEW"]), once::quiet, "Give an image another name"),
    entry("image import", Exactly(&["PATH", "REF"]), image::import, "Make an image of a directory or tar archive")
        .flags(flags::IMPORT),
    entry("image load", NONE, image::load, "Take in images from an archive").flags(flags::LOAD),
    entry("image save", Exactly(&["REF"]), image::save, "Write an image to an archive").flags(flags::SAVE),
    entry("image prune", NONE, once::forward, "Remove images that nothing uses").flags(flags::IMAGE_PRUNE),
    entry("image verify", Any("REF"), check::check, "Check images against their digests").flags(flags::LISTING),
    entry("network ls", NONE, rows::rows, "List networks").also(&["list"]).flags(flags::NETWORKS),
    entry("network create", ONE_NAME, once::named, "Create a network").flags(flags::NETWORK_CREATE),
    entry("network inspect", NAME, inspect::inspect, "Show all there is to know of networks").flags(flags::INSPECT_ONE),
    entry("network rm", NAME, each::names, "Remove networks"),
    entry("network connect", Exactly(&["NETWORK", "NAME"]), once::quiet, "Connect a container to a network"),
    entry("network disconnect", Exactly(&["NETWORK", "NAME"]), once::quiet, "Take a container off a network"),
    entry("volume ls", NONE, rows::rows, "List volumes").also(&["list"]).flags(flags::VOLUMES),
    entry("volume create", ONE_NAME, once::named, "Create a volume"),
    entry("volume inspect", NAME, inspect::inspect, "Show all there is to know of volumes").flags(flags::INSPECT_ONE),
    entry("volume rm", NAME, each::names, "Remove volumes"),
    entry("volume prune", NONE, once::forward, "Remove volumes that no container uses").flags(flags::PRUNE),
    entry(
        "compose up",
        SERVICES,
        compose::up::up,
        "Bring a project up, and stay with it; -d to leave it in the background",
    )
    .flags(compose::flags::UP)
    .shares(&[compose::flags::SOURCE, compose::flags::PROJECT]),
    entry("compose down", NONE, compose::down::down, "Stop and remove what is there of a project")
        .flags(compose::flags::DOWN)
        .shares(PROJECT),
    entry("compose ps", SERVICES, compose::ps::list, "List a project's containers")
        .flags(compose::flags::PS)
        .shares(PROJECT),
    entry("compose logs", SERVICES, compose::logs::logs, "Show what a project's containers have written")
        .flags(compose::flags::LOGS)
        .shares(&[compose::flags::PROJECT_LONG]),
    entry(
        "compose exec",
        Program("SERVICE COMMAND [ARG…]"),
        compose::exec::exec,
        "Run a command in a container of a service",
    )
    .flags(compose::flags::EXEC)
    .shares(PROJECT)
    .gives_status(),
    entry("compose restart", SERVICES, compose::again::restart, "Stop a project's containers and start them again")
        .flags(compose::flags::STOP)
        .shares(PROJECT),
    entry("compose stop", SERVICES, compose::again::stop, "Stop a project's containers, and keep them")
        .flags(compose::flags::STOP)
        .shares(PROJECT),
    entry("compose start", SERVICES, compose::again::start, "Start a project's containers that were stopped")
        .shares(PROJECT),
    entry("compose kill", SERVICES, compose::again::kill, "Send a signal to a project's containers")
        .flags(compose::flags::KILL)
        .shares(PROJECT),
    entry("compose pull", SERVICES, compose::pull::pull, "Pull the images of a project's services")
        .flags(compose::flags::PULL)
        .shares(&[compose::flags::SOURCE, compose::flags::PROJECT]),
    entry("compose config", NONE, compose::config::config, "Print the compose file as it is understood")
        .flags(compose::flags::CONFIG)
        .shares(PROJECT),
    entry("events", NONE, events::events, "Show what happens, as it happens").flags(flags::EVENTS),
    entry("info", NONE, rows::record, "Show what the daemon is and has").flags(flags::LISTING),
    entry("df", NONE, rows::rows, "Show what takes up the disk").flags(flags::LISTING),
    entry("check", NONE, check::check, "Tell whether this host is fit").flags(flags::LISTING),
    entry("version", NONE, version::version, "Show the versions of client and daemon"),
    entry("ping", NONE, once::text, "Ask whether the daemon is there"),
    entry("metrics", NONE, once::text, "Show the daemon's metrics in Prometheus' format"),
    entry("shutdown", NONE, once::quiet, "Stop every container, then end the daemon").flags(flags::SHUTDOWN),
    entry("raw", Program("WORD…"), raw::raw, "Send one line of the protocol and show the reply"),
    entry("shell", NONE, shell::shell, "Type lines of the protocol, with a history and completion"),
    entry("completion", Exactly(&["SHELL"]), completion::completion, "Print what bash, zsh or fish needs to complete"),
    entry("manual", NONE, manual::manual, "Print the manual page, for 'man -l -'"),
];
