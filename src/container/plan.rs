//! What a container is to be: a client's request, and the plan that comes of it together with its image.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::devices::{self, Device, DeviceWish};
use super::environment;
use super::health::check::{self, Check};
use super::limits::Ulimit;
use super::raw::Raw;
use super::restart::{Pace, Policy, Restarts};
use super::seccomp::{Filter, Profiles};
use super::security::{Capabilities, Security};
use super::state::Rules;
use super::storage::Storage;
use super::user::{self, User};
use super::userns;
use super::volumes::{self, Bind};
use crate::config::LogBounds;
use crate::id::{ContainerId, Name, NetworkMode, Networking, Publish, Signal};
use crate::images::Image;
use crate::oom;
use crate::refusal::Refusal;
use crate::tools::init;
use crate::tools::terminal::Size;
use crate::volumes::Held;

/// The longest stop timeout that an image can ask for, in seconds: a day.
const STOP_TIMEOUT_MAX: u64 = 24 * 3600;
/// What a container's root filesystem comes from.
#[derive(Clone)]
pub enum Source {
    /// An image, kept while the container is there.
    Image(Arc<Image>),
    /// A directory of the host, left unchanged.
    Directory(PathBuf),
}

impl Source {
    /// The directory that becomes the lower layer.
    pub fn lower_dir(&self) -> &Path {
        match self {
            Self::Image(image) => &image.rootfs,
            Self::Directory(dir) => dir,
        }
    }

    /// The image's full name, as the wire shows it; a directory has none, and its path is not for everyone.
    pub fn image_name(&self) -> String {
        match self {
            Self::Image(image) => image.name.to_string(),
            Self::Directory(_) => String::new(),
        }
    }
}

/// What a container keeps others from removing.
pub struct Kept {
    /// What its root filesystem comes from.
    pub source: Source,
    /// Its named volumes.
    pub volumes: Vec<Held>,
}

/// What a client asks for, checked as far as it can be without its image.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The words behind `--`, in place of the image's Cmd. Bytes that are no text are escaped here, in the entrypoint and
    /// in the environment ([`super::raw::escape`]).
    pub argv: Option<Vec<String>>,
    /// In place of the image's Entrypoint; empty for none.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=VALUE`, over the image's.
    pub env: Vec<String>,
    /// In place of the image's WorkingDir.
    pub workdir: Option<String>,
    /// In place of the image's User.
    pub user: Option<String>,
    /// In place of the short id.
    pub hostname: Option<String>,
    /// Labels, over the image's.
    pub labels: BTreeMap<String, String>,
    /// Ports to publish.
    pub publish: Vec<Publish>,
    /// How it is connected.
    pub networking: Networking,
    /// Name servers, in place of the host's.
    pub dns: Vec<IpAddr>,
    /// Lines of `/etc/hosts`; without an address, the host's own on the network.
    pub hosts: Vec<(String, Option<IpAddr>)>,
    /// Memory limit in bytes.
    pub memory: Option<u64>,
    /// Limit of memory and swap together in bytes, -1 for none.
    pub memory_swap: Option<i64>,
    /// CPU limit in thousandths of a CPU.
    pub milli_cpus: Option<u32>,
    /// The CPUs it may use.
    pub cpuset: Option<String>,
    /// Limit of processes and threads; 0 for none.
    pub pids: Option<u32>,
    /// Resource limits of its processes.
    pub ulimits: Vec<Ulimit>,
    /// What it may do.
    pub security: Security,
    /// What it sees beside its root filesystem.
    pub storage: Storage,
    /// Devices of the host.
    pub devices: Vec<DeviceWish>,
    /// An init before its own program.
    pub init: bool,
    /// Its standard streams are a terminal.
    pub tty: bool,
    /// It has a standard input, where that was said.
    pub stdin: Option<bool>,
    /// The first size of its terminal.
    pub size: Option<Size>,
    /// In place of the image's StopSignal.
    pub stop_signal: Option<Signal>,
    /// How long a stop waits.
    pub stop_timeout: Option<Duration>,
    /// How long its log may become before it is put aside, in bytes; 0 for as long as it likes.
    pub log_max_size: Option<u64>,
    /// How many files of its log are kept.
    pub log_max_files: Option<u32>,
    /// Remove it when it ends.
    pub remove_at_end: bool,
    /// What happens when it ends by itself.
    pub restart: Policy,
    /// What tells whether it is healthy.
    pub health: check::Wishes,
}

impl Wishes {
    /// Whether it has a standard input: a terminal is typed at, unless that is not wanted.
    pub fn takes_input(&self) -> bool {
        self.stdin.unwrap_or(self.tty)
    }
}

