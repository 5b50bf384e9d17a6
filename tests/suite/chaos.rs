//! Chance: clients that ask for anything, processes that are killed, tools that fail, and a daemon that is killed in the middle
//! of it and started again. Whatever happens, nothing is lost that was to be kept, and nothing is left that was not.
//!
//! The seed is told; `GANTRY_SEED` gives another. `GANTRY_KILLS` says how often the daemon is killed under load, and
//! `GANTRY_CHAOS` for how many seconds all of it goes on: a few for everyday, hundreds by hand.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::harness::{Daemon, Setup};
use super::host;
use super::shell::{self, patience, until};

/// How many clients ask at once.
const CLIENTS: u64 = 3;
/// What they ask for; NAME is one of a few.
const LINES: &[&str] = &[
    "run busybox name=NAME publish=80 volume=kept:/kept -- sleep 1000",
    "run busybox name=NAME -- sleep 1000",
    "run busybox name=NAME restart=always -- sh -c 'sleep 0.1; exit 3'",
    "run busybox name=NAME attach=yes rm=yes -- sh -c 'echo out; exit 3'",
    "create busybox name=NAME network=bridge network=back -- sleep 1000",
    "start NAME",
    "stop NAME timeout=0",
    "restart NAME timeout=0",
    "kill NAME",
    "pause NAME",
    "resume NAME",
    "rm NAME force=yes",
    "exec NAME -- echo out",
    "logs NAME",
    "inspect NAME",
    "ps",
    "network create back",
    "network connect back NAME",
    "network disconnect back NAME",
    "network rm back",
    "image tag busybox NAME",
    "image rm NAME",
    "volume create NAME",
    "volume rm NAME",
];
const NAMES: [&str; 4] = ["one", "two", "three", "four"];

/// Numbers by chance: xorshift64* of Marsaglia and Vigna.
struct Chance(u64);

impl Chance {
    /// Of the seed that the environment gives, or of one that is told.
    fn of(test: &str) -> Self {
        let given = std::env::var("GANTRY_SEED").ok().map(|seed| seed.parse().expect("GANTRY_SEED is a number"));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = given.unwrap_or(now % 1_000_000_007).max(1);
        eprintln!("{test}: GANTRY_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    fn of_these<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.below(all.len() as u64) as usize) }
    }
}

/// Asks one line of a daemon that may die meanwhile; its final line, if there was one.
fn ask(socket: &Path, line: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(patience(120))).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).ok()?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut bytes = Vec::new();
        match lines.read_until(b'\n', &mut bytes) {
            // Torn or not there: the daemon has died.
            Ok(_) if bytes.last() != Some(&b'\n') => return None,
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("{line}: no answer"),
            Err(_) => return None,
        }
        if bytes.starts_with(b"OK") || bytes.starts_with(b"ERR") {
            return Some(String::from_utf8_lossy(&bytes).trim_end().to_owned());
        }
    }
}

/// Clients ask for anything until `meanwhile` is over.
fn under_load(daemon: &Daemon, chance: &mut Chance, meanwhile: impl FnOnce(&mut Chance)) {
    let (socket, over) = (daemon.place().socket(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let (mut chance, socket, over) = (Chance(chance.below(u64::MAX >> 1).max(1)), &socket, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let line = chance.of_these(LINES).unwrap().replace("NAME", chance.of_these(&NAMES).unwrap());
                    let told = ask(socket, &line);
                    let code = told.as_deref().and_then(|told| told.strip_prefix("ERR ")?.split(' ').next());
                    let known = |code: &str| gantry::refusal::Code::ALL.iter().any(|known| known.as_str() == code);
                    assert!(code.is_none_or(known), "{line}: {told:?}");
                }
            });
        }
        meanwhile(chance);
        over.store(true, Ordering::Relaxed);
    });
}

/// A moment by chance, of a second at most.
fn moment(chance: &mut Chance) {
    std::thread::sleep(Duration::from_millis(chance.below(1000)));
}

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

