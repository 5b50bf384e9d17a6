//! Containers that are paused: nothing in them runs, everything else about them works, and none is stuck.

use super::engine::{HTTPD, fetch, host_port, ready};
use super::harness::Daemon;

/// Counts for as long as it runs, and says when it begins.
const COUNTER: &str = "-- sh -c 'echo ready; n=0; while :; do n=$((n+1)); echo $n >/count; done'";
/// Says that it was asked to stop, and ends with a status of its own.
const POLITE: &str = "-- sh -c 'trap \"exit 7\" TERM; echo ready; while :; do sleep 0.1; done'";

#[test]
fn nothing_runs_while_it_is_paused() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok(&format!("run busybox name=busy {COUNTER}"));
    ready(&daemon, "busy");
    daemon.ok("pause busy");
    assert_eq!(daemon.ok("ps").column("state"), ["paused"]);
    assert_eq!(daemon.ok("inspect busy").json()["state"], "paused");
    let used = || daemon.ok("stats busy").column("cpu-ns")[0].clone();
    let before = used();
    let pid = daemon.ok("ps").column("pid")[0].clone();
    let status = daemon.sh(&format!("cat /proc/{pid}/status")).succeeds();
    assert_eq!(used(), before, "a busy loop used no time: {status}");
    daemon.ok("resume busy");
    assert_eq!(daemon.ok("ps").column("state"), ["running"]);
    super::shell::until(super::shell::patience(60), "it goes on", || used() != before);
    daemon.ok("rm busy force=yes");
}

#[test]
fn a_paused_server_serves_again() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let run = daemon.ok(&format!("run busybox name=web publish=80 {HTTPD}"));
    for _ in 0..3 {
        daemon.ok("pause web");
        daemon.ok("resume web");
    }
    let page = daemon.sh(&fetch(&format!("127.0.0.1:{}", host_port(&run)))).succeeds();
    assert!(page.contains("It works"), "{page}");
    daemon.ok("rm web force=yes");
}

#[test]
fn whatever_is_paused_can_be_ended() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    for (name, end, exit) in
        [("a", "stop a", "7"), ("b", "kill b", "137"), ("c", "restart c", ""), ("d", "stop d timeout=0", "137")]
    {
        conn.ok(&format!("run busybox name={name} {POLITE}"));
        ready(&daemon, name);
        conn.ok(&format!("pause {name}"));
        assert_eq!(conn.refused(&format!("start {name}")), "wrong-state");
        assert_eq!(conn.refused(&format!("rm {name}")), "wrong-state");
        conn.ok(end);
        if !exit.is_empty() {
            assert_eq!(conn.ok(&format!("wait {name}")).get("exit"), exit, "{end}");
        }
        conn.ok(&format!("rm {name} force=yes"));
    }
}

#[test]
fn a_signal_waits_for_the_resume() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok(&format!("run busybox name=polite {POLITE}"));
    ready(&daemon, "polite");
    daemon.ok("pause polite");
    daemon.ok("kill polite signal=TERM");
    assert_eq!(daemon.ok("ps").column("state"), ["paused"]);
    daemon.ok("resume polite");
    assert_eq!(daemon.ok("wait polite").get("exit"), "7");
    daemon.ok("rm polite");
}

#[test]
fn events_tell_of_it() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut events = daemon.conn();
    events.send("events type=container name=web");
    daemon.ok("run busybox name=web -- sleep 1000");
    daemon.ok("pause web");
    daemon.ok("resume web");
    daemon.ok("rm web force=yes");
    let mut seen = Vec::new();
    while seen.last().is_none_or(|action| action != "remove") {
        seen.extend(events.parsed().get("action"));
    }
    assert_eq!(seen, ["create", "start", "pause", "resume", "kill", "exit", "remove"]);
}

#[test]
fn a_daemon_that_is_killed_leaves_nothing_frozen() {
    let mut daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=web -- sleep 1000");
    daemon.ok("pause web");
    daemon.kill();
    daemon.restart();
    assert_eq!(daemon.ok("ps").get("count"), "0");
    daemon.ok("run busybox name=web -- sleep 1000");
    daemon.ok("pause web");
    // Its leaving, with one paused, is the harness's to judge.
}
