//! Containers with user ids of their own.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::harness::Daemon;
use super::shell::{patience, until};

/// What a script in a container of `userns=auto` with `options` writes.
#[track_caller]
fn seen(daemon: &Daemon, options: &str, script: &str) -> String {
    let run = daemon.ok(&format!("run busybox name=job attach=yes rm=yes userns=auto {options} -- sh -c '{script}'"));
    run.written("stdout")
}

/// What the root of a running container is on the host.
#[track_caller]
fn root_of(daemon: &Daemon, name: &str) -> u32 {
    let pid = daemon.ok(&format!("ps name={name}")).column("pid")[0].clone();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn its_root_is_not_the_hosts() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=a userns=auto -- sleep 1000");
    daemon.ok("run busybox name=b userns=auto user=www -- sleep 1000");
    daemon.ok("run busybox name=c -- sleep 1000");
    let (a, b) = (root_of(&daemon, "a"), root_of(&daemon, "b") - 80);
    assert!(a > 0xffff && b > 0xffff && a.abs_diff(b) >= 65536, "{a} {b}");
    assert_eq!(root_of(&daemon, "c"), 0);
    assert_eq!(
        daemon.ok("exec a -- sh -c 'id -u; head -n 1 /proc/self/uid_map | tr -s \" \"'").written("stdout"),
        format!("0\n 0 {a} 65536\n")
    );
    assert_eq!(daemon.ok("exec a user=www -- id -u").written("stdout"), "80\n");
    assert_eq!(daemon.ok("exec b -- id -u").written("stdout"), "80\n");
    for line in ["exec a", "exec a user=www", "exec b"] {
        let again = daemon.ok(&format!("{line} -- sh -c 'echo out >/dev/stdout; echo err >/dev/stderr'"));
        assert_eq!((again.written("stdout"), again.written("stderr")), ("out\n".into(), "err\n".into()), "{line}");
    }
    assert_eq!(
        (daemon.ok("top a").column("user"), daemon.ok("top b").column("user")),
        (vec!["root".into()], vec!["www".into()])
    );
    assert_eq!(daemon.ok("inspect a").json()["security"]["userns"], "auto");
    for name in ["a", "b", "c"] {
        daemon.ok(&format!("rm {name} force=yes"));
    }
}

#[test]
fn everything_else_is_as_in_any_container() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    // Files of its own, devices, streams, the network with its sysctls, and what is closed.
    let script = "id -u; stat -c %u:%g /bin/busybox /etc/hosts; touch /new; chown www:www /new; stat -c %u /new; \
        echo out >/dev/stdout; head -c 2 /dev/zero | wc -c; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ls /sys/class/net; \
        echo more >>/etc/hosts && tail -n 1 /etc/hosts; hostname; su www -c \"id -un\"";
    let options = "hostname=mine sysctl=net.ipv4.ip_unprivileged_port_start=7 shm-size=1m tmpfs=/t init=yes";
    assert_eq!(seen(&daemon, options, script), "0\n0:0\n0:0\n80\nout\n2\n7\neth0\nlo\nmore\nmine\nwww\n");
    let closed = "for f in /proc/sys/kernel/hostname /sys/fs/cgroup/x; do (echo x >$f) 2>/dev/null && echo $f; done; mount -t tmpfs t /www 2>/dev/null && echo mounted; true";
    assert_eq!(seen(&daemon, "", closed), "");
    // It may do in its own network what its root may.
    assert_eq!(seen(&daemon, "cap-add=NET_ADMIN", "ip link set lo down && echo yes"), "yes\n");
    assert_eq!(seen(&daemon, "read-only=yes", "(echo x >/x) 2>/dev/null || echo no"), "no\n");
    let run = daemon.ok("run busybox name=web userns=auto publish=80 -- httpd -f -p 80 -h /www");
    let page = super::engine::fetch(&format!("127.0.0.1:{}", super::engine::host_port(&run)));
    assert!(daemon.sh(&page).succeeds().contains("It works"));
    // It can be stopped, and started with what it wrote.
    daemon.ok("exec web user=www -- touch /tmp/mine");
    daemon.ok("stop web timeout=0");
    daemon.ok("start web");
    assert_eq!(daemon.ok("exec web -- stat -c %U /tmp/mine").written("stdout"), "www\n");
    daemon.ok("rm web force=yes");
}

#[test]
fn a_device_of_the_hosts_root_is_its_roots() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let node = daemon.place().dir().join("zero");
    let kind = nix::sys::stat::SFlag::S_IFCHR;
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::sys::stat::mknod(&node, kind, mode, nix::sys::stat::makedev(1, 5)).unwrap();
    let device = format!("device={}:/dev/mine:r", node.display());
    let script = "stat -c %u:%a /dev/mine; head -c 2 /dev/mine | wc -c; \
        su www -c \"head -c 2 /dev/mine\" 2>/dev/null || echo neither";
    assert_eq!(seen(&daemon, &device, script), "0:600\n2\nneither\n");
    // It is there after a restart too, and gone with the container.
    let run = daemon.ok(&format!(
        "run busybox name=job userns=auto {device} restart=on-failure:1 -- sh -c 'head -c 2 /dev/mine | wc -c; exit 1'"
    ));
    let waited = daemon.ok("wait job");
    assert_eq!(waited.get("exit"), "1", "{run:?}");
    assert_eq!(daemon.ok("logs job").written("stdout"), "2\n2\n");
    daemon.ok("rm job");
}

