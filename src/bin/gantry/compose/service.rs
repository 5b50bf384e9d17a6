//! A service, read key by key: one table says which keys there are, and what each becomes on the wire.

use std::ffi::OsStr;

use super::model::{Ground, Service};
use super::node::At;
use super::{lifecycle, mounts, nets, process};
use crate::failure::Failure;
use crate::flag::Convert;
use crate::value;

/// What is done with the value of a key.
#[derive(Clone, Copy)]
enum Reads {
    /// One option.
    One(&'static str, Convert),
    /// One option each, of a list or of one value.
    Many(&'static str, Convert),
    /// `yes` or `no`.
    Switch(&'static str),
    /// `NAME=VALUE` each, of a list or a map.
    Pairs(&'static str),
    /// More than that.
    Own(Own),
    /// It is refused, for this reason.
    Never(&'static str),
}

type Own = fn(&At<'_>, &mut Service, &Ground<'_>) -> Result<(), Failure>;

/// Every key, in the order in which they are read: what a file of variables says comes before what `environment` does.
const KEYS: &[(&str, Reads)] = &[
    ("image", Reads::Own(process::image)),
    ("container_name", Reads::Own(process::container_name)),
    ("command", Reads::Own(process::command)),
    ("entrypoint", Reads::Own(process::entrypoint)),
    ("env_file", Reads::Own(process::env_file)),
    ("environment", Reads::Own(process::environment)),
    ("labels", Reads::Own(process::labels)),
    ("user", Reads::One("user", value::text)),
    ("working_dir", Reads::One("workdir", value::text)),
    ("hostname", Reads::One("hostname", value::text)),
    ("tty", Reads::Switch("tty")),
    ("stdin_open", Reads::Switch("stdin")),
    ("init", Reads::Switch("init")),
    ("ports", Reads::Own(nets::ports)),
    ("networks", Reads::Own(nets::networks)),
    ("network_mode", Reads::Own(nets::network_mode)),
    ("dns", Reads::Many("dns", value::text)),
    ("extra_hosts", Reads::Own(nets::extra_hosts)),
    ("volumes", Reads::Own(mounts::volumes)),
    ("tmpfs", Reads::Many("tmpfs", value::text)),
    ("read_only", Reads::Switch("read-only")),
    ("devices", Reads::Many("device", value::text)),
    ("depends_on", Reads::Own(lifecycle::depends_on)),
    ("healthcheck", Reads::Own(lifecycle::healthcheck)),
    ("restart", Reads::One("restart", value::text)),
    ("stop_signal", Reads::One("stop-signal", value::text)),
    ("stop_grace_period", Reads::One("stop-timeout", value::duration)),
    ("profiles", Reads::Own(lifecycle::profiles)),
    ("scale", Reads::Own(lifecycle::scale)),
    ("deploy", Reads::Own(lifecycle::deploy)),
    ("pull_policy", Reads::Own(process::pull_policy)),
    ("platform", Reads::One("platform", value::text)),
    ("cpus", Reads::One("cpus", value::text)),
    ("cpuset", Reads::One("cpuset", value::text)),
    ("mem_limit", Reads::One("memory", value::size)),
    ("memswap_limit", Reads::One("memory-swap", value::size)),
    ("pids_limit", Reads::One("pids", value::text)),
    ("shm_size", Reads::One("shm-size", value::size)),
    ("ulimits", Reads::Own(process::ulimits)),
    ("sysctls", Reads::Pairs("sysctl")),
    ("cap_add", Reads::Many("cap-add", value::text)),
    ("cap_drop", Reads::Many("cap-drop", value::text)),
    ("privileged", Reads::Switch("privileged")),
    ("security_opt", Reads::Many("security", value::security)),
    ("userns_mode", Reads::One("userns", value::text)),
    ("logging", Reads::Own(process::logging)),
    ("expose", Reads::Never("not supported: containers of one network reach every port")),
    ("links", Reads::Never("not supported: services find each other by name")),
];

/// Options of the wire that may be given again.
const REPEATED: &[&str] = &[
    "env", "publish", "volume", "tmpfs", "label", "add-host", "dns", "cap-add", "cap-drop", "device", "sysctl",
    "ulimit", "network",
];

/// Reads the service of this name.
pub fn read(name: &str, at: &At<'_>, ground: &Ground<'_>) -> Result<Service, Failure> {
    if !is_name(name) {
        return Err(at.refuse("a service is called [a-z0-9][a-z0-9._-]*, with at most 63 characters"));
    }
    let entries = at.entries_of(&KEYS.iter().map(|(key, _)| *key).collect::<Vec<_>>())?;
    let mut service = Service { name: name.to_owned(), replicas: 1, ..Service::default() };
    for (key, reads) in KEYS {
        if let Some((_, at)) = entries.iter().find(|(there, _)| there == key) {
            reads.read(at, &mut service, ground)?;
        }
    }
    nets::finish(at, &mut service, ground)?;
    whole(at, &service)?;
    Ok(service)
}

impl Reads {
    fn read(self, at: &At<'_>, service: &mut Service, ground: &Ground<'_>) -> Result<(), Failure> {
        let mut convert = |at: &At<'_>, key, convert: Convert| {
            let pairs = convert(key, OsStr::new(at.text()?)).map_err(|why| at.refuse(why))?;
            service.options.extend(pairs);
            Ok(())
        };
        match self {
            Self::One(key, how) => convert(at, key, how),
            Self::Many(key, how) => at.items(true)?.iter().try_for_each(|at| convert(at, key, how)),
            Self::Switch(key) => {
                service.options.push((key, if at.yes()? { b"yes".to_vec() } else { b"no".to_vec() }));
                Ok(())
            }
            Self::Pairs(key) => {
                for (name, value) in at.pairs()? {
                    let value = value.ok_or_else(|| at.refuse(format_args!("{name} has no value")))?;
                    service.options.push((key, format!("{name}={value}").into_bytes()));
                }
                Ok(())
            }
            Self::Own(read) => read(at, service, ground),
            Self::Never(why) => Err(at.refuse(why)),
        }
    }
}

/// Refuses a service that lacks what it needs, or that says one thing twice.
fn whole(at: &At<'_>, service: &Service) -> Result<(), Failure> {
    if service.image.is_empty() {
        return Err(at.refuse("it has no image"));
    }
    if service.container_name.is_some() && service.replicas > 1 {
        return Err(at.refuse("with a container_name it is one container"));
    }
    let single: Vec<_> = service.options.iter().map(|(key, _)| *key).filter(|key| !REPEATED.contains(key)).collect();
    match single.iter().enumerate().find(|(index, key)| single[..*index].contains(key)) {
        Some((_, key)) => Err(at.refuse(format_args!("{key} is said twice, in two ways"))),
        None => Ok(()),
    }
}

/// A service is part of its containers' names, and a name in the DNS.
fn is_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 63 && name.starts_with(is_first) && name.chars().all(|c| is_first(c) || matches!(c, '.' | '_' | '-'))
}

#[cfg(test)]
pub mod tests {
    use super::super::model::tests::project;

    /// The options and the argv that a service's text becomes.
    pub fn options(text: &str) -> Result<String, String> {
        let text = format!(
            "services: {{web: {{image: i, {text}}}, db: {{image: i}}}}\nnetworks: {{n: , m: }}\nvolumes: {{data: }}\n"
        );
        let project = project(&text)?;
        let web = project.service("web").unwrap();
        let shown = web.options.iter().filter(|(key, value)| !(*key == "network" && value == b"app_default"));
        let mut shown: Vec<_> = shown.map(|(key, value)| format!("{key}={}", String::from_utf8_lossy(value))).collect();
        if !web.argv.is_empty() {
            shown.push(format!("-- {}", web.argv.join("|")));
        }
        Ok(shown.join(" "))
    }

    #[test]
    fn the_page_tells_every_key() {
        let page = include_str!("../../../../docs/compose.md");
        let untold: Vec<_> =
            super::KEYS.iter().map(|(key, _)| *key).filter(|key| !page.contains(&format!("`{key}`"))).collect();
        assert_eq!(untold, Vec::<&str>::new());
    }

    #[test]
    fn keys_become_options() {
        for (text, becomes) in [
            ("user: 1:2, working_dir: /x, hostname: h", "user=1:2 workdir=/x hostname=h"),
            ("tty: true, stdin_open: true, init: false, read_only: true", "tty=yes stdin=yes init=no read-only=yes"),
            (
                "restart: unless-stopped, stop_signal: INT, stop_grace_period: 1m30s",
                "restart=unless-stopped stop-signal=INT stop-timeout=90s",
            ),
            ("restart: 'no'", "restart=no"),
            ("cap_add: [A, B], cap_drop: [ALL], privileged: false", "cap-add=A cap-add=B cap-drop=ALL privileged=no"),
            (
                "mem_limit: 1.5g, memswap_limit: 2gb, shm_size: 64M, cpus: 0.5, pids_limit: 10",
                "cpus=0.5 memory=1536m memory-swap=2g pids=10 shm-size=64m",
            ),
            (
                "security_opt: ['no-new-privileges:true', 'seccomp:unconfined']",
                "no-new-privileges=yes seccomp=unconfined",
            ),
            ("sysctls: {net.core.somaxconn: 1024}", "sysctl=net.core.somaxconn=1024"),
            ("sysctls: [a=1]", "sysctl=a=1"),
            ("dns: 1.1.1.1, tmpfs: [/a, '/b:size=1m']", "dns=1.1.1.1 tmpfs=/a tmpfs=/b:size=1m"),
            ("x-anything: {build: 1}", ""),
        ] {
            assert_eq!(options(text).as_deref(), Ok(becomes), "{text}");
        }
    }

    #[test]
    fn what_is_not_offered_is_refused_by_name() {
        for (text, why) in [
            ("build: .", "services.web.build: not supported"),
            ("secrets: [a]", "services.web.secrets: not supported"),
            ("expose: ['80']", "services.web.expose: not supported: containers of one network reach every port"),
            ("tty: maybe", "services.web.tty: \"maybe\" is neither true nor false"),
            (
                "security_opt: ['apparmor:x']",
                "services.web.security_opt[0]: apparmor is not offered; no-new-privileges and seccomp= are",
            ),
            ("cpus: 1, deploy: {resources: {limits: {cpus: 2}}}", "services.web: cpus is said twice, in two ways"),
            ("container_name: a, scale: 2", "services.web: with a container_name it is one container"),
        ] {
            assert_eq!(options(text), Err(why.to_owned()), "{text}");
        }
        assert_eq!(
            project("services: {Web: {image: i}}").map(|_| ()).unwrap_err(),
            "services.Web: a service is called [a-z0-9][a-z0-9._-]*, with at most 63 characters"
        );
        assert_eq!(project("services: {web: }").map(|_| ()).unwrap_err(), "services.web: it has no image");
    }
}
