//! Control groups: where the host keeps them (v1, v2 or both), and what they say of a container. Making them is crun's.
//!
//! Sources: kernel `Documentation/admin-guide/cgroup-v1/` and `cgroup-v2.rst`.

pub mod freezer;
pub mod helpers;
pub mod limits;
mod own;
mod ready;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The controllers that limits and figures of a container are of.
const WANTED: [&str; 3] = ["cpu", "memory", "pids"];

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    /// The controllers of a v1 hierarchy; none for v2.
    controllers: Option<Vec<String>>,
}

/// The hierarchies of this host, as the daemon's mount namespace shows them.
#[derive(Debug, Clone, Default)]
pub struct Cgroups {
    hierarchies: Vec<Hierarchy>,
}

/// What a container uses, read in one go. What the host does not account is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Memory in bytes, without the page cache that can be dropped at once.
    pub memory: Option<u64>,
    /// That page cache, in bytes: `inactive_file`.
    pub cache: Option<u64>,
    /// The limit in bytes, where there is one.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Bytes read from block devices.
    pub block_read: Option<u64>,
    /// Bytes written to block devices.
    pub block_write: Option<u64>,
}

impl Cgroups {
    /// Reads the mount table.
    pub fn discover() -> io::Result<Self> {
        Ok(Self::from_mountinfo(&fs::read_to_string("/proc/self/mountinfo")?))
    }

    fn from_mountinfo(mountinfo: &str) -> Self {
        Self { hierarchies: mountinfo.lines().filter_map(hierarchy).collect() }
    }

    /// Whether it is v2 that has the controllers.
    pub fn is_v2(&self) -> bool {
        self.hierarchies.iter().any(|h| h.controllers.is_none()) && self.v1("memory").is_none()
    }

    /// Whether v1 and v2 are both mounted, and v2 still holds a controller: crun refuses such a host.
    pub fn hybrid_leftover(&self) -> Option<String> {
        self.v1("memory")?;
        let unified = self.hierarchies.iter().find(|h| h.controllers.is_none())?;
        let left = fs::read_to_string(unified.mount.join("cgroup.controllers")).ok()?;
        (!left.trim().is_empty()).then(|| left.trim().to_owned())
    }

    /// Where v2 is mounted beside v1 hierarchies.
    pub fn hybrid_mount(&self) -> Option<&Path> {
        self.v1("memory")?;
        self.hierarchies.iter().find(|h| h.controllers.is_none()).map(|h| h.mount.as_path())
    }

    /// Which of the controllers that containers are limited by this host does not have.
    pub fn missing(&self) -> Vec<&'static str> {
        let unified = self.hierarchies.iter().find(|h| h.controllers.is_none());
        let list = unified.and_then(|h| fs::read_to_string(h.mount.join("cgroup.controllers")).ok());
        let list = list.unwrap_or_default();
        WANTED
            .into_iter()
            .filter(|name| self.v1(name).is_none() && !list.split_whitespace().any(|c| c == *name))
            .collect()
    }

    fn v1(&self, controller: &str) -> Option<&Hierarchy> {
        self.hierarchies
            .iter()
            .find(|h| h.controllers.as_ref().is_some_and(|c| c.iter().any(|name| name == controller)))
    }

    /// The directory of `cgroup` in the v1 hierarchy of `controller`, else in the v2 one.
    fn dir(&self, controller: &str, cgroup: &str) -> Option<(PathBuf, bool)> {
        let relative = cgroup.trim_start_matches('/');
        if let Some(hierarchy) = self.v1(controller) {
            return Some((hierarchy.mount.join(relative), true));
        }
        let unified = self.hierarchies.iter().find(|h| h.controllers.is_none())?;
        Some((unified.mount.join(relative), false))
    }

    /// Whether the kernel's OOM killer has ended a process of `cgroup`. To be asked before the cgroup is removed.
    pub fn oom_killed(&self, cgroup: &str) -> bool {
        self.oom_kills(cgroup) > 0
    }

    /// How many processes of `cgroup` it has ended.
    pub fn oom_kills(&self, cgroup: &str) -> u64 {
        let Some((dir, v1)) = self.dir("memory", cgroup) else { return 0 };
        let file = if v1 { "memory.oom_control" } else { "memory.events" };
        keyed(&dir.join(file), "oom_kill").unwrap_or(0)
    }

    /// What `cgroup` uses now.
    pub fn usage(&self, cgroup: &str) -> Usage {
        let mut usage = Usage::default();
        if let Some((dir, v1)) = self.dir("memory", cgroup) {
            let used = if v1 { "memory.usage_in_bytes" } else { "memory.current" };
            usage.cache = keyed(&dir.join("memory.stat"), if v1 { "total_inactive_file" } else { "inactive_file" });
            usage.memory = number(&dir.join(used)).map(|bytes| bytes.saturating_sub(usage.cache.unwrap_or(0)));
            usage.memory_limit = memory_limit(&dir, v1);
        }
        if let Some((dir, v1)) = self.dir("cpuacct", cgroup) {
            usage.cpu_ns = match v1 {
                true => number(&dir.join("cpuacct.usage")),
                false => keyed(&dir.join("cpu.stat"), "usage_usec").map(|us| us * 1000),
            };
        }
        usage.pids = self.dir("pids", cgroup).and_then(|(dir, _)| number(&dir.join("pids.current")));
        if let Some((dir, v1)) = self.dir("blkio", cgroup) {
            let file = dir.join(if v1 { "blkio.throttle.io_service_bytes_recursive" } else { "io.stat" });
            (usage.block_read, usage.block_write) = block_io(&file, v1);
        }
        usage
    }

    /// Every process in `cgroup` and below.
    pub fn processes(&self, cgroup: &str) -> Vec<i32> {
        let Some((dir, _)) = self.dir("pids", cgroup) else { return Vec::new() };
        let mut pids = Vec::new();
        for dir in tree(&dir) {
            let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            pids.extend(text.lines().filter_map(|pid| pid.parse::<i32>().ok()));
        }
        pids
    }

    /// Removes `cgroup` and what is below it from every hierarchy. One that is not there is no error.
    pub fn remove(&self, cgroup: &str) -> io::Result<()> {
        let relative = cgroup.trim_start_matches('/');
        let mut result = Ok(());
        for hierarchy in &self.hierarchies {
            for dir in tree(&hierarchy.mount.join(relative)).iter().rev() {
                match fs::remove_dir(dir) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => result = Err(e),
                    _ => {}
                }
            }
        }
        result
    }

    /// The cgroups right below `cgroup`, by name, in any hierarchy.
    pub fn children(&self, cgroup: &str) -> Vec<String> {
        let relative = cgroup.trim_start_matches('/');
        let mut names: Vec<String> = self
            .hierarchies
            .iter()
            .flat_map(|h| subdirectories(&h.mount.join(relative)))
            .filter_map(|dir| Some(dir.file_name()?.to_str()?.to_owned()))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// The limit of memory of the cgroup at `dir`, in bytes. v1 says "no limit" as a huge number, v2 as "max".
fn memory_limit(dir: &Path, v1: bool) -> Option<u64> {
    let file = if v1 { "memory.limit_in_bytes" } else { "memory.max" };
    number(&dir.join(file)).filter(|bytes| *bytes < 1 << 60)
}

/// A hierarchy, where the line of mountinfo (proc(5)) is one of a cgroup filesystem.
fn hierarchy(line: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mount = PathBuf::from(left.split(' ').nth(4)?);
    let mut right = right.split(' ');
    match right.next()? {
        "cgroup2" => Some(Hierarchy { mount, controllers: None }),
        "cgroup" => Some(Hierarchy { mount, controllers: Some(right.nth(1)?.split(',').map(str::to_owned).collect()) }),
        _ => None,
    }
}

/// A directory and all below it, parents first.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = if dir.is_dir() { vec![dir.to_owned()] } else { Vec::new() };
    let mut at = 0;
    while let Some(dir) = found.get(at) {
        let below = subdirectories(dir);
        found.extend(below);
        at += 1;
    }
    found
}

