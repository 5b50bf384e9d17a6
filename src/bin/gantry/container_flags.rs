//! The flags of commands that make a container or a process in one, as docker spells them.

use crate::environment;
use crate::flag::{Flag, Takes};
use crate::value;

/// All that `create` and `run` share, in the order of their help.
pub const ALL: &[&[Flag]] =
    &[CONTAINER, PROCESS, SOURCE, PULL, LIMITS, NETWORK, STORAGE, SECURITY, WATCHING, NOT_OFFERED];

/// What a process in a container may be given: for `create`, `run` and `exec`.
pub const PROCESS: &[Flag] = &[
    // Before --env, which outweighs it: the daemon lets the last of a name win.
    Flag::many("env-file", "FILE", "Set variables from a file, one NAME=VALUE a line")
        .key("env")
        .via(environment::file),
    Flag::many("env", "NAME[=VALUE]", "Set a variable; without a value, the client's own")
        .short('e')
        .via(environment::variable),
    Flag::switch("interactive", "Keep standard input open").short('i').key("stdin"),
    Flag::switch("tty", "Give it a terminal").short('t'),
    Flag::one("user", "USER[:GROUP]", "Run as this user, by name or number").short('u'),
    Flag::one("workdir", "DIR", "Start in this directory").short('w'),
];

/// What a container may be given: for `create` and `run`.
pub const CONTAINER: &[Flag] = &[
    Flag::one("name", "NAME[:TAG]", "Its name; else made from the image's"),
    Flag::one("hostname", "NAME", "Its host name").short('h'),
    Flag::one("entrypoint", "COMMAND", "In place of the image's; '' for none"),
    Flag::one("rootfs", "DIR", "Run this directory tree in place of an image").via(value::path),
    Flag::many("label-file", "FILE", "Attach labels from a file, one KEY=VALUE a line")
        .key("label")
        .via(environment::labels),
    Flag::many("label", "KEY=VALUE", "Attach a label").short('l'),
    Flag::switch("rm", "Remove it when it ends"),
    Flag::one("restart", "POLICY", "no, on-failure[:N], always or unless-stopped"),
    Flag::one("stop-signal", "SIGNAL", "What asks it to stop"),
    Flag::one("stop-timeout", "SECONDS", "How long it may take to stop before it is killed").via(value::duration),
    Flag::switch("init", "Put an init in front that reaps and passes signals on"),
];

/// Where its image comes from.
pub const SOURCE: &[Flag] = &[
    Flag::one("platform", "OS/ARCH", "Take the image for this platform"),
    Flag::switch("tls-verify", "Verify the registry's certificate; =false for one that speaks plain HTTP"),
    Flag::one("authfile", "FILE", "Log in to the registry with this file").via(value::path),
];

/// When its image is pulled.
pub const PULL: &[Flag] = &[
    Flag::one("pull", "WHEN", "Pull the image: missing, always or never"),
    Flag::switch("quiet", "Show no progress").short('q').here(),
];

/// What it may use.
pub const LIMITS: &[Flag] = &[
    Flag::one("memory", "SIZE", "Most memory it may use").short('m').via(value::size),
    Flag::one("memory-swap", "SIZE", "Most memory and swap together").via(value::size),
    Flag::one("cpus", "NUMBER", "Most processors it may use, as 1.5"),
    Flag::one("cpuset-cpus", "LIST", "The processors it may run on, as 0-2,4").key("cpuset"),
    Flag::one("pids-limit", "NUMBER", "Most processes it may have").key("pids"),
    Flag::many("ulimit", "NAME=SOFT[:HARD]", "Set a resource limit"),
    Flag::one("shm-size", "SIZE", "The size of /dev/shm").via(value::size),
];

