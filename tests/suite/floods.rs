//! Floods: whatever thousands of clients do, one more is answered, memory keeps within a bound and comes back, and nobody is
//! hung up on. How soon is for `make floods` to say.

use std::sync::atomic::Ordering::Relaxed;

use super::conn::Conn;
use super::deluge::{FLOODS, Flood, Running};
use super::harness::Daemon;
use super::shell::{patience, until};

/// Every flood: of how many clients here, how many lines it is to come to at least, and how many MiB of the heap it may
/// take. What waits to be written is 32 MiB for all and what was sent and is not done as much; a buffer that grows may be
/// twice what is in it.
const BORNE: [(&str, usize, u64, u64); 10] = [
    ("crowd", 5000, 5000, 48),
    ("listers", 1000, 2000, 24),
    ("stampede", 100, 500, 8),
    ("pipeline", 4, 50_000, 8),
    ("deaf", 150, 0, 96),
    ("slow", 100, 5000, 96),
    ("torn", 2000, 2000, 96),
    ("half-closed", 2000, 4000, 32),
    ("long-lines", 50, 100, 24),
    ("events", 104, 20_000, 64),
];
/// What may be left of it, on the heap and of the pages that the kernel gave for it, in bytes.
const LEFT: u64 = 1 << 20;
const PAGES_LEFT: u64 = 12 << 20;

fn flood(name: &str) -> &'static Flood {
    FLOODS.iter().find(|flood| flood.name == name).expect(name)
}

/// Has so many clients flood it.
#[track_caller]
fn begin(daemon: &Daemon, name: &str, clients: usize) -> Running {
    let flood = flood(name);
    assert!(clients <= flood.clients, "no more than `make floods` has");
    flood.begin(&daemon.place().socket(), clients).unwrap_or_else(|e| panic!("{name}: {e}\n{}", daemon.log()))
}

/// What the daemon's heap holds, in bytes.
fn heap(conn: &mut Conn) -> u64 {
    let info = conn.ok("info");
    let at = info.column("key").iter().position(|key| key == "heap").expect("its heap");
    info.column("value")[at].parse().unwrap()
}

/// The daemon's resident pages that are no file's, in bytes.
fn pages(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn every_flood_is_borne() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=box -- sleep 100000");
    assert_eq!(BORNE.map(|(name, ..)| name).as_slice(), FLOODS.iter().map(|flood| flood.name).collect::<Vec<_>>());
    let mut conn = daemon.conn();
    for (name, clients, lines, most) in BORNE {
        let before = (heap(&mut conn), pages(&daemon));
        let running = begin(&daemon, name, clients);
        let tally = running.tally.clone();
        until(patience(120), name, || tally.lines.load(Relaxed) >= lines);
        let mut peak = 0;
        for _ in 0..3 {
            daemon.conn().ok("ping");
            assert_eq!(conn.ok("ps state=running").get("count"), "1", "{name}");
            peak = heap(&mut conn).max(peak);
        }
        let (grown, ended) = (peak.saturating_sub(before.0), tally.ended.load(Relaxed));
        println!("{name}: {} KiB more on the heap", grown >> 10);
        assert!(
            grown < most << 20,
            "{name}, {}: {grown} bytes more on the heap, {most} MiB at most",
            flood(name).about
        );
        assert_eq!(ended, 0, "{name}: so many were hung up on\n{}", daemon.log());
        drop(running);
        until(patience(60), &format!("{name}: all is given back"), || heap(&mut conn) < before.0 + LEFT);
        until(patience(60), &format!("{name}: the kernel has its pages"), || pages(&daemon) < before.1 + PAGES_LEFT);
    }
    daemon.ok("rm box force=yes");
}

#[test]
fn lines_that_are_never_ended_leave_room_for_others() {
    let daemon = Daemon::start();
    let torn = begin(&daemon, "torn", 2000);
    let (mut conn, long) = (daemon.conn(), format!("ps {}", "label=a ".repeat(5000)));
    let mut little = Vec::new();
    until(patience(120), "there is no more room", || {
        // A little is each one's, and makes up for what is left free where the last line found no room.
        little.push(daemon.conn());
        little.last_mut().unwrap().send_bytes(&[b'x'; 4000]);
        // Refused in its turn, with the line behind it unharmed.
        conn.send(&format!("version\n{long}\nping"));
        assert_eq!(conn.reply().end.head, "OK");
        let answer = conn.reply();
        assert_eq!(conn.reply().end.text(), "pong");
        assert!(answer.end.head == "OK" || answer.code() == "out-of-memory", "{answer:?}");
        answer.end.head == "ERR"
    });
    daemon.ok(&format!("ps {}", "label=a ".repeat(400)));
    drop((torn, little));
    until(patience(60), "there is room again", || conn.request(&long).end.head == "OK");
}
