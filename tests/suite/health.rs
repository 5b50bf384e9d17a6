//! Health checks: what they find, when they look, what they leave behind, and the restart of what is unhealthy.

use std::path::PathBuf;

use super::harness::Daemon;
use super::host;
use super::images::formats::push_docker_format;
use super::registry::Registry;
use super::shell::{patience, until};

#[track_caller]
fn until_health(daemon: &Daemon, name: &str, status: &str) {
    until(patience(60), status, || daemon.ok(&format!("ps name={name}")).column("health") == [status]);
}

/// How many looks have ended, as far as the last one tells: they are told by when they began.
fn last_look(daemon: &Daemon, name: &str) -> serde_json::Value {
    let document = daemon.ok(&format!("inspect {name}")).json();
    document["health"]["log"].as_array().and_then(|log| log.last().cloned()).unwrap_or_default()
}

/// Waits until it was looked at so many times more.
#[track_caller]
fn until_looked_at(daemon: &Daemon, name: &str, times: usize) {
    let (mut last, mut count) = (last_look(daemon, name), 0);
    until(patience(60), "it is looked at", || {
        let now = last_look(daemon, name);
        count += usize::from(now != last);
        last = now;
        count >= times
    });
}

/// How many processes of the container have that command line.
fn running(daemon: &Daemon, name: &str, command: &str) -> usize {
    daemon.ok(&format!("top {name}")).column("command").iter().filter(|one| *one == command).count()
}

#[test]
fn health_is_found_lost_and_told() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut watcher = daemon.conn();
    watcher.send("events name=web:latest");
    let check = "health-cmd='echo looked; test -e /well' health-interval=100ms health-retries=2";
    daemon.ok(&format!("run busybox name=web {check} stop-signal=KILL -- sleep 100000"));
    until_health(&daemon, "web", "unhealthy");
    let health = daemon.ok("inspect web").json()["health"].clone();
    assert!(health["failing"].as_u64() >= Some(2), "{health}");
    assert_eq!((&health["log"][0]["exit"], &health["log"][0]["output"]), (&1.into(), &"looked\n".into()), "{health}");
    daemon.ok("exec web -- touch /well");
    until_health(&daemon, "web", "healthy");
    assert!(daemon.client(&["ps"]).succeeds().contains("(healthy)"));
    until_looked_at(&daemon, "web", 6);
    let health = daemon.ok("inspect web").json()["health"].clone();
    assert_eq!((health["log"].as_array().unwrap().len(), health["failing"].as_u64()), (5, Some(0)), "{health}");
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != "healthy") {
        told.extend(watcher.parsed().get("health"));
    }
    assert_eq!(told, ["starting", "unhealthy", "healthy"]);
    daemon.ok("stop web");
    assert_eq!(daemon.ok("ps").column("health"), [""], "what does not run is neither");
    daemon.ok("start web");
    until_health(&daemon, "web", "healthy");
    daemon.ok("rm web force=yes");
}

#[test]
fn a_look_leaves_nothing_behind() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    // One that takes too long, and one that ends and leaves others: children, and such as made sessions of their own.
    let slow = "echo begun; sleep 2000 & setsid sleep 3000 & exec sleep 1000";
    daemon.ok(&format!(
        "run busybox name=slow health-cmd='{slow}' health-interval=100ms health-timeout=300ms health-retries=1 -- sleep 100000"
    ));
    daemon.ok("run busybox name=left health-cmd='sleep 2000 & setsid sleep 3000 & exit 0' health-interval=100ms -- sleep 100000");
    until_health(&daemon, "slow", "unhealthy");
    until_health(&daemon, "left", "healthy");
    let look = last_look(&daemon, "slow");
    assert!(look["exit"].is_null() && look["output"].as_str().is_some_and(|text| text.contains("longer")), "{look}");
    for name in ["slow", "left"] {
        until_looked_at(&daemon, name, 3);
        for command in ["sleep 1000", "sleep 2000", "sleep 3000"] {
            assert!(running(&daemon, name, command) <= 1, "{name}: {command}: {:?}", daemon.ok(&format!("top {name}")));
        }
    }
    // The container's own processes, and those of others, are no business of its check.
    let mut conn = daemon.conn();
    conn.send("exec left -- sh -c 'echo ready; exec sleep 4000'");
    assert_eq!(conn.parsed().text(), "stdout ready");
    until_looked_at(&daemon, "left", 3);
    assert_eq!((running(&daemon, "left", "sleep 4000"), running(&daemon, "left", "sleep 100000")), (1, 1));
    daemon.ok("rm slow force=yes");
    daemon.ok("rm left force=yes");
}

#[test]
fn much_output_is_cut_short() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=web health-cmd='seq 1 100000' health-interval=100ms -- sleep 100000");
    until_health(&daemon, "web", "healthy");
    let output = last_look(&daemon, "web")["output"].as_str().unwrap().to_owned();
    assert!(output.len() == 4096 && output.starts_with("1\n2\n"), "{}", output.len());
    daemon.ok("rm web force=yes");
}

