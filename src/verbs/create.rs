//! `create`: a container that is made and not started.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::image::{PULL_AUTHFILE, PULL_PLATFORM, PULL_TLS_VERIFY, obtain, pull_options};
use super::{Access, Action, Args, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::container::plan::{Source, Wishes};
use crate::engine::Engine;
use crate::id::{ImageRef, Name, Signal};
use crate::images::{PullOptions, PullPolicy};
use crate::supervisor::{Child, Create};
use crate::wire::args::absolute;
use crate::wire::words;

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
    &Opt::many("network", "NAME|none|host|container:NAME", "its network").later(),
    &Opt::once("ip", "ADDRESS", "its address").later(),
    &Opt::once("alias", "NAME", "another name on its network").later(),
    &Opt::many("dns", "ADDRESS", "a name server").later(),
    &Opt::many("add-host", "NAME:ADDRESS", "a line of /etc/hosts").later(),
    &Opt::many("volume", "SRC:DST[:ro]", "a directory or volume mounted").later(),
    &Opt::many("tmpfs", "DST[:size=,mode=]", "a tmpfs mounted").later(),
    &Opt::once("read-only", "yes|no", "a root filesystem that cannot be written").later(),
    &Opt::once("memory-swap", "SIZE", "limit of memory and swap together").later(),
    &Opt::once("cpuset", "LIST", "the CPUs it may use").later(),
    &Opt::many("ulimit", "NAME=SOFT[:HARD]", "a resource limit").later(),
    &Opt::once("shm-size", "SIZE", "size of /dev/shm").later(),
    &Opt::many("cap-add", "NAME", "a capability more").later(),
    &Opt::many("cap-drop", "NAME", "a capability less").later(),
    &Opt::once("privileged", "yes|no", "everything root may").later(),
    &Opt::once("no-new-privileges", "yes|no", "setuid programs gain nothing").later(),
    &Opt::once("seccomp", "default|unconfined|FILE", "which system calls it may make").later(),
    &Opt::once("userns", "host|auto", "its user ids").later(),
    &Opt::many("device", "PATH", "a device of the host").later(),
    &Opt::many("sysctl", "NAME=VALUE", "a sysctl of its own").later(),
    &Opt::once("init", "yes|no", "an init that reaps").later(),
    &Opt::once("tty", "yes|no", "a terminal").later(),
    &Opt::once("stdin", "yes|no", "standard input kept open").later(),
    &Opt::once("restart", "no|on-failure[:N]|always|unless-stopped", "what happens at its end").later(),
    &Opt::once("health-cmd", "WORDS", "what tells whether it is healthy").later(),
    &Opt::once("health-interval", "DURATION", "how often").later(),
    &Opt::once("health-timeout", "DURATION", "how long that may take").later(),
    &Opt::once("health-retries", "N", "how many failures make it unhealthy").later(),
    &Opt::once("health-start-period", "DURATION", "how long failures do not count").later(),
    &Opt::once("health-restart", "yes|no", "restart it when it is unhealthy").later(),
    &Opt::once("log-max-size", "SIZE", "when its log is rotated").later(),
    &Opt::once("log-max-files", "N", "how many logs are kept").later(),
];

