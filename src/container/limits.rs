//! Limits that a client names: resource limits of processes, and the CPUs of a container. Each is held against what this
//! host can give, so that the refusal says what is wrong rather than the runtime's last words.

use nix::sys::resource::{Resource, getrlimit};
use oci_spec::runtime::PosixRlimitType;

use super::security::Capabilities;
use crate::refusal::Refusal;
use crate::wire::units::number;

/// The names of resource limits, as ulimit(1) and Docker have them.
const ULIMITS: [(&str, PosixRlimitType, Resource); 16] = {
    use PosixRlimitType as Spec;
    [
        ("as", Spec::RlimitAs, Resource::RLIMIT_AS),
        ("core", Spec::RlimitCore, Resource::RLIMIT_CORE),
        ("cpu", Spec::RlimitCpu, Resource::RLIMIT_CPU),
        ("data", Spec::RlimitData, Resource::RLIMIT_DATA),
        ("fsize", Spec::RlimitFsize, Resource::RLIMIT_FSIZE),
        ("locks", Spec::RlimitLocks, Resource::RLIMIT_LOCKS),
        ("memlock", Spec::RlimitMemlock, Resource::RLIMIT_MEMLOCK),
        ("msgqueue", Spec::RlimitMsgqueue, Resource::RLIMIT_MSGQUEUE),
        ("nice", Spec::RlimitNice, Resource::RLIMIT_NICE),
        ("nofile", Spec::RlimitNofile, Resource::RLIMIT_NOFILE),
        ("nproc", Spec::RlimitNproc, Resource::RLIMIT_NPROC),
        ("rss", Spec::RlimitRss, Resource::RLIMIT_RSS),
        ("rtprio", Spec::RlimitRtprio, Resource::RLIMIT_RTPRIO),
        ("rttime", Spec::RlimitRttime, Resource::RLIMIT_RTTIME),
        ("sigpending", Spec::RlimitSigpending, Resource::RLIMIT_SIGPENDING),
        ("stack", Spec::RlimitStack, Resource::RLIMIT_STACK),
    ]
};

/// Where the kernel says how high `nofile` may go at all.
const NR_OPEN: &str = "/proc/sys/fs/nr_open";
/// Where the kernel lists the CPUs that are in use.
const CPUS_ONLINE: &str = "/sys/devices/system/cpu/online";
/// The highest number of a CPU that is believed.
const CPU_MAX: u32 = 8191;

/// One resource limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// Its name.
    pub name: &'static str,
    /// What a process meets; `u64::MAX` for none.
    pub soft: u64,
    /// How far a process may raise it itself.
    pub hard: u64,
    /// As the runtime spec has it.
    pub kind: PosixRlimitType,
    resource: Resource,
}

impl std::str::FromStr for Ulimit {
    type Err = Refusal;

    /// `NAME=SOFT[:HARD]`, the values being numbers, or `-1` or `unlimited` for none.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let wrong = || Refusal::bad_value(format_args!("{text:?} is not NAME=SOFT[:HARD], like nofile=1024:4096"));
        let (name, values) = text.split_once('=').ok_or_else(wrong)?;
        let known = ULIMITS.iter().find(|(known, ..)| *known == name.to_ascii_lowercase());
        let &(name, kind, resource) = known.ok_or_else(|| {
            let names = ULIMITS.map(|(name, ..)| name).join(" ");
            Refusal::bad_value(format_args!("{name:?} is no resource limit; there are {names}"))
        })?;
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let (soft, hard) = (bound(soft).ok_or_else(wrong)?, bound(hard).ok_or_else(wrong)?);
        if soft > hard {
            return Err(Refusal::bad_value(format_args!("{text}: the soft limit is above the hard one")));
        }
        Ok(Self { name, soft, hard, kind, resource })
    }
}

impl std::fmt::Display for Ulimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |n: u64| if n == u64::MAX { "unlimited".to_owned() } else { n.to_string() };
        write!(f, "{}={}:{}", self.name, shown(self.soft), shown(self.hard))
    }
}

fn bound(text: &str) -> Option<u64> {
    if matches!(text, "-1" | "unlimited") { Some(u64::MAX) } else { number(text) }
}

impl Ulimit {
    /// Refused where the kernel would not let us set it.
    pub fn check(&self, own: Capabilities) -> Result<(), Refusal> {
        let may_raise = "SYS_RESOURCE".parse().is_ok_and(|resource| own.holds(resource));
        let (_, hard) = getrlimit(self.resource).map_err(|e| Refusal::errno("resource limits", e))?;
        if self.hard > hard && !may_raise {
            return Err(Refusal::bad_value(format_args!(
                "ulimit={self}: above {hard}, the daemon's own hard limit, which it may not raise"
            )));
        }
        let most = std::fs::read_to_string(NR_OPEN).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
        if self.name == "nofile" && self.hard > most {
            return Err(Refusal::bad_value(format_args!("ulimit={self}: above {most}, this host's fs.nr_open")));
        }
        Ok(())
    }
}

/// A list of CPUs, as `0-2,4`, all of which this host has.
pub fn cpuset(text: &str) -> Result<String, Refusal> {
    let wished =
        cpus(text).ok_or_else(|| Refusal::bad_value(format_args!("{text:?} is not a list of CPUs like 0-2,4")))?;
    let online = std::fs::read_to_string(CPUS_ONLINE).map_err(|e| Refusal::io(CPUS_ONLINE, &e))?;
    let there = cpus(online.trim()).unwrap_or_default();
    match wished.iter().find(|cpu| !there.contains(cpu)) {
        Some(cpu) => Err(Refusal::bad_value(format_args!("there is no CPU {cpu}; this host has {}", online.trim()))),
        None => Ok(text.to_owned()),
    }
}

fn cpus(text: &str) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (number(first)?, number(last)?);
        if first > last || last > CPU_MAX {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

/// Whether the limit of memory and swap together goes with the one of memory alone. In bytes; -1 for none.
pub fn check_swap(memory: Option<u64>, both: Option<i64>) -> Result<(), Refusal> {
    let Some(both) = both else { return Ok(()) };
    let Some(memory) = memory else {
        return Err(Refusal::bad_option("memory-swap= is of memory and swap together, and goes with memory="));
    };
    match u64::try_from(both) {
        Ok(both) if both < memory => {
            Err(Refusal::bad_value("memory-swap= is of memory and swap together, and cannot be less than memory="))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_limits() {
        let read = |text: &str| text.parse::<Ulimit>();
        assert_eq!(read("nofile=5").unwrap().to_string(), "nofile=5:5");
        assert_eq!(read("NPROC=5:unlimited").unwrap().to_string(), "nproc=5:unlimited");
        assert_eq!(read("core=-1").unwrap().hard, u64::MAX);
        for bad in ["", "nofile", "nofile=", "nofile=2:1", "nofile=-2", "nofile=1:2:3", "nofiles=1", "nofile=-1:5"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read("nofile=1").unwrap().check(Capabilities::default()).is_ok());
        assert!(read("nofile=unlimited").unwrap().check(Capabilities::ALL).is_err());
    }

    #[test]
    fn lists_of_cpus() {
        assert_eq!(cpus("0-2,4").unwrap(), [0, 1, 2, 4]);
        for bad in ["", "-1", "2-1", "0,", "a", "0-99999999"] {
            assert!(cpus(bad).is_none(), "{bad}");
        }
        assert!(cpuset("0").is_ok() && cpuset("8000").is_err());
    }
}