/// Where a container's things lie, and what else its daemon settles for it.
#[derive(Clone, Debug)]
pub struct Places {
    /// Upper, work and mount directory of the overlay, and the log; removed with the container.
    pub data: PathBuf,
    /// The bundle: runtime spec, generated `/etc` files, conmon's sockets; in the run directory.
    pub bundle: PathBuf,
    /// The lowest layer of the overlay, which all containers share.
    pub mount_points: PathBuf,
    /// Where named volumes are kept.
    pub volumes: PathBuf,
    /// The cgroup, from a hierarchy's root.
    pub cgroup: String,
    /// The host's controllers are in hierarchies of v1.
    pub cgroup_v1: bool,
    /// How long a stop waits where neither request nor image says.
    pub stop_timeout: Duration,
    /// The bounds of its log where the request does not say.
    pub log_bounds: LogBounds,
}

impl Places {
    /// The overlay's upper directory: what the container wrote.
    pub fn upper(&self) -> PathBuf {
        self.data.join("upper")
    }

    /// The overlay's work directory.
    pub fn work(&self) -> PathBuf {
        self.data.join("work")
    }

    /// Where the overlay is mounted.
    pub fn rootfs(&self) -> PathBuf {
        self.data.join("rootfs")
    }

    /// The files that are made for its `/etc`.
    pub fn etc(&self) -> PathBuf {
        self.data.join("etc")
    }

    /// The nodes of devices that it cannot make itself.
    pub fn devices(&self) -> PathBuf {
        self.data.join("devices")
    }

    /// What the container wrote to its standard output and error, as conmon keeps it.
    pub fn log(&self) -> PathBuf {
        self.data.join("log")
    }
}

/// A container as it will be run, each time it is started. Complete: nothing is looked up later.
#[derive(Clone)]
pub struct Plan {
    /// Its name/tag pair.
    pub name: Name,
    /// Its id.
    pub id: ContainerId,
    /// The full name of its image; empty for a directory.
    pub image: String,
    /// The lower directory of its root filesystem; there while the source is held.
    pub lower_dir: PathBuf,
    /// Where its things lie.
    pub places: Places,
    /// When it was made.
    pub created: SystemTime,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Its environment, each key once.
    pub env: Vec<String>,
    /// The same two in full, where either is not all UTF-8.
    pub raw: Option<Arc<Raw>>,
    /// Its working directory.
    pub workdir: String,
    /// Who it runs as.
    pub user: User,
    /// Its hostname.
    pub hostname: String,
    /// Its labels.
    pub labels: Arc<BTreeMap<String, String>>,
    /// What its root may do.
    pub capabilities: Capabilities,
    /// Its `oom_score_adj`, where that is not to be the daemon's.
    pub oom_score_adj: Option<i32>,
    /// Which system calls it may make; without one, any.
    pub seccomp: Option<Arc<Filter>>,
    /// Devices of the host that it is given.
    pub devices: Vec<Device>,
    /// Files of the host that it sees.
    pub binds: Vec<Bind>,
    /// The program of the host that comes before its own.
    pub init: Option<PathBuf>,
    /// What tells whether it is healthy.
    pub health: Option<Check>,
    /// What was wished for beyond that.
    pub wishes: Wishes,
    /// The signal that asks it to stop.
    pub stop_signal: Signal,
    /// How long a stop waits.
    pub stop_timeout: Duration,
    /// The bounds of its log.
    pub log_bounds: LogBounds,
}

