//! The daemon's configuration: the one reader of flags, environment and file, in that order of falling weight.

mod subnet;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Deserialize;

pub use self::subnet::Subnet;
use crate::logging::Format;
use crate::refusal::Refusal;
use crate::wire::units;

/// Everything the daemon is told from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The control socket.
    pub socket: PathBuf,
    /// A second socket for verbs that change nothing.
    pub ro_socket: Option<PathBuf>,
    /// Where images and volumes are kept, and the writable layers of containers.
    pub root: PathBuf,
    /// Where the state of this run is kept; best on a tmpfs.
    pub run: PathBuf,
    /// The name of the bridge, from which every other name on the host is derived.
    pub bridge: String,
    /// The bridge's network; without one, the first free of a list is taken.
    pub subnet: Option<Subnet>,
    /// Networks have IPv6 too, where the host has it.
    pub ipv6: bool,
    /// The name servers that containers' questions go to; without one, those of the host's `/etc/resolv.conf`.
    pub dns: Vec<SocketAddr>,
    /// Where skopeo, umoci, crun and conmon are taken from, in place of `PATH`.
    pub tools: Option<PathBuf>,
    /// How long a stop waits before it kills, where nothing else is said.
    pub stop_timeout: Duration,
    /// How long a container's log may become, where nothing else is said.
    pub log_bounds: LogBounds,
    /// Ask another firewall of this host, whose chain drops what is forwarded, for its leave: by rules of ours in its
    /// chain `DOCKER-USER`, which are removed at the end.
    pub firewall_cooperate: bool,
    /// How many links a bridge has before its network gets another.
    pub bridge_links: usize,
    /// How many network namespaces are made ahead.
    pub network_spares: usize,
    /// How many bytes of disk one image may take, unpacked, and its layers as they are fetched; 0 for no bound.
    pub max_image_size: u64,
    /// Where `metrics` are told by HTTP.
    pub metrics_listen: Option<SocketAddr>,
    /// How the daemon's own log is written; without one, as whoever reads stderr would have it.
    pub log_format: Option<Format>,
    /// Print what `check` prints, and exit.
    pub check: bool,
}

/// How much of a container's log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// Bytes in a file before it is put aside; 0 for no bound, as in docker and podman.
    pub max_size: u64,
    /// How many files are kept, the one that is written included.
    pub max_files: u32,
}

impl Default for LogBounds {
    /// As many files as docker's `local` driver and the kubelet keep.
    fn default() -> Self {
        Self { max_size: 0, max_files: 5 }
    }
}

impl LogBounds {
    /// Fewer bytes than this in a file would put it aside all the time.
    const SIZE_MIN: u64 = 4 << 10;
    /// More files than this are more than anybody looks at.
    const FILES_MAX: u32 = 100;

    /// The bound of a file, where there is one.
    pub fn limit(self) -> Option<u64> {
        Some(self.max_size).filter(|size| *size > 0)
    }

    /// Reads a [`LogBounds::max_size`]. An error is for a person.
    pub fn size(text: &str) -> Result<u64, Refusal> {
        match units::size(text)? {
            1..Self::SIZE_MIN => {
                Err(Refusal::bad_value(format_args!("{text}: a log is put aside at 4k at least, or at 0, never")))
            }
            size => Ok(size),
        }
    }

    /// Reads a [`LogBounds::max_files`]. An error is for a person.
    pub fn files(text: &str) -> Result<u32, Refusal> {
        let count = units::number(text).filter(|count| (1..=Self::FILES_MAX).contains(count));
        count.ok_or_else(|| Refusal::bad_value(format_args!("{text:?} is not a number from 1 to {}", Self::FILES_MAX)))
    }
}

