//! Memory made short, by a limit of the address space and by that of a cgroup: what runs goes on, nothing new begins, and
//! all is well again afterwards.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::conn::Conn;
use super::harness::{Daemon, Setup};
use super::host;
use super::shell;

/// How often it is made short, and what is refused each time.
const SQUEEZES: usize = 10;
const REFUSALS: usize = 1000;
/// Clients that never read, each worth 256 KiB of output.
const GREEDY: usize = 120;

/// What `info` says of `key`.
fn info(conn: &mut Conn, key: &str) -> String {
    let reply = conn.request("info");
    let at = reply.column("key").iter().position(|found| found == key).expect(key);
    reply.column("value").swap_remove(at)
}

fn metric(conn: &mut Conn, name: &str) -> u64 {
    let reply = conn.request("metrics");
    let lines: Vec<_> = reply.lines.iter().map(|line| line.text()).collect();
    lines.iter().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).expect(name)
}

/// Clients that ask for more than they read, until `memory` is said to be short.
#[track_caller]
fn press(daemon: &Daemon, looker: &mut Conn) -> Vec<UnixStream> {
    let asked = "help run\n".repeat(200);
    let mut greedy: Vec<UnixStream> = Vec::new();
    shell::until(shell::patience(60), "memory is short", || {
        if greedy.len() < GREEDY {
            let stream = UnixStream::connect(daemon.place().socket()).unwrap();
            stream.set_nonblocking(true).unwrap();
            greedy.push(stream);
        }
        // One that was turned away, or takes no more for now, is as good.
        greedy.iter_mut().for_each(|stream| drop(stream.write(asked.as_bytes())));
        info(looker, "memory") == "short"
    });
    greedy
}

/// Makes memory short again and again for a daemon that has an image and a container named `box`.
#[track_caller]
fn squeeze(daemon: &Daemon) {
    let mut conn = daemon.conn();
    conn.ok("run busybox name=ends -- sleep 100000");
    assert_eq!(info(&mut conn, "memory"), "enough");
    let (heap, mut refused) = (info(&mut conn, "heap").parse::<u64>().unwrap(), 0);
    for round in 0..SQUEEZES {
        let greedy = press(daemon, &mut conn);
        for n in 0..REFUSALS {
            let line =
                ["create busybox name=more -- true", "exec box -- true", "image import / more", "start box"][n % 4];
            assert_eq!(conn.refused(line), "out-of-memory", "{round}: {line}");
            refused += 1;
        }
        let stranger = Conn::open(&daemon.place().socket()).unwrap().rest();
        assert!(stranger.starts_with(b"ERR out-of-memory "), "{}", String::from_utf8_lossy(&stranger));
        // What is there is seen, and can be ended.
        conn.ok("ping");
        assert_eq!(conn.ok("ps").column("state")[0], "running");
        if round == 0 {
            conn.ok("stop ends timeout=0");
            conn.ok("rm ends");
        }
        drop(greedy);
        shell::until(shell::patience(60), "there is enough again", || info(&mut conn, "memory") == "enough");
        assert_eq!(conn.ok("exec box -- echo here").written("stdout"), "here\n");
    }
    assert!(metric(&mut conn, "gantry_out_of_memory_total") >= refused && refused == 10_000);
    daemon.ok("run busybox rm=yes attach=yes -- true");
    // There is enough before all who were greedy have been let go of.
    let mut after = 0;
    let given_back = shell::waits(shell::patience(60), || {
        after = info(&mut conn, "heap").parse::<u64>().unwrap();
        after < heap + (1 << 20)
    });
    assert!(given_back, "{heap} bytes before, {after} after");
}

#[test]
fn an_address_space_that_is_full_is_answered() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=box -- sleep 100000");
    leave_little(&daemon);
    squeeze(&daemon);
    daemon.ok("rm box force=yes");
}

/// Leaves it 10 MiB of address space.
#[track_caller]
fn leave_little(daemon: &Daemon) {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("its size");
    let kib: u64 = size.split_whitespace().next().unwrap().parse().unwrap();
    let limit = (kib << 10) + (10 << 20);
    // The soft limit alone: the hard one cannot be raised again everywhere.
    shell::sh(&format!("prlimit --pid {} --as={limit}:", daemon.pid())).succeeds();
}

