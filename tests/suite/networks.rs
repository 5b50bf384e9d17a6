//! How containers are connected: modes, addresses, networks of their own, and links that come and go while they run.

use super::engine::{HTTPD, fetch};
use super::harness::{Daemon, Setup};
use super::shell;

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
    assert!(text.starts_with("lo\n1\n127.0.0.1\tlocalhost\n"), "{text}");
    assert!(text.ends_with("\n127.0.0.1\talone job\n1.2.3.4\tup\nalone\n"), "nothing stands for the host: {text}");
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

#[test]
fn networks_are_made_listed_and_removed() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let (mut conn, mut events) = (daemon.conn(), daemon.conn());
    events.send("events type=network");
    events.parsed();
    let subnet = conn.ok("network create front").get("subnet");
    conn.ok("network create vault internal=yes");
    conn.ok("create busybox name=made network=front -- true");
    conn.ok("run busybox name=web network=front alias=www stop-signal=KILL -- sleep 1000");
    let listed = conn.ok("network ls");
    assert_eq!(listed.column("name"), ["bridge", "front", "vault"]);
    assert_eq!(listed.column("internal"), ["no", "no", "yes"]);
    assert_eq!(listed.column("containers"), ["", "web:latest", ""]);
    assert_eq!(listed.column("subnet")[1], subnet);
    let bridge = daemon.place().bridge();
    assert_eq!(listed.column("bridge"), [bridge.clone(), format!("{bridge}.n1"), format!("{bridge}.n2")]);
    let inspected = conn.ok("network inspect front").json();
    assert_eq!((&inspected["subnet"], &inspected["containers"][0]["aliases"][0]), (&subnet.into(), &"www".into()));
    assert_eq!(inspected["containers"][0]["endpoint"]["ip"], conn.ok("inspect web").json()["network"]["ip"]);
    for (line, code) in [
        ("network rm front", "in-use"),
        ("network rm bridge", "denied"),
        ("network rm nowhere", "not-found"),
        ("network inspect nowhere", "not-found"),
        ("network create front", "exists"),
        ("network create host", "bad-value"),
        ("network create x subnet=10.0.0.0/31", "bad-value"),
        ("network connect front web", "exists"),
        ("network disconnect vault web", "not-found"),
        ("run busybox name=x network=vault publish=80 -- true", "bad-option"),
    ] {
        assert_eq!(conn.refused(line), code, "{line}");
    }
    assert_eq!(conn.refused(&format!("network create x subnet={}", daemon.place().subnet())), "in-use");
    conn.ok("rm web force=yes");
    // One that was only made does not hold it.
    conn.ok("network rm front");
    assert_eq!(conn.refused("start made"), "not-found");
    assert_eq!(conn.refused("network connect front made"), "exists");
    conn.ok("network connect vault made");
    conn.ok("network disconnect front made");
    conn.ok("start made");
    conn.ok("wait made");
    let told = std::iter::repeat_with(|| events.parsed()).map(|event| {
        let of = |key: &str| event.get(key).unwrap_or_default();
        format!("{} {} {}", of("name"), of("action"), of("container"))
    });
    let expected = [
        "front create ",
        "vault create ",
        "front connect web:latest",
        "front disconnect web:latest",
        "front remove ",
        "vault connect made:latest",
        "vault disconnect made:latest",
    ];
    assert_eq!(told.take(expected.len()).collect::<Vec<_>>(), expected);
    conn.ok("rm made");
    conn.ok("network rm vault");
}

#[test]
fn a_container_is_no_router_unless_it_asks_to_be() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    assert_eq!(daemon.sh("cat /proc/sys/net/ipv4/ip_forward").succeeds(), "1\n", "the host is one");
    let script = "cat /proc/sys/net/ipv4/ip_forward";
    for options in ["", "network=none"] {
        assert_eq!(seen(&daemon, options, script), "0\n", "{options}");
    }
    assert_eq!(seen(&daemon, "sysctl=net.ipv4.ip_forward=1", script), "1\n");
}

