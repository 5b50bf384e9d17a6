//! The main job: a container runs, is looked at, waited for, stopped and removed, and every way of asking agrees.

use super::conn::Reply;
use super::harness::Daemon;
use super::shell;

/// What a web server of busybox is run with.
pub const HTTPD: &str = "-- httpd -f -p 80 -h /www";

/// The host's port of the one published port of a container.
#[track_caller]
pub fn host_port(reply: &Reply) -> u16 {
    let ports = reply.get("ports");
    let (host, _) = ports.split_once("->").unwrap_or_else(|| panic!("no port in {ports}"));
    host.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {ports}"))
}

/// A shell command that fetches a page, and waits for a server that is only just starting.
pub fn fetch(address: &str) -> String {
    format!(
        "curl -sS --fail --max-time 60 --retry 50 --retry-connrefused --retry-delay 0 --retry-max-time 60 http://{address}/"
    )
}

#[test]
fn a_published_page_is_fetched() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let run = daemon.ok(&format!("run busybox name=web publish=80 {HTTPD}"));
    let page = daemon.sh(&fetch(&format!("127.0.0.1:{}", host_port(&run)))).succeeds();
    assert!(page.contains("It works"), "{page}");
    let page = daemon.sh(&fetch(&run.get("ip"))).succeeds();
    assert!(page.contains("It works"), "the host reaches the container itself: {page}");
    assert_eq!(daemon.ok("stop web timeout=0").get("exit"), "137");
    daemon.ok("rm web");
}

#[test]
fn socat_and_the_client_drive_it() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let socat = format!("socat -t {} - UNIX-CONNECT:$GANTRY_SOCKET", shell::socat_bears());
    let script = format!("echo 'run busybox name=web publish=80 {HTTPD}' | {socat}");
    let said = daemon.sh(&script).succeeds();
    // Behind signs of life, where the machine is busy.
    assert!(said.lines().any(|line| line.starts_with("OK name=web:latest")), "{said}");
    let listed = daemon.client(&["ps"]).succeeds();
    assert!(listed.contains("web"), "{listed}");
    assert_eq!(daemon.client(&["run", "--rm", "busybox", "sh", "-c", "exit 3"]).status.code(), Some(3));
    daemon.client(&["stop", "-t", "0", "web"]).succeeds();
    daemon.client(&["rm", "web"]).succeeds();
    assert_eq!(daemon.ok("ps").get("count"), "0");
}

#[test]
fn an_attached_run_gives_output_and_status() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let run = daemon.ok("run busybox name=job attach=yes -- sh -c 'echo out; echo err >&2; exit 3'");
    let mut logs = run.logs();
    // Two pipes: which is read first is not told.
    logs.sort();
    assert_eq!(logs, ["stderr err", "stdout out"]);
    assert_eq!(run.get("exit"), "3");
    assert_eq!(daemon.ok("logs job").logs().len(), 2);
    daemon.ok("rm job");
}

#[test]
fn all_of_a_long_output_arrives() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let run = daemon.ok("run busybox name=job attach=yes rm=yes -- seq 1 50000");
    let numbers: String = (1..=50000).map(|n| format!("{n}\n")).collect();
    assert!(run.written("stdout") == numbers, "{} bytes of {}", run.written("stdout").len(), numbers.len());
}

#[test]
fn what_it_is_given_is_what_it_sees() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let seen = |options: &str, script: &str| {
        let run = daemon.ok(&format!("run busybox name=job attach=yes rm=yes {options} -- sh -c '{script}'"));
        run.logs().iter().map(|line| line.trim_start_matches("stdout ").to_owned()).collect::<Vec<_>>().join(",")
    };
    assert_eq!(seen("env=A=1 'env=B=two words' env=A=2", "echo $A; echo $B"), "2,two words");
    assert_eq!(seen("workdir=/www", "pwd"), "/www");
    assert_eq!(seen("user=www", "id -u; id -g; id -un"), "80,80,www");
    assert_eq!(seen("user=1234:4321", "id -u; id -g"), "1234,4321");
    assert_eq!(seen("hostname=ship", "hostname; cat /proc/sys/kernel/hostname"), "ship,ship");
    assert_eq!(seen("", "[ $(hostname) = localhost ] || hostname | wc -c"), "13");
    let run = daemon.ok("run busybox name=job attach=yes rm=yes \"entrypoint=echo from\" -- the entrypoint");
    assert_eq!(run.logs(), ["stdout from the entrypoint"]);
}

#[test]
fn an_image_says_how_it_is_run() {
    let daemon = Daemon::start();
    let rootfs = shell::busybox_rootfs().display();
    let config = "entrypoint=\"echo hello\" cmd='to you' env=X=1 workdir=/www user=www";
    daemon.ok(&format!("image import {rootfs} greet:2 {config}"));
    let run = daemon.ok("run greet:2 attach=yes");
    assert_eq!((run.get("name").as_str(), run.logs()), ("greet:2", vec!["stdout hello to you".to_owned()]));
    let run = daemon.ok("run greet:2 name=other attach=yes entrypoint=sh -- -c 'echo $X $PWD $(id -un)'");
    assert_eq!(run.logs(), ["stdout 1 /www www"]);
    daemon.ok("rm greet:2");
    daemon.ok("rm other");
}