impl Plan {
    /// Makes the plan, as Docker joins request and image. Reads the image's user files: not for the daemon's thread.
    pub fn make(
        (name, id): (Name, ContainerId),
        source: &Source,
        places: Places,
        wishes: Wishes,
        profiles: &Profiles,
    ) -> Result<Self, Refusal> {
        let none = crate::images::ImageConfig::default();
        let image = match source {
            Source::Image(image) => &image.config,
            Source::Directory(_) => &none,
        };
        let user = user::resolve(wishes.user.as_deref().unwrap_or(&image.user), source.lower_dir())?;
        if wishes.security.own_ids && [user.uid, user.gid].iter().chain(&user.groups).any(|id| *id >= userns::COUNT) {
            return Err(Refusal::bad_value(format_args!(
                "with userns=auto there are ids below {} only",
                userns::COUNT
            )));
        }
        let hostname = wishes.hostname.clone().unwrap_or_else(|| hostname(&wishes.networking.mode, &id));
        let mut argv = argv(&wishes, &image.entrypoint, &image.cmd)?;
        let mut env = environment::of_process((wishes.tty, &image.env), &wishes.env, &hostname, user.home.as_deref());
        let raw = Raw::take(&mut argv, &mut env).map(Arc::new);
        let mut labels = image.labels.clone();
        labels.extend(wishes.labels.clone());
        let own = Capabilities::own()?;
        wishes.ulimits.iter().try_for_each(|limit| limit.check(own))?;
        let capabilities = wishes.security.capabilities(own)?;
        let image_signal = image.stop_signal.as_deref().and_then(|signal| signal.parse().ok());
        Ok(Self {
            argv,
            env,
            raw,
            workdir: workdir(&wishes, &image.workdir),
            user,
            hostname,
            capabilities,
            oom_score_adj: oom::of_containers(),
            seccomp: profiles.filter(&wishes.security, capabilities)?,
            devices: devices::find(&wishes.devices, wishes.security.privileged)?,
            binds: volumes::plan(&wishes, &image.volumes, &places)?,
            health: Check::plan(&wishes.health, image.healthcheck.as_ref(), &image.shell)?,
            init: wishes.init.then(init::find).transpose()?,
            labels: Arc::new(labels),
            stop_signal: wishes.stop_signal.or(image_signal).unwrap_or(Signal::TERM),
            stop_timeout: wishes
                .stop_timeout
                .or(image.stop_timeout.map(|seconds| Duration::from_secs(seconds.min(STOP_TIMEOUT_MAX))))
                .unwrap_or(places.stop_timeout),
            log_bounds: log_bounds(&wishes, places.log_bounds)?,
            created: SystemTime::now(),
            name,
            id,
            places,
            wishes,
            image: source.image_name(),
            lower_dir: source.lower_dir().to_owned(),
        })
    }

    /// What its state machine goes by.
    pub fn rules(&self) -> Rules {
        Rules {
            remove_at_end: self.wishes.remove_at_end,
            restarts: Restarts::new(self.wishes.restart, Pace::default()),
            stop_signal: self.stop_signal,
            checked: self.health.is_some(),
        }
    }
}

/// Entrypoint and command joined. An entrypoint of the request's own puts the image's command aside, as with Docker.
fn argv(wishes: &Wishes, entrypoint: &[String], cmd: &[String]) -> Result<Vec<String>, Refusal> {
    let (head, tail) = match (&wishes.entrypoint, &wishes.argv) {
        (Some(own), argv) => (own.as_slice(), argv.as_deref().unwrap_or(&[])),
        (None, Some(argv)) => (entrypoint, argv.as_slice()),
        (None, None) => (entrypoint, cmd),
    };
    let argv = [head, tail].concat();
    match argv.first().map(String::as_str) {
        None => Err(Refusal::bad_value("no command: the image has none, so give one behind --")),
        Some("") => Err(Refusal::no_command("the program's name is empty")),
        Some(_) => Ok(argv),
    }
}

fn log_bounds(wishes: &Wishes, default: LogBounds) -> Result<LogBounds, Refusal> {
    let bounds = LogBounds {
        max_size: wishes.log_max_size.unwrap_or(default.max_size),
        max_files: wishes.log_max_files.unwrap_or(default.max_files),
    };
    match (bounds.limit(), wishes.log_max_files) {
        (None, Some(_)) => Err(Refusal::bad_option("log-max-files= goes with log-max-size=")),
        _ => Ok(bounds),
    }
}

/// A container on the host's own network goes by the host's name.
fn hostname(mode: &NetworkMode, id: &ContainerId) -> String {
    let host = matches!(mode, NetworkMode::Host).then(|| nix::unistd::gethostname().ok()).flatten();
    host.and_then(|name| name.into_string().ok()).unwrap_or_else(|| id.short().to_owned())
}

fn workdir(wishes: &Wishes, image: &str) -> String {
    let chosen = wishes.workdir.as_deref().unwrap_or(image);
    if chosen.is_empty() { "/".to_owned() } else { chosen.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn entrypoint_and_command_join_as_docker_does() {
        let joined = |entrypoint: Option<&str>, argv: Option<&str>| {
            let wishes = Wishes { entrypoint: entrypoint.map(words), argv: argv.map(words), ..Wishes::default() };
            super::argv(&wishes, &words("/entry"), &words("default cmd")).map(|argv| argv.join(" ")).unwrap_or_default()
        };
        assert_eq!(joined(None, None), "/entry default cmd");
        assert_eq!(joined(None, Some("x y")), "/entry x y");
        assert_eq!(joined(Some("sh -c"), None), "sh -c");
        assert_eq!(joined(Some("sh -c"), Some("true")), "sh -c true");
        assert_eq!(joined(Some(""), Some("true")), "true");
        assert_eq!(joined(Some(""), None), "");
    }
}