#[test]
fn links_come_and_go_while_a_container_runs() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    conn.ok("network create front");
    conn.ok("network create vault internal=yes");
    let web = conn.ok(&format!("run busybox name=web network=vault network=front publish=80 stop-signal=KILL {HTTPD}"));
    let ips: Vec<String> = web.get("ip").split(',').map(str::to_owned).collect();
    assert_eq!(ips.len(), 2);
    daemon.sh(&fetch(&ips[1])).succeeds();
    let nc = |ip: &str| format!("nc -w 2 {ip} 80 </dev/null && echo got || echo lost");
    assert_eq!(seen(&daemon, "network=vault", &nc(&ips[0])), "got\n");
    assert_eq!(seen(&daemon, "network=front", &nc(&ips[1])), "got\n");
    assert_eq!(seen(&daemon, "", &nc(&ips[1])), "lost\n");
    let now = conn.ok("network connect bridge web").get("ip");
    assert_eq!(conn.ok("ps name=web").column("ip"), [now.as_str()]);
    let third = now.split(',').nth(2).expect("a third address").to_owned();
    assert_eq!(seen(&daemon, "", &nc(&third)), "got\n");
    assert_eq!(conn.ok("exec web -- ls /sys/class/net").written("stdout"), "eth0\neth1\neth2\nlo\n");
    let server = |conn: &mut super::conn::Conn| {
        conn.ok("exec web -- sed -n s/^nameserver.//p /etc/resolv.conf").written("stdout")
    };
    let (asked, own) = (server(&mut conn), conn.ok("exec web -- cat /etc/hosts").written("stdout"));
    assert!(ips.iter().all(|ip| own.contains(&format!("{ip}\t"))) && own.contains(&format!("{third}\t")), "{own}");
    conn.ok("network disconnect front web");
    assert_eq!(conn.ok("exec web -- ls /sys/class/net").written("stdout"), "eth0\neth2\nlo\n");
    // The name server of the network that is left, where the other's is not reached any more.
    assert_ne!(server(&mut conn), asked);
    assert_eq!(server(&mut conn).trim(), address(&daemon, 1));
    assert!(!conn.ok("exec web -- cat /etc/hosts").written("stdout").contains(&format!("{}\t", ips[1])));
    conn.ok("exec web -- nslookup web 2>&1");
    // The published port goes by the network that is left.
    let port = super::engine::host_port(&web);
    daemon.sh(&fetch(&format!("127.0.0.1:{port}"))).succeeds();
    assert_eq!(conn.refused("network disconnect bridge web"), "in-use");
    let stats = conn.ok("stats web").column("net-rx");
    assert!(stats[0].parse::<u64>().unwrap() > 0, "{stats:?}");
    // It is so at the next start.
    conn.ok("restart web");
    let again = conn.ok("ps name=web").column("ip");
    assert_eq!(again[0].split(',').count(), 2);
    conn.ok("network rm front");
    conn.ok("rm web force=yes");
    conn.ok("network rm vault");
}

#[test]
fn what_has_no_network_of_its_own_is_connected_to_none() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    conn.ok("run busybox name=web -- sleep 1000");
    for mode in ["none", "host", "container:web"] {
        conn.ok(&format!("run busybox name=job network={mode} stop-signal=KILL -- sleep 1000"));
        assert_eq!(conn.refused("network connect bridge job"), "wrong-state", "{mode}");
        assert_eq!(conn.refused("network disconnect bridge job"), "wrong-state", "{mode}");
        conn.ok("rm job force=yes");
    }
    conn.ok("network disconnect bridge web");
    assert_eq!(conn.ok("ps name=web").column("ip"), [""]);
    assert_eq!(conn.ok("network connect bridge web").get("ip"), conn.ok("ps name=web").column("ip")[0]);
    conn.ok("rm web force=yes");
}