#[test]
fn an_unhealthy_one_is_restarted() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let check = "health-cmd='test -e /well' health-interval=100ms health-retries=1 health-restart=yes";
    daemon.ok(&format!("run busybox name=web {check} stop-signal=KILL -- sleep 100000"));
    until(patience(60), "it is restarted twice", || daemon.ok("ps").column("restarts")[0].parse::<u32>().unwrap() >= 2);
    // Between two runs there is nothing to execute in, and the end of one may cut it short.
    let mut conn = daemon.conn();
    until(patience(60), "a run hears of it", || {
        let reply = conn.request("exec web -- touch /well");
        reply.end.head == "OK" && reply.get("exit") == "0"
    });
    until_health(&daemon, "web", "healthy");
    daemon.ok("exec web -- rm /well");
    until(patience(60), "it is stopped meanwhile", || conn.request("stop web timeout=0").end.head == "OK");
    assert_eq!(daemon.ok("wait web").get("exit"), "137");
    assert_eq!(daemon.ok("ps").column("state"), ["exited"]);
    daemon.ok("rm web");
}

#[test]
fn nothing_is_looked_at_while_it_is_paused() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let check = "health-cmd=true health-interval=100ms health-timeout=30 health-retries=1";
    for name in ["still", "other"] {
        daemon.ok(&format!("run busybox name={name} {check} -- sleep 100000"));
        until_health(&daemon, name, "healthy");
    }
    daemon.ok("pause still");
    let before = last_look(&daemon, "still");
    until_looked_at(&daemon, "other", 5);
    assert_eq!(
        (last_look(&daemon, "still"), daemon.ok("ps name=still").column("health")),
        (before, vec!["healthy".into()])
    );
    daemon.ok("resume still");
    until_looked_at(&daemon, "still", 2);
    assert_eq!(daemon.ok("ps name=still").column("health"), ["healthy"]);
    // One that is frozen in the middle of a look neither fails by that nor is stuck.
    daemon.ok("run busybox name=busy health-cmd='touch /begun; sleep 1' health-interval=100ms health-retries=1 -- sleep 100000");
    until(patience(60), "a look is under way", || {
        daemon.conn().request("exec busy -- test -e /begun").get("exit") == "0"
    });
    daemon.ok("pause busy");
    daemon.ok("resume busy");
    until_health(&daemon, "busy", "healthy");
    for name in ["still", "other", "busy"] {
        daemon.ok(&format!("rm {name} force=yes"));
    }
}

/// On cgroup v1 a frozen process is not even killed, as one that waits for a disk is not.
#[test]
fn a_look_that_cannot_be_ended_is_told() {
    let Some(freezer) = host::hierarchies().into_iter().find(|dir| dir.ends_with("freezer")) else { return };
    let daemon = Daemon::start();
    daemon.import_busybox();
    let check = "health-cmd='touch /looking; sleep 100000' health-interval=100ms health-timeout=5s health-retries=2";
    let id = daemon.ok(&format!("run busybox name=web {check} -- sleep 100000")).get("id");
    let data = daemon.ok("inspect web").json()["paths"]["data"].as_str().map(PathBuf::from).unwrap();
    until(patience(60), "it is looked at", || data.join("upper/looking").exists());
    let state = freezer.join(daemon.place().cgroup()).join(id).join("freezer.state");
    std::fs::write(&state, "FROZEN").unwrap();
    until_health(&daemon, "web", "unhealthy");
    assert_eq!(last_look(&daemon, "web")["output"], "the last one cannot be ended");
    std::fs::write(&state, "THAWED").unwrap();
    until(patience(60), "it is ended", || last_look(&daemon, "web")["output"] != "the last one cannot be ended");
    daemon.ok("rm web force=yes");
}

#[test]
fn the_images_check_is_honoured() {
    let registry = Registry::start();
    let daemon = Daemon::start();
    let reference = push_docker_format(&registry, &daemon.place().dir());
    daemon.ok(&format!("run {reference} tls-verify=no name=web -- sleep 100000"));
    until_health(&daemon, "web", "healthy");
    let health = daemon.ok("inspect web").json()["health"].clone();
    assert_eq!((health["argv"][0].as_str(), health["interval"].as_f64()), (Some("true"), Some(1.0)), "{health}");
    daemon.ok(&format!("run {reference} health-cmd=none name=off -- sleep 100000"));
    assert_eq!(daemon.ok("ps name=off").column("health"), [""]);
    assert!(daemon.ok("inspect off").json()["health"].is_null());
    daemon.ok("rm web force=yes");
    daemon.ok("rm off force=yes");
}

#[test]
fn what_has_no_check_takes_no_word_of_one() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    for (options, code) in [
        ("health-interval=1s", "bad-option"),
        ("health-restart=yes", "bad-option"),
        ("health-cmd=none health-retries=2", "bad-option"),
        ("health-cmd=true health-interval=1ms", "bad-value"),
        ("health-cmd=true health-retries=0", "bad-value"),
        ("health-cmd=\"\"", "bad-value"),
    ] {
        assert_eq!(conn.refused(&format!("run busybox {options} -- true")), code, "{options}");
    }
    assert_eq!(conn.ok("ps").get("count"), "0");
}
