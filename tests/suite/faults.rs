//! The daemon dies at each step of what the network makes and takes away: the next start sweeps all of it, can do the
//! same again, and touches nothing of anybody else's.
//!
//! (The steps are in builds with debug assertions alone: see `gantry::fault`.)
#![cfg(debug_assertions)]

use std::os::unix::process::ExitStatusExt;

use gantry::fault;

use super::conn::Conn;
use super::engine::{HTTPD, fetch, host_port};
use super::harness::Daemon;

/// A daemon beside it, whose container answers throughout, and things of nobody's.
struct Others {
    daemon: Daemon,
    port: u16,
    name: String,
}

impl Others {
    fn start() -> Self {
        let daemon = Daemon::start();
        daemon.import_busybox();
        let web = daemon.ok(&format!("run busybox name=web publish=80 stop-signal=KILL {HTTPD}"));
        let name = format!("x{}", daemon.place().bridge());
        daemon.sh(&format!("ip link add {name} type bridge; nft add table inet {name}")).succeeds();
        Self { port: host_port(&web), daemon, name }
    }

    #[track_caller]
    fn are_there(&self, step: &str) {
        let Self { name, port, .. } = self;
        let seen = self.daemon.sh(&format!("ip link show {name} >/dev/null; nft list table inet {name} >/dev/null"));
        assert_eq!(seen.succeeds(), "", "after {step}");
        self.daemon.sh(&fetch(&format!("127.0.0.1:{port}"))).succeeds();
    }

    fn end(self) {
        self.daemon.sh(&format!("ip link del {0}; nft delete table inet {0}", self.name)).succeeds();
        self.daemon.ok("rm web force=yes");
    }
}

/// Waits until it has died of the step, starts it anew, and sees that it can do everything.
#[track_caller]
fn starts_anew(daemon: &mut Daemon, others: &Others, step: &str) {
    let status = daemon.wait();
    assert_eq!(status.signal(), Some(9), "it is to die at {step}: {status}\n{}", daemon.log());
    daemon.restart();
    let mut conn = daemon.conn();
    assert_eq!(conn.ok("network ls").column("name"), ["bridge"], "after {step}");
    conn.ok("network create back");
    let web = conn.ok(&format!("run busybox name=web network=bridge network=back publish=80 stop-signal=KILL {HTTPD}"));
    daemon.sh(&fetch(&format!("127.0.0.1:{}", host_port(&web)))).succeeds();
    conn.ok("rm web force=yes");
    conn.ok("network rm back");
    drop(conn);
    others.are_there(step);
    // Everything of this run is gone with it, and what the dead one left was swept before.
    assert!(daemon.term().success());
    daemon.assert_clean();
}

/// Asks for what will not be answered; whoever hangs up would take it back.
fn ask(daemon: &Daemon, line: &str) -> Conn {
    let mut conn = daemon.conn();
    conn.send(line);
    conn
}

#[test]
fn it_dies_at_each_step_of_its_start_and_of_its_end() {
    let others = Others::start();
    let mut daemon = Daemon::start();
    daemon.import_busybox();
    assert!(daemon.term().success());
    for step in fault::START {
        daemon.start_to_die(step, true);
        starts_anew(&mut daemon, &others, step);
    }
    for step in fault::END {
        daemon.start_to_die(step, false);
        daemon.ok("network create front");
        daemon.signal(nix::sys::signal::Signal::SIGTERM);
        starts_anew(&mut daemon, &others, step);
    }
    daemon.restart();
    drop(daemon);
    others.end();
}

#[test]
fn it_dies_at_each_step_of_attaching_and_detaching() {
    const RUN: &str = "run busybox name=web network=bridge network=front publish=8 stop-signal=KILL -- sleep 1000";
    let others = Others::start();
    let mut daemon = Daemon::start();
    daemon.import_busybox();
    assert!(daemon.term().success());
    for step in fault::ATTACH {
        daemon.start_to_die(step, false);
        daemon.ok("network create front");
        let _conn = ask(&daemon, RUN);
        starts_anew(&mut daemon, &others, step);
    }
    for step in fault::DETACH {
        daemon.start_to_die(step, false);
        daemon.ok("network create front");
        daemon.ok(RUN);
        let _conn = ask(&daemon, "rm web force=yes");
        starts_anew(&mut daemon, &others, step);
    }
    daemon.restart();
    drop(daemon);
    others.end();
}

#[test]
fn it_dies_at_each_step_of_making_and_removing_a_network() {
    let others = Others::start();
    let mut daemon = Daemon::start();
    daemon.import_busybox();
    assert!(daemon.term().success());
    for step in fault::NETWORK.0 {
        daemon.start_to_die(step, false);
        let _conn = ask(&daemon, "network create front");
        starts_anew(&mut daemon, &others, step);
    }
    for step in fault::NETWORK.1 {
        daemon.start_to_die(step, false);
        daemon.ok("network create front");
        let _conn = ask(&daemon, "network rm front");
        starts_anew(&mut daemon, &others, step);
    }
    daemon.restart();
    drop(daemon);
    others.end();
}
