//! How containers are connected: modes, addresses, networks of their own, and links that come and go while they run.

use super::engine::{HTTPD, fetch};
use super::harness::Daemon;

/// What a shell script in a container with `options` writes.
#[track_caller]
fn seen(daemon: &Daemon, options: &str, script: &str) -> String {
    daemon.ok(&format!("run busybox name=job attach=yes rm=yes {options} -- sh -c '{script}'")).written("stdout")
}

/// An address of the default network: `nth` of its subnet.
fn address(daemon: &Daemon, nth: u8) -> String {
    daemon.place().subnet().replace(".0/24", &format!(".{nth}"))
}

#[test]
fn a_container_without_a_network_has_its_loopback_alone() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let script = "ls /sys/class/net; cat /proc/net/route | wc -l; cat /etc/hosts; hostname";
    let text = seen(&daemon, "network=none hostname=alone add-host=up:1.2.3.4", script);
    let hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.0.1\talone\n1.2.3.4\tup\n";
    assert_eq!(text, format!("lo\n1\n{hosts}alone\n"));
    let run = daemon.ok("run busybox name=alone network=none -- sleep 1000");
    assert_eq!((run.get("ip"), run.get("ports")), (String::new(), String::new()));
    let inspected = daemon.ok("inspect alone").json();
    assert_eq!(inspected["network"]["mode"], "none");
    assert_eq!(inspected["network"]["networks"], serde_json::json!([]));
    assert_eq!(daemon.ok("stats alone").column("net-rx"), [""]);
    daemon.ok("rm alone force=yes");
}

#[test]
fn a_container_on_the_hosts_network_has_what_the_host_has() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let bridge = daemon.place().bridge();
    let script =
        format!("ls -d /sys/class/net/{bridge}; hostname; cat /etc/hostname; tail -n 1 /etc/hosts; echo $HOSTNAME");
    let name = daemon.sh("hostname").succeeds();
    let told = seen(&daemon, "network=host add-host=up:host-gateway", &script);
    assert_eq!(told, format!("/sys/class/net/{bridge}\n{name}{name}127.0.0.1\tup\n{name}"));
    assert_eq!(seen(&daemon, "network=host hostname=mine", "hostname"), "mine\n");
    let run = daemon.ok("run busybox name=net network=host -- sleep 1000");
    assert_eq!((run.get("ip"), run.get("ports")), (String::new(), String::new()));
    daemon.ok("rm net force=yes");
}

#[test]
fn what_does_not_go_with_a_network_is_refused() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    conn.ok("create busybox name=web -- true");
    for (wrong, code) in [
        ("network=host publish=80", "bad-option"),
        ("network=none publish=80", "bad-option"),
        ("network=container:web publish=80", "bad-option"),
        ("network=host ip=10.0.0.1", "bad-option"),
        ("network=none alias=x", "bad-option"),
        ("network=container:web hostname=x", "bad-option"),
        ("network=container:web dns=1.1.1.1", "bad-option"),
        ("network=container:web add-host=a:1.1.1.1", "bad-option"),
        ("network=host sysctl=net.ipv4.ip_forward=1", "bad-option"),
        ("network=none add-host=up:host-gateway", "bad-option"),
        ("network=none network=bridge", "bad-option"),
        ("network=bridge network=bridge", "bad-option"),
        ("network=", "bad-value"),
        ("network=a/b", "bad-value"),
        ("network=container:", "bad-value"),
        ("network=nowhere", "not-found"),
        ("network=container:nobody", "not-found"),
        ("ip=nonsense", "bad-value"),
        ("ip=127.0.0.1", "bad-value"),
        ("alias=-x", "bad-value"),
    ] {
        assert_eq!(conn.refused(&format!("create busybox name=wrong {wrong} -- true")), code, "{wrong}");
    }
    for nth in [0, 1, 255] {
        assert_eq!(conn.refused(&format!("create busybox name=x ip={} -- true", address(&daemon, nth))), "bad-value");
    }
    assert_eq!(conn.refused("run busybox name=wrong network=container:web -- true"), "wrong-state", "it does not run");
    assert_eq!(conn.ok("ps").column("name"), ["web:latest"]);
    conn.ok("rm web");
}

#[test]
fn an_address_that_is_asked_for_is_had_by_one_at_a_time() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let ip = address(&daemon, 77);
    let mut conn = daemon.conn();
    assert_eq!(conn.ok(&format!("run busybox name=web ip={ip} stop-signal=KILL {HTTPD}")).get("ip"), ip);
    let refusal = conn.request(&format!("run busybox name=other network=bridge ip={ip} {HTTPD}")).end.text();
    assert!(refusal.starts_with("in-use ") && refusal.contains("web:latest"), "{refusal}");
    for _ in 0..3 {
        conn.ok("restart web");
        assert_eq!(conn.ok("ps name=web").column("ip"), [ip.as_str()]);
    }
    conn.ok("rm web force=yes");
    conn.ok(&format!("run busybox name=other ip={ip} {HTTPD}"));
    conn.ok("rm other force=yes");
}

#[test]
fn two_containers_share_one_network_and_end_together() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    let web = conn.ok(&format!("run busybox name=web hostname=front add-host=up:1.2.3.4 stop-signal=KILL {HTTPD}"));
    daemon.sh(&fetch(&web.get("ip"))).succeeds();
    let script = "hostname; echo $HOSTNAME; grep up /etc/hosts; wget -q -O - http://127.0.0.1/ | head -c 3; echo";
    let text = seen(&daemon, "network=container:web", script);
    assert_eq!(text, "front\nfront\n1.2.3.4\tup\n<h1\n", "its name, its files, its server");
    let side = "-- sleep 1000";
    let told = conn.ok(&format!("run busybox name=side stop-signal=KILL network=container:web {side}"));
    assert_eq!((told.get("ip"), told.get("ports")), (web.get("ip"), String::new()));
    conn.ok(&format!("run busybox name=third stop-timeout=1 network=container:side {side}"));
    assert_eq!(conn.ok("inspect third").json()["network"]["shares"], "side:latest");
    assert_eq!(conn.ok("stats side").column("net-rx"), [""], "what goes over it is counted once");
    let mut events = daemon.conn();
    events.send("events type=container");
    conn.ok("stop web");
    // One after another, each as it loses what it shared: the last one pays no heed to TERM, and is killed.
    assert_eq!(conn.ok("wait side").get("exit"), "137");
    assert_eq!(conn.ok("wait third").get("exit"), "137");
    let inspected = conn.ok("inspect side").json();
    assert_eq!((&inspected["state"], &inspected["network"]["cut-off-by"]), (&"exited".into(), &"web:latest".into()));
    let cut_off = std::iter::repeat_with(|| events.parsed()).find(|e| e.get("action").as_deref() == Some("cut-off"));
    assert_eq!(cut_off.and_then(|event| event.get("container")).as_deref(), Some("web:latest"));
    assert_eq!(conn.refused("start side"), "wrong-state", "what it shares does not run");
    conn.ok("start web");
    assert_ne!(conn.ok("start side").get("ip"), "");
    assert_eq!(conn.ok("inspect side").json()["network"]["cut-off-by"], serde_json::Value::Null);
    for name in ["web", "side", "third"] {
        conn.ok(&format!("rm {name} force=yes"));
    }
}