/// What is to be kept is there and whole, and nothing else runs.
#[track_caller]
fn assert_kept(daemon: &Daemon) {
    let mut conn = daemon.conn();
    assert_eq!(conn.ok("ps").get("count"), "0");
    assert!(conn.ok("image ls").column("name").contains(&"localhost/busybox:latest".to_owned()));
    assert_eq!(conn.ok("image verify busybox").get("failed"), "0");
    assert!(conn.ok("volume ls").column("name").contains(&"kept".to_owned()));
    let kept = conn.ok("run busybox attach=yes rm=yes volume=kept:/kept -- cat /kept/file");
    assert_eq!(kept.logs(), ["stdout kept"]);
    let others = || {
        let pids = host::pids(daemon.place());
        pids.into_iter().filter(|pid| *pid != daemon.pid() as i32).collect::<Vec<_>>()
    };
    until(patience(60), "nothing of the dead run runs", || others().is_empty());
}

fn with_a_volume(daemon: &Daemon) {
    daemon.import_busybox();
    daemon.ok("run busybox attach=yes rm=yes volume=kept:/kept -- sh -c 'echo kept >/kept/file'");
}

#[test]
fn killed_under_load_it_loses_nothing() {
    let (mut chance, mut daemon) = (Chance::of("killed_under_load_it_loses_nothing"), Daemon::start());
    with_a_volume(&daemon);
    for _ in 0..number("GANTRY_KILLS", 8) {
        under_load(&daemon, &mut chance, |chance| {
            moment(chance);
            daemon.signal(Signal::SIGKILL);
        });
        daemon.wait();
        daemon.restart();
        assert_kept(&daemon);
    }
}

/// Tools of which each fails now and then, for as long as a file is there.
fn failing_tools(dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    for tool in ["crun", "conmon", "skopeo", "umoci", "nft"] {
        let real = shell::sh(&format!("PATH=$PATH:/usr/sbin:/sbin command -v {tool}")).succeeds();
        let script = format!(
            "#!/bin/sh\n\
             if [ -e {}/fail ] && [ $(($(od -An -N2 -tu2 /dev/urandom) % 12)) = 0 ]; then\n\
             echo 'failed by chance' >&2; exit 1; fi\nexec {} \"$@\"\n",
            dir.display(),
            real.trim()
        );
        shell::program(&dir.join(tool), &script);
    }
}

/// Kills one of the daemon's children: a conmon, a tool, a container that has lost its conmon; or one of a container.
fn kill_one(daemon: &Daemon, chance: &mut Chance) {
    let pids: Vec<i32> = host::pids(daemon.place()).into_iter().filter(|pid| *pid != daemon.pid() as i32).collect();
    if let Some(pid) = chance.of_these(&pids) {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
}

/// What must hold at any time.
#[track_caller]
fn assert_legal(daemon: &Daemon) {
    let rows = daemon.ok("ps");
    let distinct = |column: &str| {
        let all = rows.column(column).into_iter().filter(|value| !value.is_empty());
        let all: Vec<String> = all.flat_map(|value| value.split(',').map(str::to_owned).collect::<Vec<_>>()).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{column}: {rows:?}");
    };
    ["name", "id", "pid", "ip"].into_iter().for_each(distinct);
    let states = ["created", "running", "paused", "stopping", "exited"];
    assert!(rows.column("state").iter().all(|state| states.contains(&state.as_str())), "{rows:?}");
}

#[test]
fn whatever_happens_it_stays_whole() {
    let mut chance = Chance::of("whatever_happens_it_stays_whole");
    let dir: PathBuf = std::env::temp_dir().join(format!("gantry-chaos-{}", std::process::id()));
    failing_tools(&dir);
    let mut daemon = Setup { tools: Some(dir.clone()), ..Setup::default() }.start();
    with_a_volume(&daemon);
    let end = Instant::now() + Duration::from_secs(number("GANTRY_CHAOS", 12));
    while Instant::now() < end {
        std::fs::write(dir.join("fail"), "").unwrap();
        under_load(&daemon, &mut chance, |chance| {
            for _ in 0..chance.below(6) {
                moment(chance);
                kill_one(&daemon, chance);
            }
        });
        std::fs::remove_file(dir.join("fail")).unwrap();
        assert_legal(&daemon);
        if chance.below(3) == 0 {
            daemon.kill();
            daemon.restart();
            assert_kept(&daemon);
        }
    }
    // What a tool that failed has left on record is the next start's to sweep.
    daemon.kill();
    daemon.restart();
    assert_kept(&daemon);
    drop(daemon);
    std::fs::remove_dir_all(dir).unwrap();
}
