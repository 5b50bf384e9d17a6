//! `create`: a container that is made and not started.

mod life;
mod limits;
mod names;
mod networks;
mod process;
mod security;
mod storage;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use self::limits::{memory, memory_and_swap, milli_cpus, pids};
pub use self::process::{command_words, variable};
use super::image::{PULL_AUTHFILE, PULL_PLATFORM, PULL_TLS_VERIFY, obtain, pull_options};
use super::streams::{STDIN, TTY};
use super::{Access, Action, Args, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::config::LogBounds;
use crate::container::limits::cpuset;
use crate::container::plan::{Source, Wishes};
use crate::container::volumes::VolumeSource;
use crate::engine::Engine;
use crate::id::{ImageRef, Name, Signal, VolumeName};
use crate::images::{PullOptions, PullPolicy};
use crate::supervisor::{Child, Create};
use crate::volumes::{Held, Volumes};
use crate::wire::args::absolute;
use crate::worker;

const OK: [&str; 2] = ["name", "id"];

/// The options of `create` and `run`.
pub const OPTIONS: [&Opt; 51] = [
    &Opt::once("name", "NAME[:TAG]", "its pair; without, the image's last component and tag"),
    &Opt::many("env", "NAME=VALUE", "a variable of its environment"),
    &Opt::once("workdir", "DIR", "its working directory"),
    &Opt::once("user", "USER[:GROUP]", "who it runs as, by name or number"),
    &Opt::once("hostname", "NAME", "its hostname; without, its short id"),
    &Opt::many("label", "NAME=VALUE", "a label"),
    &Opt::once("entrypoint", "WORDS", "in place of the image's entrypoint; empty for none"),
    &Opt::once("rootfs", "DIR", "a directory in place of an image, left unchanged"),
    &Opt::many("publish", "[IP:][HOST[-HOST]:]CTR[-CTR][/tcp|udp]", "a port the host answers for"),
    &Opt::once("memory", "SIZE", "memory limit"),
    &Opt::once("cpus", "N[.NNN]", "CPU limit, in CPUs"),
    &Opt::once("pids", "N", "limit of processes and threads; 0 for none; without, 2048"),
    &Opt::once("stop-signal", "SIGNAL", "what asks it to stop"),
    &Opt::once("stop-timeout", "DURATION", "how long a stop waits before it kills"),
    &Opt::once("rm", "yes|no", "remove it when it ends"),
    &Opt::once("pull", "missing|always|never", "when its image is fetched"),
    &PULL_TLS_VERIFY,
    &PULL_AUTHFILE,
    &PULL_PLATFORM,
    &Opt::many("network", "NAME|none|host|container:NAME", "its network"),
    &Opt::once("ip", "ADDRESS", "its address on the first of its networks"),
    &Opt::once("alias", "NAME", "another name on its networks"),
    &Opt::many("dns", "ADDRESS", "a name server"),
    &Opt::many("add-host", "NAME:ADDRESS", "a line of /etc/hosts"),
    &Opt::many("volume", "SRC:DST[:OPTIONS]", "a directory of the host or a named volume mounted"),
    &Opt::many("tmpfs", "DST[:size=SIZE,mode=MODE]", "a tmpfs mounted"),
    &Opt::once("read-only", "yes|no", "a root filesystem that cannot be written"),
    &Opt::once("memory-swap", "SIZE", "limit of memory and swap together"),
    &Opt::once("cpuset", "LIST", "the CPUs it may use"),
    &Opt::many("ulimit", "NAME=SOFT[:HARD]", "a resource limit"),
    &Opt::once("shm-size", "SIZE", "size of /dev/shm"),
    &Opt::many("cap-add", "NAME", "a capability more"),
    &Opt::many("cap-drop", "NAME", "a capability less"),
    &Opt::once("privileged", "yes|no", "everything root may"),
    &Opt::once("no-new-privileges", "yes|no", "setuid programs gain nothing"),
    &Opt::once("seccomp", "default|unconfined|FILE", "which system calls it may make"),
    &Opt::once("userns", "host|auto", "its user ids: the host's, or a range of its own"),
    &Opt::many("device", "PATH[:PATH[:rwm]]", "a device of the host"),
    &Opt::many("sysctl", "NAME=VALUE", "a sysctl of its own"),
    &Opt::once("init", "yes|no", "an init that reaps"),
    &Opt::once("log-max-size", "SIZE", "put its log aside at that size, and begin another; 0 for never"),
    &Opt::once("log-max-files", "N", "how many files of its log are kept; 5"),
    &Opt::once("restart", "no|on-failure[:N]|always|unless-stopped", "what happens at its end"),
    &Opt::once("health-cmd", "WORDS", "what tells whether it is healthy, run by a shell; none for no check"),
    &Opt::once("health-interval", "DURATION", "how often"),
    &Opt::once("health-timeout", "DURATION", "how long that may take"),
    &Opt::once("health-retries", "N", "how many failures make it unhealthy"),
    &Opt::once("health-start-period", "DURATION", "how long failures do not count"),
    &Opt::once("health-restart", "yes|no", "restart it when it is unhealthy"),
    &TTY,
    &STDIN,
];

/// `create IMAGE [options] [-- argv…]` → `OK name= id=`
pub const VERB: Verb = Verb {
    form: Form { name: "create", required: &[], optional: &["IMAGE"], options: &OPTIONS, argv: Argv::Maybe },
    about: "make a container",
    access: Access::Change,
    reply_keys: &[&super::image::PROGRESS, &super::image::BLOB_PROGRESS, &OK],
    action: Action::Run(|mut args, call| {
        let request = Request::read(&mut args)?;
        Ok(Box::pin(async move {
            let ready = request.obtain(&call).await?;
            let engine = call.engine.clone();
            let child = call.finish(async move { ready.make(&engine).await }).await?.child;
            let view = child.view.borrow().clone();
            Ok(Line::ok(&OK, &[&view.name, &view.id]))
        }))
    }),
};

/// Where the root filesystem is to come from.
enum Origin {
    Image { reference: ImageRef, policy: PullPolicy, options: PullOptions },
    Directory(PathBuf),
}

/// A request for a container, read.
pub struct Request {
    name: Name,
    origin: Origin,
    wishes: Wishes,
}

impl Request {
    /// Reads the arguments that `create` and `run` share.
    pub fn read(args: &mut Args) -> Result<Self, Refusal> {
        let origin = origin(args)?;
        let name = match (args.value("name", str::parse)?, &origin) {
            (Some(name), _) => name,
            (None, Origin::Image { reference, .. }) => reference.container_name()?,
            (None, Origin::Directory(dir)) => directory_name(dir)?,
        };
        let wishes = wishes(args)?;
        networks::check(&wishes)?;
        Ok(Self { name, origin, wishes })
    }

    /// What was asked for.
    pub fn wishes(&mut self) -> &mut Wishes {
        &mut self.wishes
    }

    /// Finds what it is made from, pulling an image where that is needed. Whoever leaves meanwhile gives it up.
    pub async fn obtain(self, call: &Call) -> Result<Ready, Refusal> {
        let Self { name, origin, wishes } = self;
        let source = match origin {
            Origin::Image { reference, policy, options } => {
                Source::Image(obtain(call, reference, policy, options).await?)
            }
            Origin::Directory(dir) => Source::Directory(existing(dir).await?),
        };
        Ok(Ready { name, source, wishes })
    }
}

/// A request whose image is here.
pub struct Ready {
    name: Name,
    source: Source,
    wishes: Wishes,
}

impl Ready {
    /// Makes the container, and the volumes that are not there yet.
    pub async fn make(self, engine: &Engine) -> Result<Made, Refusal> {
        let Self { name, source, mut wishes } = self;
        let takes_input = wishes.takes_input();
        networks::find(&mut wishes, engine).await?;
        let mut fresh = FreshVolumes { volumes: engine.volumes.clone(), made: Vec::new() };
        let made = match fresh.claim(&wishes, &name).await {
            Ok(volumes) => {
                let create = Create { name, source, wishes, volumes };
                let sent = engine.supervisor.send(create).await;
                sent.unwrap_or_else(|e| Err(Refusal::unanswered("the supervisor", e)))
            }
            Err(refusal) => Err(refusal),
        };
        match made {
            Ok(child) => Ok(Made { child, fresh, takes_input }),
            Err(refusal) => {
                fresh.remove().await;
                Err(refusal)
            }
        }
    }
}

/// A container that was made, and what was made for it that outlives it.
pub struct Made {
    /// The container.
    pub child: Child,
    /// The named volumes that were not there before.
    pub fresh: FreshVolumes,
    /// It has a standard input.
    pub takes_input: bool,
}

/// Volumes that came with a container: a request that fails in the end leaves none of them behind.
pub struct FreshVolumes {
    volumes: Volumes,
    made: Vec<VolumeName>,
}

impl FreshVolumes {
    async fn claim(&mut self, wishes: &Wishes, by: &Name) -> Result<Vec<Held>, Refusal> {
        let mut all = Vec::new();
        for wish in &wishes.storage.volumes {
            let VolumeSource::Named(name) = &wish.source else { continue };
            let (held, made) = self.volumes.claim(name, by).await?;
            all.push(held);
            self.made.extend(made.then(|| name.clone()));
        }
        Ok(all)
    }

    /// Takes them away again, but for one that somebody else uses by now.
    pub async fn remove(self) {
        for name in &self.made {
            if let Err(refusal) = self.volumes.remove(name).await {
                log::debug!("{refusal}");
            }
        }
    }
}

async fn existing(dir: PathBuf) -> Result<PathBuf, Refusal> {
    worker::beside(move || match dir.is_dir() {
        true => Ok(dir),
        false => Err(Refusal::not_found(format_args!("rootfs={}: no such directory", dir.display()))),
    })
    .await
}

fn origin(args: &mut Args) -> Result<Origin, Refusal> {
    let (policy, options) = (args.value("pull", policy)?, pull_options(args)?);
    match (args.positional(), args.value("rootfs", absolute)?) {
        (Some(image), None) => {
            Ok(Origin::Image { reference: image.parse()?, policy: policy.unwrap_or(PullPolicy::Missing), options })
        }
        (None, Some(dir)) => Ok(Origin::Directory(dir)),
        (Some(_), Some(_)) => Err(Refusal::bad_request("give an image or rootfs=, not both")),
        (None, None) => Err(Refusal::bad_request("an image is missing (or rootfs=DIR)")),
    }
}

fn policy(text: &str) -> Result<PullPolicy, Refusal> {
    match text {
        "missing" => Ok(PullPolicy::Missing),
        "always" => Ok(PullPolicy::Always),
        "never" => Ok(PullPolicy::Never),
        other => Err(Refusal::bad_value(format_args!("{other:?} is none of missing, always, never"))),
    }
}

fn directory_name(dir: &std::path::Path) -> Result<Name, Refusal> {
    let last = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    last.parse().map_err(|refusal: Refusal| refusal.within("the directory gives no name; say name="))
}

fn wishes(args: &mut Args) -> Result<Wishes, Refusal> {
    let memory = args.value("memory", limits::memory)?;
    let (remove_at_end, health) = (args.flag("rm")?, life::health(args)?);
    Ok(Wishes {
        argv: process::argv(args)?,
        entrypoint: args.value("entrypoint", process::entrypoint)?,
        env: process::env(args)?,
        workdir: args.value("workdir", |dir| absolute(dir).map(|_| dir.to_owned()))?,
        user: args.text("user")?,
        hostname: args.value("hostname", process::hostname)?,
        labels: args.values("label", process::label)?.into_iter().collect::<BTreeMap<_, _>>(),
        publish: args.values("publish", str::parse)?,
        networking: networks::networking(args)?,
        dns: args.values("dns", names::server)?,
        hosts: args.values("add-host", names::host)?,
        memory,
        memory_swap: limits::memory_swap(args, memory)?,
        milli_cpus: args.value("cpus", limits::milli_cpus)?,
        cpuset: args.value("cpuset", cpuset)?,
        pids: args.value("pids", limits::pids)?,
        ulimits: args.values("ulimit", str::parse)?,
        security: security::security(args)?,
        storage: storage::storage(args)?,
        devices: args.values("device", str::parse)?,
        init: args.flag("init")?,
        tty: args.flag("tty")?,
        stdin: args.flag_or_unsaid("stdin")?,
        size: None,
        stop_signal: args.value("stop-signal", str::parse::<Signal>)?,
        stop_timeout: args.duration("stop-timeout")?,
        log_max_size: args.value("log-max-size", LogBounds::size)?,
        log_max_files: args.value("log-max-files", LogBounds::files)?,
        remove_at_end,
        restart: life::restart(args, remove_at_end, &health)?,
        health,
    })
}