/// Clients that each ask `lines`, and read nothing.
#[track_caller]
fn deaf(daemon: &Daemon, lines: &str) -> Vec<UnixStream> {
    let ask = |_| {
        let mut stream = UnixStream::connect(daemon.place().socket()).unwrap();
        stream.set_write_timeout(Some(shell::patience(60))).unwrap();
        // One that is turned away is as good.
        let _ = stream.write_all(lines.as_bytes());
        stream
    };
    (0..10).map(ask).collect()
}

#[test]
fn what_is_read_ahead_and_what_no_process_takes_is_bounded() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let logs: String = (0..64).map(|n| format!("@{n} logs box\n")).collect();
    let inputs = (0..63).map(|n| format!("@{n} input e -- {}\n", "x".repeat(60_000)));
    let inputs = "@e exec box stdin=yes -- sleep 100000\n".to_owned() + &inputs.collect::<String>();
    let mut conn = daemon.conn();
    for (nth, lines) in [logs, inputs].iter().enumerate() {
        conn.ok("run busybox name=box -- sh -c 'seq 100000; echo all; exec sleep 100000'");
        shell::until(shell::patience(60), "it has written", || conn.ok("logs box tail=1").logs() == ["stdout all"]);
        if nth == 0 {
            leave_little(&daemon);
        }
        let deaf = deaf(&daemon, lines);
        // Asked behind them, and answered in their turn.
        for _ in 0..50 {
            assert!(["OK", "ERR"].contains(&conn.request("logs box tail=1").end.head.as_str()));
        }
        drop(deaf);
        conn.ok("rm box force=yes");
        shell::until(shell::patience(60), "there is enough again", || info(&mut conn, "memory") == "enough");
    }
}

#[test]
fn a_cgroup_that_is_full_is_never_filled() {
    let cgroup = Cgroup::of_memory(48 << 20);
    let procs = Some(cgroup.0.join("cgroup.procs"));
    let daemon = Setup { cgroup: procs, ..Setup::default() }.start();
    daemon.import_busybox();
    daemon.ok("run busybox name=box -- sleep 100000");
    squeeze(&daemon);
    daemon.ok("rm box force=yes");
    drop(daemon);
}

#[test]
fn tools_are_not_counted_against_the_daemons_own_limit() {
    let cgroup = Cgroup::of_memory(48 << 20);
    let procs = cgroup.0.join("cgroup.procs");
    let mut daemon = Setup { cgroup: Some(procs.clone()), ..Setup::default() }.start();
    daemon.import_busybox();
    let parts = |daemon: &Daemon| {
        let init = daemon.ok("run busybox name=box -- sleep 100000").get("pid").parse().unwrap();
        let conmon = parent(init);
        daemon.ok("exec box -- true");
        (memory_cgroup(conmon), memory_cgroup(init))
    };
    let apart = format!("/gantry-{}/helpers", daemon.place().bridge());
    let (conmon, init) = parts(&daemon);
    assert_eq!(conmon, apart);
    assert!(init != apart && init.starts_with("/gantry-"), "{init}");
    assert_eq!(fs::read_to_string(&procs).unwrap().trim(), daemon.pid().to_string(), "what lives with the daemon");
    daemon.kill();
    daemon.restart();
    assert_eq!(parts(&daemon).0, apart);
}

/// Whose child a process is: field 4 of `/proc/PID/stat`.
#[track_caller]
fn parent(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let behind_name = stat.rsplit(')').next().unwrap();
    behind_name.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The cgroup that counts the memory of a process.
#[track_caller]
fn memory_cgroup(pid: i32) -> String {
    let lines = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let of_memory = |line: &str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == "memory").then(|| path.to_owned())
    };
    let unified = || lines.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned);
    lines.lines().find_map(of_memory).or_else(unified).expect("a cgroup")
}

/// A cgroup with a limit of memory.
struct Cgroup(PathBuf);

impl Cgroup {
    #[track_caller]
    fn of_memory(limit: u64) -> Self {
        let v1 = host::hierarchies().into_iter().find(|dir| dir.ends_with("memory"));
        let file = if v1.is_some() { "memory.limit_in_bytes" } else { "memory.max" };
        let root = v1.unwrap_or_else(|| "/sys/fs/cgroup".into());
        static NTH: AtomicUsize = AtomicUsize::new(0);
        let dir = root.join(format!("gantry-squeeze-{}-{}", std::process::id(), NTH.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(file), limit.to_string()).unwrap();
        Self(dir)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The kernel may count a process for a moment longer than it is one.
        let gone = shell::waits(shell::patience(60), || fs::remove_dir(&self.0).is_ok());
        assert!(gone || std::thread::panicking(), "{} stays", self.0.display());
    }
}
