//! Clients that take all they can: whoever else comes is served all the same, and memory stays bounded.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::harness::Daemon;

/// The daemon's resident memory, in KiB.
fn resident(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A client that sends `line` as fast as it goes and reads what comes, until told to stop.
fn stream_without_end(socket: &std::path::Path, line: &str, stop: &AtomicBool) {
    let mut writer = UnixStream::connect(socket).unwrap();
    let mut reader = writer.try_clone().unwrap();
    writer.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let block = format!("{line}\n").repeat(2000);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while reader.read(&mut buffer).is_ok_and(|count| count > 0) {}
        });
        while !stop.load(Ordering::Relaxed) {
            // A write that had to wait is no failure: the daemon holds up those who send too much.
            let _ = writer.write(block.as_bytes());
        }
        writer.shutdown(std::net::Shutdown::Both).unwrap();
    });
}

#[test]
fn who_pipelines_without_end_holds_up_nobody() {
    let daemon = Daemon::start();
    let (socket, stop) = (daemon.place().socket(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| stream_without_end(&socket, "ping", &stop));
        }
        for _ in 0..20 {
            daemon.conn().ok("ping");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn output_that_is_always_behind_takes_bounded_memory() {
    let daemon = Daemon::start();
    let before = resident(&daemon);
    let mut writer = UnixStream::connect(daemon.place().socket()).unwrap();
    let mut reader = writer.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // 'help run' answers a hundred times what it takes to ask: the reader is always behind.
            writer.write_all("help run\n".repeat(6000).as_bytes()).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let (mut buffer, mut total) = (vec![0; 4096], 0_usize);
        loop {
            match reader.read(&mut buffer).unwrap() {
                0 => break,
                count => total += count,
            }
        }
        assert!(total > 16 << 20, "there was much to say: {total}");
    });
    let grown = resident(&daemon).saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB are held for a client that has read everything");
}

#[test]
fn readers_that_are_stuck_do_not_stop_the_rest() {
    let daemon = Daemon::start();
    // Each asks for more than its share of what may wait for all, and reads nothing.
    let stuck: Vec<_> = (0..160)
        .map(|_| {
            let mut client = UnixStream::connect(daemon.place().socket()).unwrap();
            client.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
            client.write_all("help run\n".repeat(200).as_bytes()).unwrap();
            client
        })
        .collect();
    let mut early = daemon.conn();
    early.ok("ping");
    drop(stuck);
    early.ok("ping");
    daemon.conn().ok("ps");
}

#[test]
fn a_long_unknown_word_is_answered_at_once() {
    let daemon = Daemon::start();
    let mut conn = daemon.conn();
    let long = "a".repeat(60_000);
    assert_eq!(conn.refused(&long), "unknown-verb");
    assert_eq!(conn.refused(&format!("create {long}=1")), "bad-option");
    let labels = "label=a ".repeat(8000);
    conn.ok(&format!("ps {labels}"));
}

#[test]
fn an_overlong_last_line_is_told_once() {
    let daemon = Daemon::start();
    let mut conn = daemon.conn();
    conn.send_bytes(&[b"version\n".as_slice(), &vec![b'x'; 70_000]].concat());
    conn.half_close();
    let said = String::from_utf8(conn.rest()).unwrap();
    let refused: Vec<_> = said.lines().filter(|line| line.starts_with("ERR")).collect();
    assert!(refused.len() == 1 && refused[0].starts_with("ERR too-long"), "{said}");
}
