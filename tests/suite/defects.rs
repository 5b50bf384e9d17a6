//! A defect shows in an actor, or in what works for it: whoever asked is told to try again, what runs goes on and is looked
//! after, and where it happens too often the container is left alone.
//!
//! (The places are in builds with debug assertions alone: see `gantry::fault`.)
#![cfg(debug_assertions)]

use std::path::PathBuf;

use gantry::link::MOST;

use super::conn::Conn;
use super::engine::{HTTPD, fetch, host_port};
use super::harness::{Daemon, Setup};
use super::shell::{patience, until};

/// A daemon that panics where it is told to, a client that listens to what is told of that, and a container that is not to
/// notice.
struct Flawed {
    place: PathBuf,
    watcher: Conn,
    web: (String, u16),
    // Last: at its end nobody else is to be connected.
    daemon: Daemon,
}

impl Flawed {
    fn start() -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let place = std::env::temp_dir().join(format!("gantry-panic-{}-{nth}", std::process::id()));
        let env = vec![("GANTRY_PANIC".to_owned(), place.display().to_string())];
        let daemon = Setup { env, ..Setup::default() }.start();
        daemon.import_busybox();
        let web = daemon.ok(&format!("run busybox name=web publish=80 stop-signal=KILL {HTTPD}"));
        let web = (web.get("pid"), host_port(&web));
        let mut watcher = daemon.conn();
        watcher.send("events");
        assert_eq!(watcher.parsed().get("type").as_deref(), Some("subscribed"));
        Self { place, watcher, web, daemon }
    }

    /// The next time that it comes by there, it panics.
    fn panic_at(&self, place: &str) {
        let aside = self.place.with_extension("new");
        std::fs::write(&aside, place).unwrap();
        std::fs::rename(aside, &self.place).unwrap();
    }

    /// Waits until that has happened and was told.
    #[track_caller]
    fn has_told(&mut self, action: &str, name: &str) {
        self.next_of(&[action], name);
        assert!(!self.place.exists());
    }

    /// The next event of these, which is of `name`.
    #[track_caller]
    fn next_of(&mut self, actions: &[&str], name: &str) -> String {
        loop {
            let event = self.watcher.parsed();
            let action = event.get("action").unwrap_or_default();
            if actions.contains(&action.as_str()) {
                assert_eq!(event.get("name").as_deref(), Some(name));
                return action;
            }
        }
    }

    /// What ran before runs on, and is reached.
    #[track_caller]
    fn web_runs_on(&self, place: &str) {
        assert_eq!(self.daemon.ok("ps name=web").column("pid").join(","), self.web.0, "{place}");
        let page = self.daemon.sh(&fetch(&format!("127.0.0.1:{}", self.web.1))).succeeds();
        assert!(page.contains("It works"), "{place}: {page}");
    }

    fn state(&self, name: &str) -> Vec<String> {
        self.daemon.ok(&format!("ps name={name}")).column("state")
    }

    /// The end, for which `conn` is closed.
    fn end(self, conn: Option<Conn>) {
        drop(conn);
        self.daemon.ok("rm web force=yes");
    }
}

#[test]
fn what_is_heard_of_a_container_is_heard_by_the_successor() {
    let mut flawed = Flawed::start();
    for place in ["prepared", "launched", "ended", "released", "reaped", "act-launch", "act-signal", "act-release"] {
        let mut conn = flawed.daemon.conn();
        if place == "prepared" {
            flawed.panic_at(place);
            assert_eq!(conn.refused("create busybox name=x -- sleep 1000"), "internal");
            flawed.has_told("recovered", "x:latest");
            // What was refused leaves nothing behind: its name is free as soon as that is removed.
            until(patience(60), "the name is free", || flawed.state("x").is_empty());
        }
        conn.ok("create busybox name=x -- sleep 1000");
        if matches!(place, "launched" | "act-launch") {
            flawed.panic_at(place);
            assert_eq!(conn.refused("start x"), "internal", "{place}");
            flawed.has_told("recovered", "x:latest");
            until(patience(60), "the start is finished", || flawed.state("x") == ["running"]);
        } else {
            conn.ok("start x");
        }
        let pid = conn.ok("ps name=x").column("pid");
        if matches!(place, "ended" | "released" | "reaped" | "act-release") {
            flawed.panic_at(place);
        }
        if place == "act-signal" {
            flawed.panic_at(place);
            assert_eq!(conn.refused("kill x"), "internal");
        } else {
            conn.ok("kill x");
        }
        assert_eq!(conn.ok("wait x").get("exit"), "137", "{place}");
        if !matches!(place, "prepared" | "launched" | "act-launch") {
            flawed.has_told("recovered", "x:latest");
        }
        conn.ok("start x");
        assert_ne!(conn.ok("ps name=x").column("pid"), pid, "{place}: it can be used as before");
        conn.ok("rm x force=yes");
        flawed.web_runs_on(place);
    }
    flawed.end(None);
}

