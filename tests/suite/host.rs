//! What a daemon can leave behind on the host, found by its names alone: so that it holds for any way of making it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::place::Place;
use super::shell;

/// Everything on the host that is of the daemon at `place`, one line each. None once it has left.
pub fn leftovers(place: &Place) -> Vec<String> {
    let parts: [fn(&Place) -> Vec<String>; 6] = [processes, mounts, links, tables, cgroups, files];
    parts.iter().flat_map(|part| part(place)).collect()
}

/// Processes that name the daemon's directory or bridge in their arguments, or that are in its cgroup.
pub fn processes(place: &Place) -> Vec<String> {
    let describe = |pid: &i32| format!("process {pid}: {}", cmdline(*pid).replace('\0', " "));
    pids(place).iter().map(describe).collect()
}

/// The same as pids.
pub fn pids(place: &Place) -> Vec<i32> {
    let (dir, cgroup) = (place.dir(), format!("/{}", place.cgroup()));
    let dir = dir.to_string_lossy();
    let ours = |pid: &i32| {
        let in_cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(&cgroup));
        // A zombie is its parent's to reap; the look at the daemon's own children is elsewhere.
        (in_cgroup || cmdline(*pid).contains(&*dir)) && state(*pid).is_some_and(|state| state != 'Z')
    };
    all_pids().filter(ours).collect()
}

fn all_pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn cmdline(pid: i32) -> String {
    fs::read(format!("/proc/{pid}/cmdline"))
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// The state of a process as `/proc/PID/stat` has it: the first field behind the name in parentheses.
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The children of a process, zombies too, one line each.
pub fn children(pid: u32) -> Vec<String> {
    let tasks =
        fs::read_dir(format!("/proc/{pid}/task")).map(|tasks| tasks.flatten().collect()).unwrap_or_else(|_| vec![]);
    let lists = tasks.iter().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<i32> =
        lists.flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect();
    pids.iter().map(|pid| format!("child {pid} ({:?}): {}", state(*pid), cmdline(*pid).replace('\0', " "))).collect()
}

/// The names of a process's threads.
pub fn threads(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let name = |task: fs::DirEntry| Some(fs::read_to_string(task.path().join("comm")).ok()?.trim_end().to_owned());
    tasks.filter_map(name).collect()
}

/// The open descriptors of a process, one line each, without the numbers that tell two sockets apart.
pub fn descriptors(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let kind = |to: PathBuf| {
        to.to_string_lossy().split_once(":[").map_or(to.display().to_string(), |(kind, _)| kind.to_owned())
    };
    let line = |entry: fs::DirEntry| fs::read_link(entry.path()).map(kind);
    let mut lines: Vec<String> = entries.filter_map(|entry| line(entry).ok()).collect();
    lines.sort();
    lines
}

/// How many files each inotify instance of a process watches.
pub fn watched(pid: u32) -> Vec<usize> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let instances =
        entries.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().contains("inotify")));
    let info = |entry: fs::DirEntry| {
        fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", entry.file_name().to_string_lossy())).unwrap_or_default()
    };
    // A copy of a descriptor shows the same watches.
    let distinct: std::collections::BTreeSet<String> = instances.map(info).collect();
    distinct.iter().map(|info| info.lines().filter(|line| line.starts_with("inotify wd:")).count()).collect()
}

fn mounts(place: &Place) -> Vec<String> {
    let dir = format!(" {}/", place.dir().display());
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    table.lines().filter(|line| line.contains(&dir)).map(|line| format!("mount {line}")).collect()
}

fn links(place: &Place) -> Vec<String> {
    let bridge = place.bridge();
    let entries = fs::read_dir("/sys/class/net").expect("/sys/class/net").flatten();
    let word = format!("bridge={bridge}");
    let ours = |name: &String, at: &Path| {
        // The alias of another daemon's bridge may tell of ours what it has found of it.
        let alias = fs::read_to_string(at.join("ifalias")).unwrap_or_default();
        name.contains(&bridge) || alias.split_whitespace().any(|said| said == word)
    };
    let named = entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
    named.filter(|(name, at)| ours(name, at)).map(|(name, _)| format!("link {name}")).collect()
}

fn tables(place: &Place) -> Vec<String> {
    let bridge = place.bridge();
    let list = shell::sh("nft list tables").succeeds();
    list.lines().filter(|line| line.split(' ').any(|word| word == bridge)).map(|line| format!("nft {line}")).collect()
}

fn cgroups(place: &Place) -> Vec<String> {
    let paths = hierarchies().into_iter().map(|mount| mount.join(place.cgroup()));
    paths.filter(|path| path.exists()).map(|path| format!("cgroup {}", path.display())).collect()
}

/// Where cgroup hierarchies are mounted, of either version.
pub fn hierarchies() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let of_cgroups = |line: &&str| line.split_once(" - ").is_some_and(|(_, rest)| rest.starts_with("cgroup"));
    table.lines().filter(of_cgroups).filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

/// Nothing stays in the run directory, and no container in the root.
fn files(place: &Place) -> Vec<String> {
    let entries = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let left = entries(place.run()).chain(entries(place.root().join("containers")));
    left.map(|path| format!("file {}", path.display())).collect()
}

/// Takes away what a test that failed has left, so that it disturbs no other: this host is used again and again.
pub fn clear(place: &Place) {
    for pid in pids(place) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
    shell::waits(shell::patience(10), || pids(place).is_empty());
    let (dir, bridge) = (place.dir(), place.bridge());
    let links = format!("for l in $(ls /sys/class/net | grep '^{bridge}'); do ip link del $l; done");
    let mounts = format!(
        "for m in $(awk '{{print $5}}' /proc/self/mountinfo | grep '^{}/'); do umount -l $m; done",
        dir.display()
    );
    let _ = shell::sh(&format!(
        "set +e; {links}; nft delete table inet {bridge}; nft delete table bridge {bridge}; {mounts}"
    ));
    for hierarchy in hierarchies() {
        remove_cgroup(&hierarchy.join(place.cgroup()));
    }
    let _ = fs::remove_dir_all(dir);
}

fn remove_cgroup(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        remove_cgroup(&entry.path());
    }
    let _ = fs::remove_dir(path);
}

#[test]
fn what_is_left_is_found() {
    let place = Place::claim();
    let (dir, bridge) = (place.dir(), place.bridge());
    assert_eq!(leftovers(&place), Vec::<String>::new());
    let mut sleeper = Command::new("sleep").arg0(dir.join("x")).arg("100").spawn().unwrap();
    fs::create_dir_all(place.run().join("m")).unwrap();
    let hierarchy = hierarchies().into_iter().next().expect("a cgroup hierarchy");
    let cgroup = hierarchy.join(place.cgroup());
    fs::create_dir(&cgroup).unwrap();
    let run = place.run();
    shell::sh(&format!(
        "mount -t tmpfs none {0}/m; ip link add {bridge}x type dummy || ip link add {bridge}x type bridge; nft add table inet {bridge}",
        run.display()
    ))
    .succeeds();
    let found = leftovers(&place);
    std::thread::scope(|scope| {
        // Reaps it when it is killed: a zombie of ours is not the daemon's.
        scope.spawn(|| sleeper.wait());
        clear(&place);
    });
    for kind in ["process ", "mount ", "link ", "nft ", "cgroup ", "file "] {
        assert!(found.iter().any(|line| line.starts_with(kind)), "{kind}not in {found:#?}");
    }
    assert_eq!(leftovers(&place), Vec::<String>::new());
    assert!(!dir.exists());
}
