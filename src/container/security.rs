//! What a container's processes may do: capabilities, and what takes hold of them. Knows nothing of the runtime spec's
//! other parts.

use std::collections::{BTreeMap, HashSet};

use oci_spec::runtime::Capability;

use super::seccomp::Seccomp;
use crate::refusal::Refusal;

/// The kernel's capabilities, each at the place of its bit (`linux/capability.h`).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Podman's default set: enough for what images do, and nothing that reaches the host.
const DEFAULT: [&str; 11] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// A set of capabilities, as the kernel's bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Every one that this version knows.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// What a container has where nothing is said.
    pub fn default_set() -> Self {
        Self(DEFAULT.iter().filter_map(|name| bit(name)).fold(0, |bits, bit| bits | bit))
    }

    /// What this process has, and so can give.
    pub fn own() -> Result<Self, Refusal> {
        const STATUS: &str = "/proc/self/status";
        let status = std::fs::read_to_string(STATUS).map_err(|e| Refusal::io(STATUS, &e))?;
        let bits = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            u64::from_str_radix(line.trim(), 16).ok()
        };
        match (bits("CapPrm:"), bits("CapBnd:")) {
            (Some(permitted), Some(bounding)) => Ok(Self(permitted & bounding & Self::ALL.0)),
            _ => Err(Refusal::internal(format_args!("{STATUS} tells no capabilities"))),
        }
    }

    /// Whether every one of `other` is among these.
    pub fn holds(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and `other`.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These but for `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those that are in both.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Their names, without `CAP_`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().enumerate().filter(move |(at, _)| self.0 >> at & 1 == 1).map(|(_, name)| *name)
    }

    /// As the runtime spec has them.
    pub fn to_spec(self) -> HashSet<Capability> {
        self.names().filter_map(|name| name.parse().ok()).collect()
    }
}

fn bit(name: &str) -> Option<u64> {
    NAMES.iter().position(|known| *known == name).map(|at| 1 << at)
}

impl std::str::FromStr for Capabilities {
    type Err = Refusal;

    /// One by its name, in either case and with or without `CAP_`, or `ALL`.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let name = text.to_ascii_uppercase();
        let name = name.strip_prefix("CAP_").unwrap_or(&name);
        match bit(name) {
            Some(bit) => Ok(Self(bit)),
            None if name == "ALL" => Ok(Self::ALL),
            None => Err(Refusal::bad_value(format_args!("{text:?} is no capability; one is NET_ADMIN, or ALL"))),
        }
    }
}

/// What a client wishes in place of the defaults.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// Capabilities more.
    pub cap_add: Capabilities,
    /// Capabilities less.
    pub cap_drop: Capabilities,
    /// Everything that we may ourselves.
    pub privileged: bool,
    /// User and group ids of its own, in place of the host's.
    pub own_ids: bool,
    /// Setuid programs gain nothing.
    pub no_new_privileges: bool,
    /// Which system calls it may make.
    pub seccomp: Seccomp,
    /// Sysctls of its own namespaces.
    pub sysctls: BTreeMap<String, String>,
}

impl Security {
    /// The capabilities that come of it, where `own` is what can be given.
    pub fn capabilities(&self, own: Capabilities) -> Result<Capabilities, Refusal> {
        if self.privileged {
            return Ok(own);
        }
        let all = Capabilities::ALL;
        // As Docker does: ALL is a place to start from, and single ones are exceptions to it.
        let wished = match (self.cap_add == all, self.cap_drop == all) {
            (true, _) => all.without(self.cap_drop),
            (false, true) => self.cap_add,
            (false, false) => Capabilities::default_set().without(self.cap_drop).with(self.cap_add),
        };
        if self.cap_add != all && !own.holds(self.cap_add) {
            let lacking = self.cap_add.without(own).names().collect::<Vec<_>>().join(",");
            return Err(Refusal::unsupported(format_args!(
                "cap-add={lacking}: the daemon has that capability not itself, and cannot give it"
            )));
        }
        Ok(wished.within(own))
    }
}

/// Sysctls outside `net.` that each container has for itself.
const NAMESPACED: [&str; 9] = [
    "kernel.domainname",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// `NAME=VALUE`, the name being of a namespace that each container has for itself: any other would change the host.
pub fn sysctl(text: &str) -> Result<(String, String), Refusal> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(Refusal::bad_value("a sysctl is NAME=VALUE"));
    };
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let formed = name.split('.').all(|part| !part.is_empty() && part.bytes().all(inner));
    let own = name.starts_with("net.") || name.starts_with("fs.mqueue.") || NAMESPACED.contains(&name);
    match (formed, own) {
        (true, true) => Ok((name.to_owned(), value.to_owned())),
        (true, false) => Err(Refusal::bad_value(format_args!(
            "{name} is the whole host's; a container has net.*, fs.mqueue.*, and of kernel.* those of messages and shared memory for itself"
        ))),
        (false, _) => Err(Refusal::bad_value(format_args!("{name:?} is no sysctl's name, like net.core.somaxconn"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &str) -> Capabilities {
        names.split_whitespace().map(|name| name.parse().unwrap()).fold(Capabilities(0), Capabilities::with)
    }

    #[test]
    fn the_runtime_spec_knows_every_name() {
        assert_eq!(Capabilities::ALL.to_spec().len(), NAMES.len());
        assert_eq!(named("cap_chown NET_ADMIN").to_spec(), HashSet::from([Capability::Chown, Capability::NetAdmin]));
        assert!("CAP_NOPE".parse::<Capabilities>().is_err() && "".parse::<Capabilities>().is_err());
    }

    #[test]
    fn all_is_where_exceptions_start_from() {
        let own = Capabilities::ALL.without(named("SYS_RESOURCE"));
        let got = |add: &str, drop: &str| {
            Security { cap_add: named(add), cap_drop: named(drop), ..Security::default() }.capabilities(own)
        };
        assert_eq!(got("", "").unwrap(), Capabilities::default_set());
        assert_eq!(got("NET_ADMIN", "CHOWN").unwrap().names().count(), 11);
        assert_eq!(got("", "ALL").unwrap().names().count(), 0);
        assert_eq!(got("KILL", "ALL").unwrap(), named("KILL"));
        assert_eq!(got("ALL", "").unwrap(), own);
        assert_eq!(got("ALL", "KILL").unwrap(), own.without(named("KILL")));
        assert!(got("SYS_RESOURCE", "").unwrap_err().message().contains("SYS_RESOURCE"));
    }

    #[test]
    fn a_sysctl_of_the_host_is_refused() {
        for good in ["net.ipv4.ip_forward=1", "kernel.shmmax=1", "fs.mqueue.msg_max=7", "net.x="] {
            assert!(sysctl(good).is_ok(), "{good}");
        }
        for bad in
            ["kernel.panic=1", "vm.swappiness=0", "net", "net.=1", "net.../x=1", "net.a/b=1", "=1", "kernel.hostname=x"]
        {
            assert!(sysctl(bad).is_err(), "{bad}");
        }
    }
}