#[test]
fn work_in_which_a_defect_shows_is_undone() {
    let mut flawed = Flawed::start();
    let mut conn = flawed.daemon.conn();
    // First, while no other container is there whose monitor may be reaped later than its removal is told.
    flawed.panic_at("reaped");
    conn.ok("run busybox name=again restart=on-failure:1 -- false");
    flawed.has_told("recovered", "again:latest");
    until(patience(60), "it is restarted", || flawed.daemon.ok("ps name=again").column("restarts") == ["1"]);
    conn.ok("wait again");
    conn.ok("rm again force=yes");
    flawed.panic_at("work-prepare");
    assert_eq!(conn.refused("run busybox name=x -- sleep 1000"), "internal");
    flawed.panic_at("work-launch");
    assert_eq!(conn.refused("run busybox name=x -- sleep 1000"), "internal");
    assert_eq!(conn.ok("ps").get("count"), "1", "a run that fails leaves nothing behind");
    conn.ok("run busybox name=x publish=81 -- sleep 1000");
    flawed.panic_at("work-undo");
    conn.ok("kill x");
    assert_eq!(conn.ok("wait x").get("exit"), "137");
    // What was not undone at first is undone later, and it can be used again.
    conn.ok("start x");
    conn.ok("rm x force=yes");
    flawed.web_runs_on("work");
    flawed.end(Some(conn));
}

#[test]
fn what_could_not_be_removed_is_removed_later() {
    let place = std::env::temp_dir().join(format!("gantry-panic-later-{}", std::process::id()));
    // How soon it is tried again.
    let env = [("GANTRY_PANIC", place.display().to_string()), ("GANTRY_DEADLINE", "12".to_owned())];
    let env = env.map(|(key, value)| (key.to_owned(), value)).into();
    let daemon = Setup { env, ..Setup::default() }.start();
    daemon.import_busybox();
    daemon.ok("create busybox name=x -- true");
    std::fs::write(&place, "work-undo").unwrap();
    daemon.ok("rm x");
    until(patience(60), "a step fails", || !place.exists());
    let left = || std::fs::read_dir(daemon.place().run().join("journals")).unwrap().count();
    until(patience(120), "it is removed later", || left() == 0);
    assert_eq!(std::fs::read_dir(daemon.place().root().join("containers")).unwrap().count(), 0);
}

#[test]
fn what_fails_too_often_is_left_alone() {
    let mut flawed = Flawed::start();
    let mut conn = flawed.daemon.conn();
    let mut pids = Vec::new();
    for name in ["x", "y"] {
        let pid = conn.ok(&format!("run busybox name={name} stop-signal=KILL -- sleep 1000")).get("pid");
        let mut told = Vec::new();
        // On a slow machine the first of them may count no longer when the last one comes.
        while told.last().is_none_or(|action| action == "recovered") && told.len() < 10 * MOST {
            flawed.panic_at("act-signal");
            assert_eq!(conn.refused(&format!("kill {name} signal=CONT")), "internal", "{told:?}");
            told.push(flawed.next_of(&["recovered", "failed"], &format!("{name}:latest")));
        }
        assert!(told.len() > MOST && told.last().unwrap() == "failed", "{told:?}");
        for line in ["kill NAME", "stop NAME", "start NAME", "pause NAME", "restart NAME", "rm NAME", "attach NAME"] {
            let line = line.replace("NAME", name);
            assert_eq!(conn.refused(&line), "wrong-state", "{line}");
        }
        let row = conn.ok(&format!("ps name={name}"));
        assert_eq!((row.column("state"), row.column("pid")), (vec!["running".to_owned()], vec![pid.clone()]));
        assert_eq!(conn.ok(&format!("inspect {name}")).json()["failed"], true);
        pids.push(PathBuf::from(format!("/proc/{pid}")));
        assert!(pids.last().unwrap().exists(), "its process runs on");
    }
    flawed.web_runs_on("failed");
    conn.ok("rm x force=yes");
    assert!(!pids[0].exists(), "what has its name free does not run");
    conn.ok("run busybox name=x rm=yes attach=yes -- true");
    // The other goes with the daemon.
    flawed.end(Some(conn));
}