/// The file's keys; every one may be left out, and an unknown one is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    socket: Option<PathBuf>,
    ro_socket: Option<PathBuf>,
    root: Option<PathBuf>,
    run: Option<PathBuf>,
    bridge: Option<String>,
    subnet: Option<String>,
    ipv6: Option<bool>,
    dns: Option<Vec<String>>,
    tools: Option<PathBuf>,
    stop_timeout: Option<u64>,
    log_max_size: Option<String>,
    log_max_files: Option<u32>,
    firewall_cooperate: Option<bool>,
    network_spares: Option<usize>,
    bridge_links: Option<usize>,
    max_image_size: Option<String>,
    metrics_listen: Option<String>,
    log_format: Option<String>,
}

/// How many links a bridge has where nothing is said, and at most. The first: what is sent to everybody is a packet for
/// each of them, and the kernel keeps a thousand for a processor (`net.core.netdev_max_backlog`). The second is the kernel's
/// bound (`BR_MAX_PORTS`, less one).
const BRIDGE_LINKS: (usize, usize) = (512, 1023);

/// How many network namespaces are made ahead where nothing is said, and at most: each takes some 200 KiB of the kernel's
/// memory.
const SPARES: (usize, usize) = (4, 256);

/// The `max-image-size` where nothing is said: more than any image that people make, and less than most disks.
pub const MAX_IMAGE_SIZE: u64 = 64 << 30;

/// Where the file is looked for when none is named; it need not be there.
const DEFAULT_FILE: &str = "/etc/gantry/gantry.toml";

/// The daemon's command line; the environment is read by it too.
pub fn command() -> Command {
    let path = |name: &'static str, env: &'static str, about: &'static str| {
        Arg::new(name).long(name).env(env).value_name("PATH").help(about).value_parser(clap::value_parser!(PathBuf))
    };
    Command::new("gantryd")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A lightweight OCI container engine: speaks a line protocol on a Unix socket")
        .arg(path("config", "GANTRY_CONFIG", "Configuration file (TOML) [/etc/gantry/gantry.toml where it exists]"))
        .arg(path("socket", "GANTRY_SOCKET", "Control socket [RUN/gantry.sock]"))
        .arg(path("ro-socket", "GANTRY_RO_SOCKET", "Second socket for verbs that change nothing [none]"))
        .arg(path("root", "GANTRY_ROOT", "Images, volumes and writable layers [/var/lib/gantry]"))
        .arg(path("run", "GANTRY_RUN", "State of this run, best on a tmpfs [/run/gantry]"))
        .arg(
            Arg::new("bridge")
                .long("bridge")
                .env("GANTRY_BRIDGE")
                .value_name("NAME")
                .help("Bridge; other names derive from it [gantry0]"),
        )
        .arg(
            Arg::new("subnet")
                .long("subnet")
                .env("GANTRY_SUBNET")
                .value_name("CIDR")
                .help("The bridge's network [10.67.0.0/16, or another that is free]"),
        )
        .arg(
            Arg::new("dns")
                .long("dns")
                .env("GANTRY_DNS")
                .value_name("ADDRESS")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .help("Name servers for containers' questions, IP or IP:PORT [those of /etc/resolv.conf]"),
        )
        .arg(path("tools", "GANTRY_TOOLS", "Where skopeo, umoci, crun and conmon are taken from [PATH]"))
        .arg(
            Arg::new("log-format")
                .long("log-format")
                .env("GANTRY_LOG_FORMAT")
                .value_name("FORMAT")
                .help("How its own log is written: text, journal or json [journal under systemd, else text]"),
        )
        .arg(Arg::new("check").long("check").action(ArgAction::SetTrue).help("Tell whether this host is fit, and exit"))
}

