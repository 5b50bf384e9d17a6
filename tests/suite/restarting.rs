//! Restart policies: what starts again, how it is told, and what ends it.

use std::path::Path;

use super::conn::Conn;
use super::engine::{fetch, host_port, ready};
use super::harness::{Daemon, Setup};
use super::shell::{patience, program, until};

/// Ends by itself when it is sent HUP, with a status of its own.
const ENDS_ON_HUP: &str = "-- sh -c 'trap \"exit 4\" HUP; echo ready; while :; do sleep 0.1; done'";
/// Counts its runs in a file of its own, and ends well with the third.
const WELL_AT_LAST: &str =
    "-- sh -c 'n=$(cat /n 2>/dev/null || echo 0); n=$((n+1)); echo $n >/n; echo run $n; test $n = 3'";

#[track_caller]
fn until_restarted(daemon: &Daemon, name: &str, times: u64) {
    until(patience(60), "it is restarted", || restarts(daemon, name) >= times);
}

fn restarts(daemon: &Daemon, name: &str) -> u64 {
    daemon.ok(&format!("ps name={name}")).column("restarts")[0].parse().unwrap()
}

/// The actions of the next events, up to the one where `last` has been seen so many times.
fn actions(watcher: &mut Conn, last: &str, times: usize) -> Vec<String> {
    let mut actions = Vec::new();
    while actions.iter().filter(|action| *action == last).count() < times {
        actions.extend(watcher.parsed().get("action"));
    }
    actions
}

#[test]
fn failures_are_followed_by_so_many_runs() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut watcher = daemon.conn();
    watcher.send("events name=job:latest");
    assert_eq!(watcher.parsed().get("type").as_deref(), Some("subscribed"));
    daemon.ok("run busybox name=job restart=on-failure:2 -- sh -c 'echo run; exit 3'");
    // Asked while it is restarted, and answered with the last end.
    let end = daemon.ok("wait job");
    assert_eq!((end.get("exit"), end.get("oom")), ("3".into(), "no".into()));
    let row = daemon.ok("ps");
    assert_eq!((row.column("state"), row.column("restarts")), (vec!["exited".into()], vec!["2".to_owned()]));
    assert_eq!(daemon.ok("logs job").logs(), ["stdout run"; 3]);
    let seen = actions(&mut watcher, "exit", 3);
    assert_eq!(seen, ["create", "start", "exit", "restart", "start", "exit", "restart", "start", "exit"]);
    let document = daemon.ok("inspect job").json();
    assert_eq!((document["restart"].as_str(), document["restarts"].as_u64()), (Some("on-failure:2"), Some(2)));
    // By hand it has as many again.
    daemon.ok("start job");
    daemon.ok("wait job");
    assert_eq!(daemon.ok("ps").column("restarts"), ["4"]);
    daemon.ok("rm job");
}

#[test]
fn who_looks_on_sees_every_run() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let runs = ["stdout run 1", "stdout run 2", "stdout run 3"];
    let run = daemon.ok(&format!("run busybox name=job attach=yes restart=on-failure {WELL_AT_LAST}"));
    assert_eq!((run.logs(), run.get("exit")), (runs.map(str::to_owned).to_vec(), "0".into()));
    assert_eq!(daemon.ok("ps").column("restarts"), ["2"]);
    daemon.ok("rm job");
    daemon.ok(&format!("run busybox name=job restart=on-failure {WELL_AT_LAST}"));
    assert_eq!(daemon.ok("logs job follow=yes").logs(), runs);
    // Its log is complete before its address and ports are free.
    daemon.ok("wait job");
    daemon.ok("rm job");
}

#[test]
fn a_stop_ends_it_at_any_time() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut waiting = daemon.conn();
    // Ends at once, and rests longer each time.
    daemon.ok("run busybox name=job restart=always -- sh -c 'exit 5'");
    waiting.send("wait job");
    until_restarted(&daemon, "job", 3);
    assert_eq!(daemon.ok("stop job timeout=0").get("name"), "job:latest");
    assert_eq!(waiting.reply().end.head, "OK");
    let count = restarts(&daemon, "job");
    // Another of the same kind goes on meanwhile, for longer than this one would have rested.
    daemon.ok("run busybox name=other restart=always -- true");
    until_restarted(&daemon, "other", 4);
    assert_eq!(
        (restarts(&daemon, "job"), daemon.ok("ps name=job").column("state")),
        (count, vec!["exited".to_owned()])
    );
    // What rests can be removed as what has exited can; what happens to run at that moment cannot.
    let mut conn = daemon.conn();
    until(patience(60), "it is removed", || conn.request("rm other").end.head == "OK");
    daemon.ok("rm job");
    daemon.ok(&format!("run busybox name=up restart=unless-stopped {ENDS_ON_HUP}"));
    ready(&daemon, "up");
    daemon.ok("stop up timeout=0");
    assert_eq!(daemon.ok("wait up").get("exit"), "137");
    assert_eq!(restarts(&daemon, "up"), 0);
    daemon.ok("rm up");
}