#[test]
fn the_supervisor_and_the_image_store_have_successors() {
    let mut flawed = Flawed::start();
    let mut conn = flawed.daemon.conn();
    conn.ok("run busybox name=x -- sleep 1000");
    flawed.panic_at("supervisor-list");
    assert_eq!(conn.refused("ps"), "internal");
    flawed.has_told("recovered", "supervisor");
    assert_eq!(conn.ok("ps").column("name"), ["web:latest", "x:latest"]);
    flawed.panic_at("supervisor");
    assert_eq!(conn.refused("kill x"), "internal");
    flawed.has_told("recovered", "supervisor");
    assert_eq!(conn.refused("create busybox name=x"), "exists");
    // A container's death is told to whoever is the supervisor.
    conn.ok("rm x force=yes");
    conn.ok("run busybox name=x -- sleep 1000");
    flawed.panic_at("images");
    assert_eq!(conn.refused("run busybox name=y -- true"), "internal");
    flawed.has_told("recovered", "images");
    assert_eq!(conn.refused("image rm busybox"), "in-use", "who uses an image is known");
    conn.ok("image tag busybox other");
    conn.ok("run other name=y rm=yes attach=yes -- true");
    conn.ok("image rm other");
    flawed.web_runs_on("singles");
    conn.ok("rm x force=yes");
    flawed.end(Some(conn));
}

#[test]
fn the_network_has_a_successor() {
    let mut flawed = Flawed::start();
    let mut conn = flawed.daemon.conn();
    conn.ok("network create back");
    conn.ok("run busybox name=x network=bridge network=back -- sleep 1000");
    conn.ok("run busybox name=shares network=container:x -- sleep 1000");
    for place in ["network", "network-attached"] {
        flawed.panic_at(place);
        let refused = conn.refused("run busybox name=y network=bridge network=back publish=82 -- sleep 1000");
        assert_eq!(refused, "internal", "{place}");
        flawed.has_told("recovered", "network");
        flawed.web_runs_on(place);
        conn.ok("run busybox name=y network=bridge network=back publish=82 -- sleep 1000");
        let ips = conn.ok("ps").column("ip").join(",");
        let mut ips: Vec<_> = ips.split(',').collect();
        let (all, shared) = (ips.len(), 2);
        ips.sort_unstable();
        ips.dedup();
        assert_eq!(all - shared, ips.len(), "{place}: no address twice, but for what is shared: {ips:?}");
        let found = conn.ok("exec y -- nslookup x");
        assert_eq!(found.get("exit"), "0", "{place}: names are answered");
        conn.ok("rm y force=yes");
    }
    flawed.panic_at("network-notice");
    // Any link of the host's that comes or goes is told.
    let link = format!("x{}", flawed.daemon.place().bridge());
    flawed.daemon.sh(&format!("ip link add {link} type bridge; ip link del {link}")).succeeds();
    flawed.has_told("recovered", "network");
    assert_eq!(flawed.state("shares"), ["running"], "who shares a network notices nothing");
    conn.ok("network disconnect back x");
    conn.ok("network connect back x");
    conn.ok("rm shares force=yes");
    conn.ok("rm x force=yes");
    conn.ok("network rm back");
    flawed.web_runs_on("network");
    flawed.end(Some(conn));
}