#[test]
fn on_the_disk_are_the_ids_it_sees() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let here = daemon.place().dir().join("here");
    fs::create_dir_all(&here).unwrap();
    let options = format!("volume=data:/data volume={}:/here", here.display());
    let script = "for d in /data /here; do echo x >$d/root; echo y >$d/www; chown www:www $d/www; done; echo z >/own; chown 12:34 /own";
    assert_eq!(seen(&daemon, &options, script), "");
    let ids = |path: std::path::PathBuf| fs::metadata(path).map(|found| (found.uid(), found.gid())).unwrap();
    let data = daemon.place().root().join("volumes/data/data");
    assert_eq!((ids(data.join("root")), ids(data.join("www"))), ((0, 0), (80, 80)));
    assert_eq!((ids(here.join("root")), ids(here.join("www"))), ((0, 0), (80, 80)));
    // Another container, with other ids or none, sees the same.
    assert_eq!(seen(&daemon, &options, "stat -c %u /data/www /here/root; cat /data/root"), "80\n0\nx\n");
    let plain = daemon.ok("run busybox name=job attach=yes rm=yes volume=data:/data -- stat -c %u /data/www");
    assert_eq!(plain.written("stdout"), "80\n");
    daemon.ok("volume rm data");
}

#[test]
fn its_files_are_listed_committed_and_copied() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let dir = daemon.place().dir().join("here");
    fs::create_dir_all(&dir).unwrap();
    let at = dir.display();
    daemon.ok("run busybox name=job userns=auto volume=data:/data -- sleep 1000");
    daemon.ok("exec job -- sh -c 'echo x >/own; chown 12:34 /own; echo y >/data/y'");
    assert_eq!(daemon.ok("diff job").column("path"), ["/own"]);
    fs::write(dir.join("one"), "one").unwrap();
    for place in ["/one", "/data/one", "/etc/hosts", "/new"] {
        let from = if place == "/new" { String::new() } else { "/one".to_owned() };
        daemon.ok(&format!("cp {at}{from} job:{place}"));
    }
    assert_eq!(
        daemon.ok("exec job -- stat -c %u:%g /one /data/one /etc/hosts /new/one").written("stdout"),
        "0:0\n".repeat(4)
    );
    daemon.ok(&format!("cp job:/own {at}/own"));
    assert_eq!(fs::metadata(dir.join("own")).unwrap().uid(), 0);
    daemon.ok("commit job made");
    daemon.ok("stop job timeout=0");
    daemon.ok(&format!("cp {at}/one job:/still"));
    daemon.ok(&format!("cp job:/data/y {at}/y"));
    daemon.ok("start job");
    assert_eq!(daemon.ok("exec job -- stat -c %u:%g /still").written("stdout"), "0:0\n");
    daemon.ok("rm job force=yes");
    let run = daemon.ok("run made name=job attach=yes rm=yes -- stat -c %u:%g /own /one");
    assert_eq!(run.written("stdout"), "12:34\n0:0\n");
    daemon.ok("volume rm data");
}

#[test]
fn it_is_looked_at_and_starts_again_by_itself() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let options = "publish=80 restart=always health-cmd='test -e /well' health-interval=100ms";
    let script = "n=$(cat /n 2>/dev/null || echo 0); echo $((n+1)) >/n; stat -c %u /n; touch /well; exec sleep 1000";
    let run = daemon.ok(&format!("run busybox name=job userns=auto {options} -- sh -c '{script}'"));
    let port = super::engine::host_port(&run);
    let seen = |column: &str| daemon.ok("ps name=job").column(column)[0].clone();
    until(patience(60), "it is healthy", || seen("health") == "healthy");
    daemon.ok("exec job -- rm /well");
    // Not by `kill`, which ends it for good.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(seen("pid").parse().unwrap()), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    until(patience(60), "it is healthy again", || seen("restarts") == "1" && seen("health") == "healthy");
    assert_eq!(daemon.ok("exec job -- cat /n").written("stdout"), "2\n");
    assert_eq!(daemon.ok("logs job").logs(), ["stdout 0"; 2]);
    assert!(seen("ports").contains(&port.to_string()), "{}", seen("ports"));
    daemon.ok("rm job force=yes");
}

#[test]
fn its_words_may_be_any_bytes() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let said =
        daemon.ok(r#"run busybox name=job attach=yes rm=yes text=quoted userns=auto user=www -- printf "%s" "\xff""#);
    assert_eq!(said.logs(), [r#"stdout+ "\xff""#]);
}

#[test]
fn ids_are_given_back() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut given = BTreeSet::new();
    for _ in 0..3 {
        daemon.ok("run busybox name=job userns=auto -- sleep 1000");
        given.insert(root_of(&daemon, "job"));
        daemon.ok("rm job force=yes");
    }
    // The kernel says who claims them.
    let claimed = || {
        let sockets = fs::read_to_string("/proc/net/unix").unwrap();
        given.iter().filter(|first| sockets.lines().any(|line| line.ends_with(&format!("@gantry/ids/{first}")))).count()
    };
    // Other tests take some too.
    super::shell::until(super::shell::patience(60), "nobody has them", || claimed() == 0);
    let mut conn = daemon.conn();
    assert_eq!(conn.refused("run busybox userns=auto privileged=yes -- true"), "bad-option");
    assert_eq!(conn.refused("run busybox userns=mine -- true"), "bad-value");
    assert_eq!(conn.refused("run busybox userns=auto user=70000 -- true"), "bad-value");
    // A file system that knows no idmapped mounts.
    let refusal = conn.request("run rootfs=/sys name=job userns=auto -- true").end.text();
    assert!(refusal.starts_with("unsupported ") && refusal.contains("idmapped"), "{refusal}");
}