/// What it is connected to.
pub const NETWORK: &[Flag] = &[
    Flag::many("publish", "[IP:][HOST:]PORT[/PROTO]", "Let the host answer for one of its ports").short('p'),
    Flag::many("network", "NAME", "A network, none, host or container:NAME").also(&["net"]),
    Flag::one("ip", "ADDRESS", "Its address"),
    Flag::one("network-alias", "NAME", "Another name it answers to").key("alias").also(&["net-alias"]),
    Flag::many("dns", "ADDRESS", "Ask this name server"),
    Flag::many("add-host", "NAME:ADDRESS", "Add a line to /etc/hosts"),
];

/// Which files of the host it sees.
pub const STORAGE: &[Flag] = &[
    Flag::many("volume", "SRC:DST[:OPTIONS]", "Mount a directory of the host or a named volume")
        .short('v')
        .via(value::volume),
    Flag::many("mount", "KEY=VALUE,…", "The same in words: type=bind|volume|tmpfs, source=, target=, readonly")
        .via(value::mount),
    Flag::many("tmpfs", "DST[:OPTIONS]", "Mount a file system in memory"),
    Flag::switch("read-only", "Mount its root file system read-only"),
    Flag::many("device", "PATH", "Let it use a device of the host"),
];

/// What it is allowed.
pub const SECURITY: &[Flag] = &[
    Flag::switch("privileged", "Lift every restriction"),
    Flag::many("cap-add", "NAME", "Give it a capability"),
    Flag::many("cap-drop", "NAME", "Take a capability from it"),
    Flag::many("security-opt", "OPTION", "no-new-privileges or seccomp=unconfined|FILE").via(value::security),
    Flag::one("userns", "MODE", "host, or auto for a range of user ids of its own"),
    Flag::many("sysctl", "KEY=VALUE", "Set a kernel parameter of its own"),
];

/// How its health is told, and what becomes of its log.
pub const WATCHING: &[Flag] = &[
    Flag::one("health-cmd", "COMMAND", "Run this to tell whether it is healthy"),
    Flag::switch("no-healthcheck", "Leave the image's check of health out").via(value::no_healthcheck),
    Flag::one("health-interval", "TIME", "Between two runs").via(value::duration),
    Flag::one("health-timeout", "TIME", "The longest that one run may take").via(value::duration),
    Flag::one("health-retries", "NUMBER", "So many failures in a row make it unhealthy"),
    Flag::one("health-start-period", "TIME", "Failures do not count for so long").via(value::duration),
    Flag::switch("health-restart", "Restart it when it is unhealthy"),
    Flag::many("log-opt", "KEY=VALUE", "max-size= and max-file= of its log").via(value::log_opt),
];

/// Flags of `run` alone.
pub const RUN: &[Flag] = &[
    Flag::switch("detach", "Run in the background and print the id").short('d').here(),
    Flag::switch("sig-proxy", "Pass signals on to it; =false to keep them").here(),
    DETACH_KEYS,
];

/// Flags of `attach`.
pub const ATTACH: &[Flag] = &[
    Flag::switch("no-stdin", "Leave its standard input alone").here(),
    Flag::switch("sig-proxy", "Pass signals on to it; =false to keep them").here(),
    DETACH_KEYS,
];

const DETACH_KEYS: Flag =
    Flag::one("detach-keys", "KEYS", "Leave it and its terminal with these, in place of ctrl-p,ctrl-q").here();