#[test]
fn a_directory_is_run_and_not_changed() {
    let daemon = Daemon::start();
    let tree = daemon.place().dir().join("plain");
    shell::sh(&format!("examples/busybox-rootfs.sh {}", tree.display())).succeeds();
    let run = daemon.ok(&format!("run rootfs={} attach=yes -- sh -c 'echo x >/www/new; ls /www'", tree.display()));
    assert_eq!(run.get("name"), "plain:latest");
    assert_eq!(run.logs(), ["stdout index.html", "stdout new"]);
    assert!(!tree.join("www/new").exists(), "the tree underneath is unchanged");
    daemon.ok("rm plain");
}

#[test]
fn everyone_who_asks_hears_the_same_end() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut watcher = daemon.conn();
    watcher.send("events type=container name=job:latest");
    assert_eq!(watcher.parsed().get("type").as_deref(), Some("subscribed"));
    let mut waiters: Vec<_> = (0..3).map(|_| daemon.conn()).collect();
    daemon.ok("create busybox name=job -- sh -c 'exit 9'");
    waiters.iter_mut().for_each(|conn| conn.send("wait job"));
    daemon.ok("start job");
    for mut waiter in waiters {
        let end = waiter.reply();
        assert_eq!((end.get("exit"), end.get("oom")), ("9".into(), "no".into()));
    }
    let row = daemon.ok("ps");
    assert_eq!((row.column("state"), row.column("exit")), (vec!["exited".into()], vec!["9".to_owned()]));
    let mut actions = Vec::new();
    while !actions.contains(&"exit".to_owned()) {
        let event = watcher.parsed();
        if event.get("action").as_deref() == Some("exit") {
            assert_eq!(event.get("exit").as_deref(), Some("9"));
        }
        actions.extend(event.get("action"));
    }
    assert!(actions.iter().any(|action| action == "start"), "{actions:?}");
    daemon.ok("rm job");
}

#[test]
fn an_out_of_memory_kill_is_told() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=hog memory=16m -- sh -c 'x=x; while :; do x=$x$x; done'");
    let end = daemon.ok("wait hog");
    assert_eq!((end.get("exit"), end.get("oom")), ("137".into(), "yes".into()));
    daemon.ok("rm hog");
    // A child's death counts too, while the first process lives on to tell of it.
    daemon.ok("run busybox name=hog memory=16m -- sh -c 'sh -c \"x=x; while :; do x=\\$x\\$x; done\"; exit 4'");
    let end = daemon.ok("wait hog");
    assert_eq!((end.get("exit"), end.get("oom")), ("4".into(), "yes".into()));
    daemon.ok("rm hog");
}

#[test]
fn a_container_is_found_by_any_of_its_names() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let id = daemon.ok("create busybox name=web:1 label=team=a env=A=1 -- true").get("id");
    for name in ["web:1", &id, &id[..6]] {
        let document = daemon.ok(&format!("inspect {name}")).json();
        assert!(document.to_string().contains(&id), "{document}");
    }
    let rows = |filter: &str| daemon.ok(&format!("ps {filter}")).get("count");
    assert_eq!((rows("label=team=a"), rows("label=team"), rows("label=team=b")), ("1".into(), "1".into(), "0".into()));
    assert_eq!((rows("name=web:1"), rows("name=web:2"), rows("state=created")), ("1".into(), "0".into(), "1".into()));
    daemon.ok("rm web:1");
}

#[test]
fn a_container_runs_again_with_what_it_wrote() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=job -- sh -c 'echo x >>/count; exit $(wc -l </count)'");
    assert_eq!(daemon.ok("wait job").get("exit"), "1");
    for expected in ["2", "3"] {
        daemon.ok("start job");
        assert_eq!(daemon.ok("wait job").get("exit"), expected);
    }
    daemon.ok("rm job");
}

#[test]
fn what_has_ended_can_be_started_or_removed_at_once() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    for _ in 0..5 {
        daemon.ok("run busybox name=job -- echo hello");
        assert_eq!(daemon.ok("logs job follow=yes").written("stdout"), "hello\n");
        daemon.ok("start job");
        assert_eq!(daemon.ok("logs job follow=yes").written("stdout"), "hello\nhello\n");
        daemon.ok("rm job");
    }
}

#[test]
fn stopping_asks_first_and_kills_then() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let trap = "-- sh -c 'trap \"exit 7\" TERM INT; echo ready; while :; do sleep 0.1; done'";
    daemon.ok(&format!("run busybox name=polite {trap}"));
    ready(&daemon, "polite");
    assert_eq!(daemon.ok("stop polite").get("exit"), "7");
    daemon.ok(&format!("run busybox name=other stop-signal=INT {trap}"));
    ready(&daemon, "other");
    assert_eq!(daemon.ok("stop other").get("exit"), "7");
    daemon.ok("run busybox name=stubborn stop-timeout=100ms -- sh -c 'trap \"\" TERM; echo ready; while :; do sleep 0.1; done'");
    ready(&daemon, "stubborn");
    assert_eq!(daemon.ok("stop stubborn").get("exit"), "137");
    for name in ["polite", "other", "stubborn"] {
        daemon.ok(&format!("rm {name}"));
    }
}

/// Waits until a container has said that it is ready.
pub fn ready(daemon: &Daemon, name: &str) {
    let mut conn = daemon.conn();
    conn.send(&format!("logs {name} follow=yes"));
    while conn.parsed().text() != "stdout ready" {}
}

#[test]
fn what_it_uses_is_measured() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok(&format!("run busybox name=web memory=64m {HTTPD}"));
    let stats = daemon.ok("stats web");
    assert_eq!(stats.column("memory-limit"), ["67108864"]);
    assert_eq!(stats.column("pids"), ["1"]);
    assert!(stats.column("memory")[0].parse::<u64>().unwrap() > 0);
    daemon.ok("rm web force=yes");
}