#[test]
fn a_killed_daemon_leaves_no_network() {
    let mut daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("network create front");
    daemon.ok("network create vault internal=yes");
    daemon.ok("run busybox name=web network=front network=vault publish=80 -- sleep 1000");
    daemon.kill();
    daemon.restart();
    assert_eq!(daemon.ok("network ls").column("name"), ["bridge"]);
    daemon.ok("network create front");
    daemon.ok("network rm front");
}

#[test]
fn the_client_has_verbs_for_networks() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.client(&["network", "create", "--internal", "vault"]).succeeds();
    let listed = daemon.client(&["network", "ls"]).succeeds();
    assert!(listed.contains("vault") && listed.contains("bridge"), "{listed}");
    daemon.client(&["run", "-d", "--name", "web", "--network", "vault", "busybox", "sleep", "1000"]).succeeds();
    daemon.client(&["network", "connect", "bridge", "web"]).succeeds();
    let inspected = daemon.client(&["network", "inspect", "vault"]).succeeds();
    assert!(inspected.contains("web:latest"), "{inspected}");
    daemon.client(&["network", "disconnect", "vault", "web"]).succeeds();
    daemon.client(&["network", "rm", "vault"]).succeeds();
    daemon.client(&["rm", "-f", "web"]).succeeds();
}

#[test]
fn a_container_finds_those_of_all_its_networks_and_no_others() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    conn.ok("network create front");
    conn.ok("network create vault internal=yes");
    let db = conn.ok("run busybox name=db network=vault alias=store -- sleep 1000").get("ip");
    let web = conn.ok("run busybox name=web network=front network=vault -- sleep 1000").get("ip");
    let mut asked = |who: &str, name: &str| {
        let reply = conn.ok(&format!("exec {who} -- nslookup {name}"));
        let found = reply
            .written("stdout")
            .lines()
            .filter_map(|line| line.strip_prefix("Address: ")?.parse::<std::net::Ipv4Addr>().ok())
            .next_back();
        found.filter(|_| reply.get("exit") == "0").map(|ip| ip.to_string())
    };
    assert_eq!(asked("web", "db"), Some(db.clone()), "on its second network");
    assert_eq!(asked("web", "store"), Some(db));
    assert_eq!(asked("db", "web"), web.split(',').nth(1).map(str::to_owned));
    assert_eq!(asked("db", "nobody"), None);
    daemon.ok("network disconnect vault web");
    assert_eq!(asked("web", "db"), None, "it is not on that network any more");
    assert_eq!(asked("db", "web"), None);
    daemon.ok("network connect vault web");
    assert!(asked("web", "latest.db").is_some() && asked("db", "web").is_some());
    for line in ["rm db force=yes", "rm web force=yes", "network rm front", "network rm vault"] {
        daemon.ok(line);
    }
}

#[test]
fn the_log_tells_of_a_table_that_was_taken_away() {
    let daemon = Daemon::start();
    let table = daemon.place().bridge();
    daemon.sh(&format!("nft delete table inet {table}")).succeeds();
    let told = format!("somebody took away the nft table inet {table}; it is back");
    shell::until(shell::patience(60), "it is told", || daemon.log().contains(&told));
    daemon.sh(&format!("nft list table inet {table}")).succeeds();
}

#[test]
fn a_firewall_that_comes_later_is_told_in_the_log_and_once() {
    let daemon = Setup { apart: true, ..Setup::default() }.start();
    let told = |chain: &str| daemon.log().matches(&format!("the chain {chain} of the table inet mine")).count();
    for chain in ["first", "second"] {
        assert_eq!(told(chain), 0);
        daemon
            .sh(&format!(
                "nft -f - <<'E'
                table inet mine {{ chain {chain} {{ type filter hook forward priority filter; policy drop; }}; }}\nE"
            ))
            .succeeds();
        assert!(shell::waits(shell::patience(10), || told(chain) > 0), "{chain}: {}", daemon.log());
    }
    assert_eq!((told("first"), told("second")), (1, 1));
}