/// Flags of docker's that gantry does not have, refused with the reason and not merely as unknown.
pub const NOT_OFFERED: &[Flag] = &[
    Flag::refused("publish-all", Takes::Switch, "name each port with -p PORT").short('P'),
    Flag::refused("attach", Takes::Many("STREAM"), "run shows both streams, run -d none").short('a'),
    Flag::refused("cidfile", Takes::One("FILE"), "run -d and create print the id"),
    Flag::refused("expose", Takes::Many("PORT"), "containers of one network reach every port; publish others with -p"),
    Flag::refused("gpus", Takes::One("GPUS"), "give each device with --device"),
    Flag::refused("group-add", Takes::Many("GROUP"), "the groups are those that the image gives the user"),
    Flag::refused("ipc", Takes::One("MODE"), "each container has its own"),
    Flag::refused("link", Takes::Many("NAME"), "containers of one network find each other by name"),
    Flag::refused("log-driver", Takes::One("DRIVER"), "there is one log; see gantry logs"),
    Flag::refused("pid", Takes::One("MODE"), "each container has its own"),
    Flag::refused("uts", Takes::One("MODE"), "each container has its own"),
    Flag::refused("volumes-from", Takes::Many("NAME"), "name each volume with -v"),
    Flag::refused("volume-driver", Takes::One("DRIVER"), "volumes are directories of the host"),
    Flag::refused("annotation", Takes::Many("KEY=VALUE"), "use --label"),
    Flag::refused("blkio-weight", Takes::One("WEIGHT"), NO_LIMIT),
    Flag::refused("blkio-weight-device", Takes::Many("WEIGHT"), NO_LIMIT),
    Flag::refused(
        "cgroup-parent",
        Takes::One("CGROUP"),
        "each container has a control group of its own, below the daemon's",
    ),
    Flag::refused("cgroupns", Takes::One("MODE"), "each container has its own"),
    Flag::refused("cpu-period", Takes::One("TIME"), "use --cpus"),
    Flag::refused("cpu-quota", Takes::One("TIME"), "use --cpus"),
    Flag::refused("cpu-rt-period", Takes::One("TIME"), NO_LIMIT),
    Flag::refused("cpu-rt-runtime", Takes::One("TIME"), NO_LIMIT),
    Flag::refused("cpu-shares", Takes::One("SHARES"), "use --cpus").short('c'),
    Flag::refused("cpuset-mems", Takes::One("LIST"), NO_LIMIT),
    Flag::refused("device-cgroup-rule", Takes::Many("RULE"), "give each device with --device"),
    Flag::refused("device-read-bps", Takes::Many("LIMIT"), NO_LIMIT),
    Flag::refused("device-read-iops", Takes::Many("LIMIT"), NO_LIMIT),
    Flag::refused("device-write-bps", Takes::Many("LIMIT"), NO_LIMIT),
    Flag::refused("device-write-iops", Takes::Many("LIMIT"), NO_LIMIT),
    Flag::refused("disable-content-trust", Takes::Switch, "the host's policy.json says whose images are let in"),
    Flag::refused("dns-option", Takes::Many("OPTION"), "the daemon asks the name servers").also(&["dns-opt"]),
    Flag::refused("dns-search", Takes::Many("DOMAIN"), "write names out in full"),
    Flag::refused("domainname", Takes::One("NAME"), "write it into --hostname"),
    Flag::refused("health-start-interval", Takes::One("TIME"), "the interval is the same from the start"),
    Flag::refused("ip6", Takes::One("ADDRESS"), "an address that is asked for is one of IPv4"),
    Flag::refused("isolation", Takes::One("MODE"), "it is of other systems than Linux"),
    Flag::refused("link-local-ip", Takes::Many("ADDRESS"), "a container has one address on each network"),
    Flag::refused("mac-address", Takes::One("ADDRESS"), "the kernel chooses it"),
    Flag::refused("memory-reservation", Takes::One("SIZE"), "use --memory"),
    Flag::refused("memory-swappiness", Takes::One("PERCENT"), "use --memory-swap"),
    Flag::refused("oom-kill-disable", Takes::Switch, "what is over its memory is killed"),
    Flag::refused("oom-score-adj", Takes::One("NUMBER"), "give it --memory"),
    Flag::refused("runtime", Takes::One("RUNTIME"), "the runtime is crun"),
    Flag::refused("storage-opt", Takes::Many("OPTION"), "what containers write has no bound of its own"),
];

const NO_LIMIT: &str = "there is no such limit; see --cpus, --memory and --pids-limit";

/// Flags of `docker exec` that gantry does not have.
pub const EXEC_NOT_OFFERED: &[Flag] = &[
    Flag::refused("detach", Takes::Switch, "a process in a container is waited for; end the line with & in a shell")
        .short('d'),
    Flag::refused("privileged", Takes::Switch, "a process has what its container has"),
    DETACH_KEYS,
];