impl Config {
    /// Reads the command line, the environment and the file. An error is one line for a person.
    pub fn from_matches(matches: &ArgMatches) -> Result<Self, String> {
        let path = |name: &str| matches.get_one::<PathBuf>(name).cloned();
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let texts = |name: &str| matches.get_many::<String>(name).map(|texts| texts.cloned().collect::<Vec<_>>());
        let file = File::read(path("config").as_deref())?;
        let (log_bounds, max_image_size) = (file.log_bounds()?, file.max_image_size()?);
        let run = path("run").or(file.run).unwrap_or_else(|| "/run/gantry".into());
        let config = Self {
            socket: path("socket").or(file.socket).unwrap_or_else(|| run.join("gantry.sock")),
            ro_socket: path("ro-socket").or(file.ro_socket),
            root: path("root").or(file.root).unwrap_or_else(|| "/var/lib/gantry".into()),
            run,
            bridge: text("bridge").or(file.bridge).unwrap_or_else(|| "gantry0".to_owned()),
            subnet: text("subnet").or(file.subnet).map(|subnet| subnet.parse()).transpose()?,
            ipv6: file.ipv6.unwrap_or(true),
            dns: texts("dns")
                .or(file.dns)
                .unwrap_or_default()
                .iter()
                .map(|text| server(text))
                .collect::<Result<_, _>>()?,
            tools: path("tools").or(file.tools),
            stop_timeout: Duration::from_secs(file.stop_timeout.unwrap_or(10)),
            log_bounds,
            firewall_cooperate: file.firewall_cooperate.unwrap_or(false),
            bridge_links: file.bridge_links.unwrap_or(BRIDGE_LINKS.0),
            network_spares: file.network_spares.unwrap_or(SPARES.0),
            max_image_size,
            metrics_listen: file.metrics_listen.as_deref().map(metrics_address).transpose()?,
            log_format: text("log-format").or(file.log_format).map(|text| text.parse()).transpose()?,
            check: matches.get_flag("check"),
        };
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), String> {
        let paths =
            [Some(&self.socket), self.ro_socket.as_ref(), Some(&self.root), Some(&self.run), self.tools.as_ref()];
        for path in paths.into_iter().flatten() {
            if !path.is_absolute() {
                return Err(format!("{} is not an absolute path", path.display()));
            }
            // conmon parts its log argument at ':' and overlayfs its options at ',' and ':'.
            if path.to_string_lossy().contains([':', ',', '\\', '"', '\n']) {
                return Err(format!("{}: a path of the daemon must not hold : , \\ \" or a line feed", path.display()));
            }
        }
        if !(1..=BRIDGE_LINKS.1).contains(&self.bridge_links) {
            return Err(format!("bridge-links: {} is not from 1 to {}", self.bridge_links, BRIDGE_LINKS.1));
        }
        if self.network_spares > SPARES.1 {
            return Err(format!("network-spares: {} are more than {}", self.network_spares, SPARES.1));
        }
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let start = self.bridge.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
        if self.bridge.len() > 15 || !start || !self.bridge.bytes().all(inner) {
            return Err(format!("{:?}: a bridge's name is a letter and up to 14 letters, digits, _ or -", self.bridge));
        }
        Ok(())
    }

    /// The cgroup under which every container's lies, relative to the root of its hierarchy.
    pub fn cgroup_parent(&self) -> String {
        format!("/gantry-{}", self.bridge)
    }
}

/// `IP` or `IP:PORT`; of IPv6, the IP with a port in brackets.
fn server(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)));
    with_port.map_err(|_| format!("{text:?} is not a name server like 192.0.2.53 or 192.0.2.53:5353"))
}

fn metrics_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("metrics-listen: {text:?} is not an IP:PORT like 127.0.0.1:9670"))
}

impl File {
    fn log_bounds(&self) -> Result<LogBounds, String> {
        let wrong = |key: &str, refusal: Refusal| format!("{key}: {}", refusal.message());
        let LogBounds { max_size, max_files } = LogBounds::default();
        let size = self.log_max_size.as_deref().map_or(Ok(max_size), LogBounds::size);
        let files = self.log_max_files.map_or(Ok(max_files), |count| LogBounds::files(&count.to_string()));
        Ok(LogBounds {
            max_size: size.map_err(|refusal| wrong("log-max-size", refusal))?,
            max_files: files.map_err(|refusal| wrong("log-max-files", refusal))?,
        })
    }

    fn max_image_size(&self) -> Result<u64, String> {
        let size = self.max_image_size.as_deref().map_or(Ok(MAX_IMAGE_SIZE), units::size);
        size.map_err(|refusal| format!("max-image-size: {}", refusal.message()))
    }

