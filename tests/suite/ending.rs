//! The daemon's end, by TERM and by KILL, and daemons beside each other: the host is as it was before.

use nix::sys::signal::Signal;

use super::conn::Conn;
use super::engine::{HTTPD, fetch, host_port};
use super::harness::{Daemon, Setup};
use super::host;
use super::peer::Peer;
use super::shell;

/// Five containers of every kind: with ports, with limits, that writes, that is stubborn, that has ended.
fn run_five(daemon: &Daemon) {
    daemon.import_busybox();
    daemon.ok(&format!("run busybox name=web publish=80 publish=53/udp {HTTPD}"));
    daemon.ok("run busybox name=small memory=64m pids=50 cpus=0.5 -- sleep 1000");
    daemon.ok("run busybox name=loud -- sh -c 'while :; do echo x; sleep 0.05; done'");
    daemon.ok("run busybox name=stubborn stop-timeout=200ms -- sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'");
    daemon.ok("run busybox name=many stop-signal=KILL -- sh -c 'sleep 1000 & sleep 1000 & wait'");
    daemon.ok("run busybox name=done attach=yes -- true");
    daemon.ok("create busybox name=never -- true");
}

#[test]
fn term_leaves_nothing() {
    // Processes that ignore TERM, as the first of a container does, are killed after this.
    let config = std::env::temp_dir().join(format!("gantry-term-{}.toml", std::process::id()));
    std::fs::write(&config, "stop-timeout = 1\n").unwrap();
    let flags = vec!["--config".to_owned(), config.display().to_string()];
    let mut daemon = Setup { flags, ..Setup::default() }.start();
    run_five(&daemon);
    assert!(!host::leftovers(daemon.place()).is_empty(), "the look for leaks sees what runs");
    assert!(daemon.term().success(), "{}", daemon.log());
    daemon.assert_clean();
    std::fs::remove_file(config).unwrap();
}

#[test]
fn a_second_term_hurries() {
    let mut daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=slow stop-timeout=1h -- sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'");
    daemon.signal(Signal::SIGTERM);
    // Two that are not yet taken are one; that the first was taken shows in nobody being let in any more.
    shell::until(shell::patience(60), "no more clients", || Conn::open(&daemon.place().socket()).is_err());
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    daemon.assert_clean();
}

#[test]
fn a_deletion_that_a_kill_cut_short_is_swept() {
    let mut daemon = Daemon::start();
    daemon.import_busybox();
    let id = daemon.ok("run busybox name=half -- sleep 1000").get("id");
    daemon.kill();
    // As a crun that is killed while it deletes leaves it.
    std::fs::remove_file(daemon.place().run().join("crun").join(id).join("config.json")).unwrap();
    daemon.restart();
    assert_eq!(daemon.ok("ps").get("count"), "0");
    assert!(daemon.term().success());
    daemon.assert_clean();
}

#[test]
fn kill_leaves_what_the_next_start_sweeps() {
    let mut daemon = Daemon::start();
    run_five(&daemon);
    daemon.kill();
    assert!(!host::leftovers(daemon.place()).is_empty());
    daemon.restart();
    assert!(daemon.log().contains("swe"), "it says what it swept:\n{}", daemon.log());
    assert_eq!(daemon.ok("ps").get("count"), "0");
    assert_eq!(daemon.ok("image ls").column("name"), ["localhost/busybox:latest"], "images are kept");
    daemon.ok("run busybox name=web attach=yes rm=yes -- true");
    assert!(daemon.term().success());
    daemon.assert_clean();
}

#[test]
fn shutdown_is_a_term_that_answers() {
    let mut daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=slow stop-timeout=1h -- sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'");
    let mut conn = daemon.conn();
    conn.ok("shutdown timeout=100ms");
    assert!(daemon.wait().success());
    daemon.assert_clean();
}

#[test]
fn the_hosts_settings_are_put_back() {
    let mut daemon = Setup { apart: true, ..Setup::default() }.start();
    daemon.import_busybox();
    daemon.ok(&format!("run busybox name=web publish=8080:80 {HTTPD}"));
    assert_eq!(daemon.sh("cat /proc/sys/net/ipv4/ip_forward").succeeds().trim(), "1");
    // The namespace outlives the daemon for as long as we hold it.
    let namespace = std::fs::File::open(format!("/proc/{}/ns/net", daemon.pid())).unwrap();
    assert!(daemon.term().success());
    let held = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&namespace));
    let look = "cat /proc/sys/net/ipv4/ip_forward; nft list tables; ip -o link";
    let after = shell::sh(&format!("nsenter --net={held} sh -c '{look}'")).succeeds();
    assert!(after.starts_with("0\n1: lo:") && after.lines().count() == 2, "{after}");
}

#[test]
fn two_daemons_do_not_touch_each_other() {
    let (one, two) = (Daemon::start(), Daemon::start());
    one.import_busybox();
    two.import_busybox();
    let first = one.ok(&format!("run busybox name=web publish=80 {HTTPD}"));
    let second = two.ok(&format!("run busybox name=web publish=80 {HTTPD}"));
    let (port, other) = (host_port(&first), host_port(&second));
    assert_ne!(port, other, "a free port is free on the whole host");
    assert_eq!(two.conn().refused(&format!("run busybox name=x publish={port}:80 {HTTPD}")), "in-use");
    assert_eq!(two.ok("ps").get("count"), "1");
    one.ok("rm web force=yes");
    drop(one);
    let page = two.sh(&fetch(&format!("127.0.0.1:{other}"))).succeeds();
    assert!(page.contains("It works"), "{page}");
    // Packets of other hosts are forwarded still: what the first put back is not what the second needs.
    let peer = Peer::beside(&two);
    let page = peer.sh(&fetch(&format!("{}:{other}", peer.host))).succeeds();
    assert!(page.contains("It works"), "{page}");
    two.ok("rm web force=yes");
}

#[test]
fn a_second_daemon_on_the_same_things_is_refused() {
    let daemon = Daemon::start();
    let elsewhere = daemon.place().dir().join("elsewhere");
    let here = daemon.place();
    let flag = |name: &str, value: String| vec![format!("--{name}"), value];
    let own = |name: &str| match name {
        "socket" => flag("socket", here.socket().display().to_string()),
        "root" => flag("root", here.root().display().to_string()),
        "run" => flag("run", here.run().display().to_string()),
        _ => flag("bridge", here.bridge()),
    };
    let other = |name: &str| match name {
        "bridge" => flag("bridge", format!("{}x", here.bridge())),
        name => flag(name, elsewhere.join(name).display().to_string()),
    };
    for same in ["socket", "root", "run", "bridge"] {
        let flags: Vec<_> = ["socket", "root", "run", "bridge"]
            .iter()
            .flat_map(|name| if *name == same { own(name) } else { other(name) })
            .collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let output = daemon.start_beside(&flags);
        assert!(matches!(output.status.code(), Some(1..=99)), "{same}: {} {}", output.status, output.stderr);
        assert!(output.stderr.trim().len() > 20, "{same}: it says why: {}", output.stderr);
        daemon.ok("ping");
    }
}

#[test]
fn what_gantryd_is_told_wrong_is_refused() {
    for flags in ["--root relative", "--bridge 0x", "--subnet 10.0.0.0/30", "--nonsense", "--config /nonexistent.toml"]
    {
        let output = shell::sh(&format!("gantryd {flags}"));
        assert!(matches!(output.status.code(), Some(1..=99)), "{flags}: {}", output.status);
        assert!(!output.stderr.is_empty(), "{flags}");
    }
}
