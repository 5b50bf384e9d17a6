//! What one more client bears while a flood goes on, and what the daemon takes before it, in it and after it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use super::daemon::Daemon;
use super::floods::{FLOODS, Flood, Running};
use super::player::{Outcome, Script, Usage, play};

/// What all but one of a hundred requests of one more client may take at most.
const BUDGET: Duration = Duration::from_millis(50);
/// How long that client rests between two requests.
const THINK: Duration = Duration::from_millis(2);
/// How often the daemon is looked at.
const LOOKS: Duration = Duration::from_millis(250);
/// How long the daemon has to let go of all who hung up, and how long it rests before the last look.
const PATIENCE: Duration = Duration::from_secs(30);
const REST: Duration = Duration::from_secs(1);

/// Has each flood of these names, or every one, come over a daemon of its own. Tells how many budgets were exceeded.
pub fn all(names: &[String], dir: &Path, rootfs: &Path) -> usize {
    if let Some(unknown) = names.iter().find(|name| FLOODS.iter().all(|flood| flood.name != **name)) {
        panic!("{unknown}: no such flood");
    }
    let lasting = Duration::from_secs(std::env::var("FLOOD_SECONDS").map_or(5, |text| text.parse().unwrap()));
    let wanted = FLOODS.iter().filter(|flood| names.is_empty() || names.iter().any(|name| name == flood.name));
    let (ping, ps) = ("ping on a new connection", "ps on one that stays");
    println!("one more client:  {:>9}{:>9}{ping:^30}{ps:^30}{:^23}   {:^17}", "", "", "PSS in KiB", "descriptors");
    let times = format!("{:>6}{:>8}{:>8}{:>8}", "times", "p50", "p99", "most");
    let usage =
        (format!("{:>7}{:>8}{:>8}", "before", "peak", "after"), format!("{:>7}{:>6}{:>6}", "before", "peak", "after"));
    println!("  {:<12}{:>8}{:>12}{times}{times} ms{}{}", "flood", "clients", "lines/s", usage.0, usage.1);
    std::iter::once(None).chain(wanted.map(Some)).map(|flood| one(flood, lasting, dir, rootfs)).sum()
}

/// One flood, or the same measured without any. Tells how many budgets it exceeded.
fn one(flood: Option<&Flood>, lasting: Duration, dir: &Path, rootfs: &Path) -> usize {
    let daemon = Daemon::start(dir, rootfs);
    let say = |lines: &str| play(&Script::parse(lines).unwrap(), &daemon.socket, daemon.pid()).unwrap();
    say("#: before\nrun busybox name=box -- sleep 100000");
    let before = Usage::of(daemon.pid()).unwrap();
    let running = flood.map(|flood| flood.begin(&daemon.socket, flood.clients).unwrap());
    let so_far =
        |running: &Option<Running>| running.as_ref().map_or(0, |running| running.tally.lines.load(Ordering::Relaxed));
    let lines = so_far(&running);
    let seen = Seen::of(&daemon, lasting);
    let lines = (so_far(&running) - lines) as f64 / lasting.as_secs_f64();
    let ended = running.as_ref().map_or(0, |running| running.tally.ended.load(Ordering::Relaxed));
    drop(running);
    let after = settled(&daemon, before);
    say("#: before\nrm box force=yes");

    let (name, clients) = flood.map_or(("none", 0), |flood| (flood.name, flood.clients));
    print!("  {name:<12}{clients:>8}{lines:>12.0}{}{}   ", shown(&seen.pings), shown(&seen.lists));
    let kib = [before, seen.peak, after].map(|usage| usage.pss / 1024);
    print!("{:>7}{:>8}{:>8}", kib[0], kib[1], kib[2]);
    println!("{:>7}{:>6}{:>6}", before.fds, seen.peak.fds, after.fds);
    if let Some(flood) = flood {
        println!("    {}", flood.about);
    }
    let slowest = [&seen.pings, &seen.lists].map(|times| Outcome::at(times, 99));
    let over = [
        (ended > 0).then(|| format!("{ended} clients were hung up on")),
        slowest.iter().any(|most| *most > BUDGET).then(|| format!("p99 {slowest:?}, {BUDGET:?} at most")),
        (after.fds > before.fds).then(|| format!("{} descriptors are left", after.fds - before.fds)),
    ];
    over.iter().flatten().for_each(|what| println!("  OVER BUDGET: {what}"));
    over.iter().flatten().count()
}

fn shown(times: &[Duration]) -> String {
    let ms = |percent| Outcome::at(times, percent).as_secs_f64() * 1000.0;
    format!("{:>6}{:>8.2}{:>8.2}{:>8.2}", times.len(), ms(50), ms(99), ms(100))
}

/// What one more client saw, in order of size, and the most that the daemon took meanwhile.
struct Seen {
    pings: Vec<Duration>,
    lists: Vec<Duration>,
    peak: Usage,
}

impl Seen {
    fn of(daemon: &Daemon, lasting: Duration) -> Self {
        let (enough, socket) = (AtomicBool::new(false), daemon.socket.as_path());
        let mut peak = Usage::of(daemon.pid()).unwrap();
        let mut standing = UnixStream::connect(socket).unwrap();
        scope(|scope| {
            let pings = scope.spawn(|| timed(&enough, || ask(&mut UnixStream::connect(socket).unwrap(), "ping\n")));
            let lists = scope.spawn(|| timed(&enough, || ask(&mut standing, "ps\n")));
            let end = Instant::now() + lasting;
            while Instant::now() < end {
                sleep(LOOKS);
                let now = Usage::of(daemon.pid()).unwrap();
                peak = Usage { pss: peak.pss.max(now.pss), fds: peak.fds.max(now.fds), cpu: now.cpu };
            }
            enough.store(true, Ordering::Relaxed);
            Self { pings: pings.join().unwrap(), lists: lists.join().unwrap(), peak }
        })
    }
}

/// How long each of many turns took, in order of size.
fn timed(enough: &AtomicBool, mut turn: impl FnMut()) -> Vec<Duration> {
    let mut times = Vec::new();
    while !enough.load(Ordering::Relaxed) {
        let began = Instant::now();
        turn();
        times.push(began.elapsed());
        sleep(THINK);
    }
    times.sort();
    times
}

/// One request, to its final line.
fn ask(stream: &mut UnixStream, request: &str) {
    stream.write_all(request.as_bytes()).unwrap();
    let lines = BufReader::new(stream).lines();
    let last = lines.map(Result::unwrap).find(|line| line.starts_with("OK") || line.starts_with("ERR"));
    assert!(last.as_ref().is_some_and(|line| line.starts_with("OK")), "{request}: {last:?}");
}

/// What the daemon takes when all who hung up are gone, as far as they go in time.
fn settled(daemon: &Daemon, before: Usage) -> Usage {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && Usage::of(daemon.pid()).unwrap().fds > before.fds {
        sleep(LOOKS);
    }
    sleep(REST);
    Usage::of(daemon.pid()).unwrap()
}
