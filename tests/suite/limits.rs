//! Limits changed while a container runs, and what runs in it.

use super::harness::Daemon;

#[test]
fn limits_change_at_once_and_stay() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=box memory=64m stop-signal=KILL -- sleep 100000");
    daemon.ok("update box memory=32m pids=1 cpus=0.5");
    assert_eq!(daemon.ok("stats box").column("memory-limit"), ["33554432"]);
    let fork = "exec box -- sh -c 'echo a | cat; true'";
    assert_ne!(daemon.conn().request(fork).logs(), ["stdout a"], "a second process finds no place");
    daemon.ok("update box pids=50");
    assert_eq!(daemon.ok(fork).logs(), ["stdout a"]);
    daemon.ok("restart box");
    assert_eq!(daemon.ok("stats box").column("memory-limit"), ["33554432"]);
    let limits = daemon.ok("inspect box").json()["limits"].clone();
    assert_eq!(limits["memory"].as_u64(), Some(33_554_432));
    assert_eq!((limits["cpus"].as_f64(), limits["pids"].as_u64()), (Some(0.5), Some(50)));
    daemon.client(&["update", "--memory", "48m", "box"]).succeeds();
    assert_eq!(daemon.ok("stats box").column("memory-limit"), ["50331648"]);
    daemon.ok("stop box");
    // One that does not run has them at its next start.
    daemon.ok("update box memory=16m");
    daemon.ok("start box");
    assert_eq!(daemon.ok("stats box").column("memory-limit"), ["16777216"]);
    daemon.ok("rm box force=yes");
}

#[test]
fn what_runs_is_listed() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let run = daemon.ok("run busybox name=box user=www -- sleep 100000");
    let mut conn = daemon.conn();
    conn.send("exec box user=0 -- sh -c 'echo ready; exec sleep 90000'");
    assert_eq!(conn.parsed().text(), "stdout ready");
    let top = daemon.ok("top box");
    let mut rows: Vec<_> = top.column("user").into_iter().zip(top.column("command")).collect();
    rows.sort();
    let sleeper = rows.pop().unwrap();
    assert_eq!(sleeper, ("www".to_owned(), "sleep 100000".to_owned()));
    assert_eq!((rows.len(), rows[0].0.as_str()), (1, "root"));
    assert!(top.column("pid").contains(&run.get("pid")));
    assert!(daemon.client(&["top", "box"]).succeeds().contains("sleep 100000"));
    daemon.ok("stop box timeout=0");
    assert_eq!(daemon.conn().refused("top box"), "wrong-state");
    daemon.ok("rm box");
}