fn subdirectories(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The number behind `key` in a file of `key number` lines.
fn keyed(file: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().filter_map(|line| line.split_once(' ')).find(|(k, _)| *k == key)?.1.trim().parse().ok()
}

/// Bytes read and written over all devices: v1 has lines `8:0 Read 4096`, v2 `8:0 rbytes=4096 wbytes=0 …`.
fn block_io(file: &Path, v1: bool) -> (Option<u64>, Option<u64>) {
    let Ok(text) = fs::read_to_string(file) else { return (None, None) };
    let sum = |of: &dyn Fn(&str) -> Option<u64>| Some(text.lines().filter_map(of).sum());
    let v1_line = |kind: &'static str| move |line: &str| line.split_once(kind).and_then(|(_, n)| n.trim().parse().ok());
    let v2_line =
        |key: &'static str| move |line: &str| line.split(' ').find_map(|word| word.strip_prefix(key)?.parse().ok());
    if v1 {
        (sum(&v1_line(" Read ")), sum(&v1_line(" Write ")))
    } else {
        (sum(&v2_line("rbytes=")), sum(&v2_line("wbytes=")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "31 24 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n\
        33 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        34 24 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        35 24 0:30 / /proc rw - proc proc rw\n";

    #[test]
    fn the_mount_table_tells_the_version() {
        let hybrid = Cgroups::from_mountinfo(HYBRID);
        assert!(!hybrid.is_v2());
        assert_eq!(hybrid.hybrid_mount(), Some(Path::new("/sys/fs/cgroup/unified")));
        let elsewhere = HYBRID.replace("/sys/fs/cgroup/unified", "/nowhere");
        assert_eq!(Cgroups::from_mountinfo(&elsewhere).missing(), ["pids"]);
        assert_eq!(hybrid.dir("cpuacct", "/a/b"), Some(("/sys/fs/cgroup/cpu,cpuacct/a/b".into(), true)));
        let v2 = Cgroups::from_mountinfo("31 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n");
        assert!(v2.is_v2() && v2.hybrid_mount().is_none());
        assert_eq!(v2.dir("memory", "a"), Some(("/sys/fs/cgroup/a".into(), false)));
    }

    #[test]
    fn files_of_either_version_are_read() {
        let dir = std::env::temp_dir().join(format!("gantry-cgroup-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("v1"), "8:0 Read 10\n8:0 Write 5\n8:16 Read 1\nTotal 16\n").unwrap();
        fs::write(dir.join("v2"), "8:0 rbytes=7 wbytes=9 rios=1\n8:16 rbytes=1 wbytes=0\n").unwrap();
        fs::write(dir.join("events"), "low 0\noom 3\noom_kill 2\n").unwrap();
        assert_eq!(block_io(&dir.join("v1"), true), (Some(11), Some(5)));
        assert_eq!(block_io(&dir.join("v2"), false), (Some(8), Some(9)));
        assert_eq!(keyed(&dir.join("events"), "oom_kill"), Some(2));
        fs::remove_dir_all(&dir).unwrap();
    }
}