    fn read(named: Option<&Path>) -> Result<Self, String> {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|e| format!("{}: {}", path.display(), e.to_string().trim_end())),
            Err(e) if named.is_none() && e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(format!("{}: {e}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Config, String> {
        let matches = command().try_get_matches_from([&["gantryd"], args].concat()).map_err(|e| e.to_string())?;
        Config::from_matches(&matches)
    }

    #[test]
    fn flags_outweigh_the_file() {
        let file = std::env::temp_dir().join(format!("gantry-config-{}.toml", std::process::id()));
        std::fs::write(
            &file,
            "bridge = 'file0'\nrun = '/tmp/r'\nstop-timeout = 3\nlog-max-size = '1m'\nlog-max-files = 3\nfirewall-cooperate = true\nnetwork-spares = 0\nmax-image-size = '2g'\n",
        )
        .unwrap();
        let file_name = file.to_str().unwrap();
        let config = read(&["--config", file_name, "--bridge", "flag0"]).unwrap();
        assert_eq!((config.bridge.as_str(), config.stop_timeout), ("flag0", Duration::from_secs(3)));
        assert_eq!(config.socket, Path::new("/tmp/r/gantry.sock"));
        assert_eq!(config.log_bounds, LogBounds { max_size: 1 << 20, max_files: 3 });
        assert_eq!(config.max_image_size, 2 << 30);
        assert!(config.firewall_cooperate && config.network_spares == 0);
        for wrong in [
            "network-spares = 257",
            "bridge-links = 0",
            "bridge-links = 1024",
            "log-max-size = '1'",
            "log-max-size = 'big'",
            "log-max-files = 0",
            "log-max-files = 101",
        ] {
            std::fs::write(&file, wrong).unwrap();
            assert!(read(&["--config", file_name]).unwrap_err().starts_with(&wrong[..8]), "{wrong}");
        }
        std::fs::write(&file, "max-image-size = 'huge'").unwrap();
        assert!(read(&["--config", file_name]).unwrap_err().starts_with("max-image-size: "));
        std::fs::write(&file, "brigde = 'x'\n").unwrap();
        assert!(read(&["--config", file_name]).unwrap_err().contains("brigde"));
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn the_file_that_is_shipped_shows_every_key() {
        let shown = include_str!("../packaging/gantry.toml").lines().filter_map(|line| line.strip_prefix('#'));
        let keys: Vec<&str> = shown.filter(|line| line.contains(" = ")).collect();
        let all = toml::from_str(&keys.join("\n")).unwrap();
        // Every field by name, so that a new one is missed here.
        let File {
            socket: Some(_),
            ro_socket: Some(_),
            root: Some(_),
            run: Some(_),
            bridge: Some(_),
            subnet: Some(_),
            ipv6: Some(_),
            dns: Some(_),
            tools: Some(_),
            stop_timeout: Some(_),
            log_max_size: Some(_),
            log_max_files: Some(_),
            max_image_size: Some(_),
            firewall_cooperate: Some(_),
            bridge_links: Some(_),
            network_spares: Some(_),
            metrics_listen: Some(_),
            log_format: Some(_),
        } = all
        else {
            panic!("{all:?}");
        };
        assert_eq!(File::read(Some(Path::new("packaging/gantry.toml"))).map(|file| file.run), Ok(None));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for args in [
            ["--root", "relative"],
            ["--bridge", "0x"],
            ["--bridge", "sixteen-letters0"],
            ["--subnet", "10.0.0.0/30"],
            ["--run", "/a:b"],
            ["--dns", "192.0.2.1,one"],
        ] {
            assert!(read(&args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn name_servers_have_a_port_or_53() {
        let config = read(&["--dns", "192.0.2.1,[2001:db8::1]:5353", "--dns", "2001:db8::2"]).unwrap();
        let read: Vec<_> = config.dns.iter().map(ToString::to_string).collect();
        assert_eq!(read, ["192.0.2.1:53", "[2001:db8::1]:5353", "[2001:db8::2]:53"]);
    }
}