/// `create IMAGE [options] [-- argv…]` → `OK name= id=`
pub const VERB: Verb = Verb {
    form: Form { name: "create", required: &[], optional: &["IMAGE"], options: &OPTIONS, argv: Argv::Maybe },
    about: "make a container",
    access: Access::Change,
    reply_keys: &[&super::image::PROGRESS, &OK],
    action: Action::Run(|mut args, call| {
        let request = Request::read(&mut args)?;
        Ok(Box::pin(async move {
            let ready = request.obtain(&call).await?;
            let engine = call.engine.clone();
            let child = call.finish(async move { ready.make(&engine).await }).await?;
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
        Ok(Self { name, origin, wishes: wishes(args)? })
    }

    /// Finds what it is made from, pulling an image where that is needed. Whoever leaves meanwhile gives it up.
    pub async fn obtain(self, call: &Call) -> Result<Create, Refusal> {
        let Self { name, origin, wishes } = self;
        let source = match origin {
            Origin::Image { reference, policy, options } => {
                Source::Image(obtain(call, reference, policy, options).await?)
            }
            Origin::Directory(dir) => Source::Directory(existing(dir).await?),
        };
        Ok(Create { name, source, wishes })
    }
}

impl Create {
    /// Has the supervisor make it.
    pub async fn make(self, engine: &Engine) -> Result<Child, Refusal> {
        engine.supervisor.send(self).await.map_err(|e| Refusal::unanswered("the supervisor", &e))?
    }
}

async fn existing(dir: PathBuf) -> Result<PathBuf, Refusal> {
    let looked = tokio::task::spawn_blocking(move || (dir.is_dir(), dir)).await;
    match looked {
        Ok((true, dir)) => Ok(dir),
        Ok((false, dir)) => Err(Refusal::not_found(format_args!("rootfs={}: no such directory", dir.display()))),
        Err(e) => Err(Refusal::internal(format_args!("a worker died: {e}"))),
    }
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
    let argv =
        args.argv().map(|argv| argv.into_iter().map(|word| utf8("an argument", word)).collect::<Result<Vec<_>, _>>());
    Ok(Wishes {
        argv: argv.transpose()?,
        entrypoint: args.value("entrypoint", command_words)?,
        env: args.all_bytes("env")?.into_iter().map(variable).collect::<Result<_, _>>()?,
        workdir: args.value("workdir", |dir| absolute(dir).map(|_| dir.to_owned()))?,
        user: args.text("user")?,
        hostname: args.value("hostname", hostname)?,
        labels: args.values("label", label)?.into_iter().collect::<BTreeMap<_, _>>(),
        publish: args.values("publish", str::parse)?,
        memory: args.value("memory", memory)?,
        milli_cpus: args.value("cpus", milli_cpus)?,
        pids: args.value("pids", pids)?,
        stop_signal: args.value("stop-signal", str::parse::<Signal>)?,
        stop_timeout: args.duration("stop-timeout")?,
        remove_at_end: args.flag("rm")?,
    })
}

/// A runtime spec is JSON, which has no way to say other bytes.
fn utf8(what: &str, bytes: Vec<u8>) -> Result<String, Refusal> {
    String::from_utf8(bytes).map_err(|_| {
        Refusal::unsupported(format_args!("{what} is not valid UTF-8, and the runtime spec carries nothing else"))
    })
}

/// Words written as on a request line: `entrypoint="sh -c"`.
pub fn command_words(text: &str) -> Result<Vec<String>, Refusal> {
    let split = words::split(text.as_bytes()).map_err(|refusal| Refusal::bad_value(refusal.message()))?;
    split.into_iter().map(|word| utf8("a word", word)).collect()
}

/// `NAME=VALUE` of an environment.
pub fn variable(bytes: Vec<u8>) -> Result<String, Refusal> {
    let text = utf8("env=", bytes)?;
    match text.find('=') {
        Some(at) if at > 0 => Ok(text),
        _ => Err(Refusal::bad_value(format_args!("env={text}: a variable is NAME=VALUE"))),
    }
}

fn label(text: &str) -> Result<(String, String), Refusal> {
    match text.split_once('=') {
        Some(("", _)) => Err(Refusal::bad_value("a label is NAME=VALUE or NAME")),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Ok((text.to_owned(), String::new())),
    }
}

/// Names of hosts as RFC 1123 has them; the kernel's bound is 64.
fn hostname(text: &str) -> Result<String, Refusal> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let fits = (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with(['-', '.']);
    if fits { Ok(text.to_owned()) } else { Err(Refusal::bad_value(format_args!("{text:?} is not a hostname"))) }
}

/// Less than this, and not even crun's own first process fits; Docker's bound too.
const MEMORY_MIN: u64 = 6 << 20;

pub(super) fn memory(text: &str) -> Result<u64, Refusal> {
    let bytes = crate::wire::units::size(text)?;
    if !(MEMORY_MIN..1 << 60).contains(&bytes) {
        return Err(Refusal::bad_value(format_args!("{text}: a memory limit is at least 6m")));
    }
    Ok(bytes)
}

/// The most processes that the kernel counts (`PID_MAX_LIMIT`).
const PIDS_MAX: u32 = 4 << 20;

fn pids(text: &str) -> Result<u32, Refusal> {
    let count = crate::wire::units::number(text).filter(|n| *n <= PIDS_MAX);
    count.ok_or_else(|| Refusal::bad_value(format_args!("{text:?} is not a number from 0 to {PIDS_MAX}")))
}

/// CPUs with up to three decimals, in thousandths.
pub(super) fn milli_cpus(text: &str) -> Result<u32, Refusal> {
    let wrong = || Refusal::bad_value(format_args!("{text:?} is not a number of CPUs from 0.01 to 1024"));
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if decimals.is_empty() || decimals.len() > 3 {
        return Err(wrong());
    }
    let whole: u32 = crate::wire::units::number(whole).filter(|n| *n <= 1024).ok_or_else(wrong)?;
    let thousandths: u32 = crate::wire::units::number(&format!("{decimals:0<3}")).ok_or_else(wrong)?;
    Some(whole * 1000 + thousandths).filter(|n| (10..=1_024_000).contains(n)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_thousandths() {
        for (text, thousandths) in [("1", 1000), ("0.5", 500), ("1.25", 1250), ("0.01", 10), ("1024", 1_024_000)] {
            assert_eq!(milli_cpus(text).unwrap(), thousandths, "{text}");
        }
        for bad in ["", "0", "0.001", "-1", "1.", ".5", "1.0001", "1025", "x", "1e3"] {
            assert!(milli_cpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bounds_of_values() {
        assert!(memory("5m").is_err() && memory("6m").is_ok());
        assert!(
            hostname("a.b-c").is_ok() && hostname("-a").is_err() && hostname("").is_err() && hostname("a b").is_err()
        );
        assert!(
            variable(b"A=".to_vec()).is_ok() && variable(b"=A".to_vec()).is_err() && variable(b"A".to_vec()).is_err()
        );
        assert_eq!(command_words("sh -c 'a b'").unwrap(), ["sh", "-c", "a b"]);
    }
}