#[test]
fn a_kill_ends_it_and_another_signal_does_not() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok(&format!("run busybox name=job restart=always {ENDS_ON_HUP}"));
    ready(&daemon, "job");
    daemon.ok("kill job signal=HUP");
    until(patience(60), "it runs again", || {
        restarts(&daemon, "job") == 1 && daemon.ok("ps").column("state") == ["running"]
    });
    daemon.ok("kill job");
    assert_eq!(daemon.ok("wait job").get("exit"), "137");
    assert_eq!(restarts(&daemon, "job"), 1);
    // Started by hand, it is as before.
    daemon.ok("start job");
    until(patience(60), "it runs and hears", || daemon.ok("logs job tail=1").logs() == ["stdout ready"]);
    daemon.ok("restart job timeout=0");
    assert_eq!((restarts(&daemon, "job"), daemon.ok("ps").column("state")), (1, vec!["running".to_owned()]));
    daemon.ok("rm job force=yes");
}

#[test]
fn its_ports_stay_the_same() {
    // On a host of its own, where nobody else takes them while they are free.
    let daemon = Setup { apart: true, ..Setup::default() }.start();
    daemon.import_busybox();
    let server = "httpd -f -p 80 -h /www & trap \"kill $!; exit 4\" HUP; wait";
    let run =
        daemon.ok(&format!("run busybox name=web restart=on-failure publish=80 publish=81/udp -- sh -c '{server}'"));
    let page = fetch(&format!("127.0.0.1:{}", host_port(&run)));
    daemon.sh(&page).succeeds();
    daemon.ok("kill web signal=HUP");
    until(patience(60), "it runs again", || {
        restarts(&daemon, "web") == 1 && daemon.ok("ps").column("state") == ["running"]
    });
    assert_eq!(daemon.ok("ps").column("ports"), [run.get("ports")]);
    assert!(daemon.sh(&page).succeeds().contains("It works"));
    daemon.ok("restart web timeout=0");
    assert_eq!(daemon.ok("ps").column("ports"), [run.get("ports")]);
    daemon.ok("rm web force=yes");
}

#[test]
fn a_restart_that_fails_is_told_and_tried_again() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let dir = daemon.place().dir().join("shared");
    std::fs::create_dir_all(&dir).unwrap();
    let program = dir.join("job");
    script(&program, "exit 1");
    let mut watcher = daemon.conn();
    watcher.send("events name=job:latest");
    daemon.ok(&format!("run busybox name=job restart=always volume={}:/shared -- /shared/job", dir.display()));
    std::fs::remove_file(&program).unwrap();
    let seen = actions(&mut watcher, "restart-failed", 2);
    assert!(seen.ends_with(&["restart-failed".into(), "restart".into(), "restart-failed".into()]), "{seen:?}");
    script(&program, "exec sleep 100000");
    until(patience(60), "it runs again", || daemon.ok("ps").column("state") == ["running"]);
    daemon.ok("stop job timeout=0");
    daemon.ok("rm job");
}

fn script(path: &Path, body: &str) {
    let aside = path.with_extension("new");
    program(&aside, &format!("#!/bin/sh\n{body}\n"));
    std::fs::rename(&aside, path).unwrap();
}

#[test]
fn what_contradicts_itself_is_refused() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    for (options, code) in [
        ("restart=always rm=yes", "bad-option"),
        ("health-cmd=true health-restart=yes rm=yes", "bad-option"),
        ("restart=sometimes", "bad-value"),
        ("restart=on-failure:many", "bad-value"),
        ("restart=always:3", "bad-value"),
    ] {
        assert_eq!(conn.refused(&format!("run busybox {options} -- true")), code, "{options}");
    }
    assert_eq!(conn.ok("run busybox restart=no rm=yes attach=yes -- echo fine").logs(), ["stdout fine"]);
    assert_eq!(conn.ok("ps").get("count"), "0");
}

#[test]
fn nothing_restarts_when_the_daemon_leaves() {
    let mut daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=rests restart=always -- false");
    daemon.ok("run busybox name=runs restart=always stop-signal=KILL -- sleep 100000");
    daemon.ok(&format!("run busybox name=hears restart=unless-stopped stop-signal=HUP {ENDS_ON_HUP}"));
    ready(&daemon, "hears");
    until_restarted(&daemon, "rests", 2);
    assert!(daemon.term().success());
    daemon.assert_clean();
    let restarted = daemon.log().lines().filter(|line| line.contains("restarting it failed")).count();
    assert_eq!(restarted, 0, "{}", daemon.log());
}
