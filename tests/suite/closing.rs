//! Half-close, full close and `quit`, by the tools that people type with.

use super::engine::ready;
use super::harness::Daemon;
use super::shell;

#[test]
fn socat_hears_everything_after_its_half_close() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    // Work in which the container says nothing for twice as long as socat bears silence.
    let silence = shell::socat_bears();
    let work = 2 * silence;
    let request = format!("run busybox name=nap attach=yes rm=yes -- sh -c \"sleep {work}; echo late\"");
    let socat = format!("socat -t {silence} - UNIX-CONNECT:$GANTRY_SOCKET");
    let said = daemon.sh(&format!("printf 'ping\\n{request}\\nps\\n' | {socat}")).succeeds();
    let lines: Vec<_> = said.lines().filter(|line| !line.starts_with("PROGRESS")).collect();
    assert_eq!(lines[0], "OK pong");
    assert_eq!(lines[1], "LOG stdout late");
    assert!(lines[2].starts_with("OK name=nap:latest"), "{said}");
    assert_eq!(lines[3], "OK count=0");
    assert!(said.lines().any(|line| line.starts_with("PROGRESS")), "{said}");
}

#[test]
fn a_half_closed_client_hears_that_work_goes_on() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("create busybox name=nap rm=yes -- true");
    let mut conn = daemon.conn();
    conn.send("wait nap");
    conn.half_close();
    assert!(conn.line().is_some_and(|line| line.starts_with(b"PROGRESS")), "nothing else has happened");
    daemon.ok("start nap");
    assert_eq!(conn.reply().get("exit"), "0");
    assert!(conn.rest().is_empty(), "the server closes when the last reply is out");
}

#[test]
fn nc_hears_everything_after_its_half_close() {
    let daemon = Daemon::start();
    let said = daemon.sh("printf 'ping\\nversion' | nc -N -U $GANTRY_SOCKET").succeeds();
    assert!(said.starts_with("OK pong\n"), "{said}");
    let said = daemon.sh("printf 'ping\\nquit\\nversion\\n' | nc -U $GANTRY_SOCKET").succeeds();
    assert_eq!(said, "OK pong\nOK\n", "behind quit nothing is done");
}

#[test]
fn endless_streams_go_on_after_a_half_close() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut watcher = daemon.conn();
    watcher.send("events type=container");
    watcher.half_close();
    assert_eq!(watcher.parsed().get("type").as_deref(), Some("subscribed"));
    daemon.ok("create busybox name=x -- true");
    assert_eq!(watcher.parsed().get("name").as_deref(), Some("x:latest"));
    daemon.ok("rm x");
}

#[test]
fn a_client_that_leaves_ends_its_waiting() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=job -- sleep 1000");
    for _ in 0..50 {
        let mut leaver = daemon.conn();
        leaver.send("@1 wait job");
        leaver.send("@2 events");
        leaver.send("logs job follow=yes");
    }
    // That they are gone is seen at the end: no descriptor of theirs is left.
    daemon.ok("rm job force=yes");
}

#[test]
fn a_change_that_was_begun_is_finished_for_a_client_that_leaves() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok(
        "run busybox name=job stop-timeout=500ms -- sh -c 'trap \"\" TERM; echo ready; while :; do sleep 0.1; done'",
    );
    ready(&daemon, "job");
    let mut watcher = daemon.conn();
    watcher.send("events name=job");
    let mut leaver = daemon.conn();
    leaver.send("stop job");
    while watcher.parsed().get("action").as_deref() != Some("kill") {}
    drop(leaver);
    assert_eq!(daemon.ok("wait job").get("exit"), "137", "the stop went on to its KILL");
    daemon.ok("rm job");
}

#[test]
fn a_run_whose_client_leaves_goes_on() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut leaver = daemon.conn();
    leaver.send("run busybox name=job attach=yes -- sh -c 'echo started; sleep 0.5; exit 6'");
    assert_eq!(leaver.parsed().text(), "stdout started");
    drop(leaver);
    assert_eq!(daemon.ok("wait job").get("exit"), "6");
    daemon.ok("rm job");
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut deaf = daemon.conn();
    deaf.send("run busybox name=loud attach=yes -- sh -c 'yes | head -n 400000; exit 5'");
    assert_eq!(daemon.ok("run busybox name=other attach=yes rm=yes -- echo hi").logs(), ["stdout hi"]);
    let reply = deaf.reply();
    assert_eq!((reply.get("exit"), reply.written("stdout").len()), ("5".into(), 800_000));
    daemon.ok("rm loud");
}
