//! A container as its own processes find it: what is open, closed and hidden, who they are, and the files of `/etc`.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::harness::Daemon;
use super::{host, shell};

/// What a script in a container with `options` writes.
#[track_caller]
fn seen(daemon: &Daemon, options: &str, script: &str) -> String {
    let run = daemon.ok(&format!("run {options} name=job attach=yes rm=yes -- sh -c '{script}'"));
    assert_eq!(run.written("stderr"), "", "{script}");
    run.written("stdout")
}

/// A tree of busybox that a test may change, in its daemon's directory.
fn tree(daemon: &Daemon, name: &str) -> PathBuf {
    let tree = daemon.place().dir().join(name);
    shell::sh(&format!("cp -a {} {}", shell::busybox_rootfs().display(), tree.display())).succeeds();
    tree
}

#[test]
fn no_descriptor_of_the_daemon_is_open() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    // Clients, a container and an exec that are there meanwhile, so that the daemon has more than its own.
    let _other = daemon.conn();
    daemon.ok("run busybox name=other -- sleep 100000");
    let script = "for fd in 0 1 2 3 4 5 6 7 8 9; do readlink /proc/$$/fd/$fd; done; echo; ls /proc/1/fd; true";
    for options in ["busybox", "busybox init=yes", "busybox privileged=yes"] {
        let open = seen(&daemon, options, script);
        let (links, listed) = open.split_once("\n\n").expect("two lists");
        let kinds: Vec<_> = links.lines().map(|link| link.split(':').next().unwrap_or_default()).collect();
        assert_eq!(kinds, ["/dev/null", "pipe", "pipe"], "{options}: {links}");
        // An init may open some for itself; none leads out of its container.
        assert!(options.contains("init") || listed == "0\n1\n2\n", "{options}: {listed}");
    }
    let links = seen(&daemon, "busybox init=yes", "for fd in /proc/1/fd/*; do readlink $fd; done");
    let allowed =
        |link: &str| link == "/dev/null" || ["pipe:", "anon_inode:"].iter().any(|kind| link.starts_with(kind));
    assert!(links.lines().all(allowed), "{links}");
    let exec = daemon.ok("exec other -- sh -c 'for fd in 3 4 5 6 7 8 9; do readlink /proc/$$/fd/$fd; done; true'");
    assert_eq!(exec.written("stdout"), "");
    daemon.ok("rm other force=yes");
}

#[test]
fn settings_of_the_kernel_are_hidden_or_cannot_be_written() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let masked = "/proc/kcore /proc/keys /proc/timer_list /proc/latency_stats /proc/timer_stats /proc/sched_debug";
    let hidden =
        format!("for f in {masked}; do test ! -e $f || test ! -s $f || echo $f; head -c 1 $f 2>/dev/null; done");
    assert_eq!(seen(&daemon, "busybox", &hidden), "");
    let dirs = "for d in /proc/acpi /proc/scsi /sys/firmware /sys/devices/virtual/powercap; do ls -A $d 2>/dev/null; done; true";
    assert_eq!(seen(&daemon, "busybox", dirs), "");
    let files = "/proc/sys/kernel/hostname /proc/sys/vm/swappiness /proc/sysrq-trigger /proc/irq/default_smp_affinity";
    let written = format!("for f in {files}; do (echo 0 >$f) 2>/dev/null && echo $f; done; true");
    assert_eq!(seen(&daemon, "busybox", &written), "");
    // Not even by a root who may do everything but mount.
    assert_eq!(seen(&daemon, "busybox cap-add=DAC_OVERRIDE cap-add=SYS_RAWIO seccomp=unconfined", &written), "");
    // With v1 each controller is a directory, with v2 there is one for all.
    let mounted = "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do test -e $d/cgroup.procs && mkdir $d/x 2>/dev/null && echo $d; done; true";
    assert_eq!(seen(&daemon, "busybox", mounted), "");
}

#[test]
fn devices_of_the_host_are_closed() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    // Every container has these, and only these.
    let listed = seen(
        &daemon,
        "busybox",
        "cd /dev; for f in *; do test -L $f || test ! -c $f -a ! -b $f || echo $f; done | sort | tr \"\\n\" \" \"",
    );
    assert_eq!(listed.trim(), "full null random tty urandom zero", "{listed}");
    // One that it makes itself cannot be opened: memory, the kernel's log, a loop device, its control.
    let script = "for d in \"c 1 1\" \"c 1 11\" \"b 7 0\" \"c 10 237\"; do mknod /x $d && (exec 3</x) 2>/dev/null && echo open $d; rm -f /x; done; true";
    assert_eq!(seen(&daemon, "busybox cap-add=MKNOD", script), "");
}

#[test]
fn processes_are_counted_and_have_eleven_capabilities() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let limit = |options: &str| {
        let id = daemon.ok(&format!("run busybox name=box {options} -- sleep 100000")).get("id");
        let parent = daemon.place().cgroup();
        let files = host::hierarchies().into_iter().map(|mount| mount.join(&parent).join(&id).join("pids.max"));
        let read = files.filter_map(|file| fs::read_to_string(file).ok()).next().expect("it is limited");
        daemon.ok("rm box force=yes");
        read.trim().to_owned()
    };
    assert_eq!((limit(""), limit("pids=7"), limit("pids=0")), ("2048".into(), "7".into(), "max".into()));
    let sets = seen(&daemon, "busybox", "grep Cap /proc/self/status | tr -d \"\\t\"");
    let (none, eleven) = ("0000000000000000", "00000000800405fb");
    for (set, bits) in [("CapInh", none), ("CapPrm", eleven), ("CapEff", eleven), ("CapBnd", eleven), ("CapAmb", none)]
    {
        assert!(sets.contains(&format!("{set}:{bits}\n")), "{set} in {sets}");
    }
    // A process that cannot be made is told as such.
    let many = "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done 2>/dev/null; echo reached";
    assert!(daemon.ok(&format!("run busybox name=box rm=yes attach=yes pids=4 -- sh -c '{many}'")).get("exit") != "0");
}

#[test]
fn who_it_runs_as_is_what_the_image_says() {
    let daemon = Daemon::start();
    let tree = tree(&daemon, "users");
    let passwd = "root:x:0:0::/root:/bin/sh\nweb:x:101:102:Web:/srv:/bin/sh\n";
    fs::write(tree.join("etc/passwd"), passwd).unwrap();
    let group = "root:x:0:\nweb:x:102:\nadm:x:200:other,web\nlog:x:201:web\nothers:x:202:other\n";
    fs::write(tree.join("etc/group"), group).unwrap();
    let rootfs = format!("rootfs={}", tree.display());
    let id = |user: &str| {
        let groups = seen(&daemon, &format!("{rootfs} user={user}"), "echo $(id -u) $(id -g) $(id -G) $HOME");
        groups.trim_end().to_owned()
    };
    for (user, expected) in [
        ("web", "101 102 102 200 201 /srv"),
        ("101", "101 102 102 200 201 /srv"),
        ("web:adm", "101 200 200 /srv"),
        ("web:7", "101 7 7 /srv"),
        ("101:201", "101 201 201 /srv"),
        ("4242", "4242 0 0 /"),
        ("4242:log", "4242 201 201 /"),
        (":adm", "0 200 200 /root"),
        ("0", "0 0 0 /root"),
    ] {
        assert_eq!(id(user), expected, "user={user}");
    }
    let mut conn = daemon.conn();
    for wrong in ["ghost", "web:ghosts", "-1", "web:-1", "4294967296"] {
        assert_eq!(conn.refused(&format!("run {rootfs} name=job user={wrong} -- true")), "bad-value", "{wrong}");
    }
}

#[test]
fn the_files_of_etc_are_its_own() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let (id, ip) = ("grep $(hostname) /etc/hosts | grep -v ^fd | cut -f2", "hostname -i");
    let own = seen(&daemon, "busybox hostname=web.example.org", &format!("{id}; hostname; cat /etc/hostname; {ip}"));
    let lines: Vec<_> = own.lines().collect();
    assert_eq!(lines[..3], ["web.example.org web job", "web.example.org", "web.example.org"], "{own}");
    assert!(lines[3].starts_with("10."), "its name is its address: {own}");
    let short = seen(&daemon, "busybox", "test $(hostname) = $(cat /etc/hostname) && hostname | wc -c");
    assert_eq!(short, "13\n");
    let route = "ip route | head -n 1 | cut -d \" \" -f3";
    let host = "grep host.docker.internal /etc/hosts | tr \"\\t\" \" \"";
    let both = seen(&daemon, "busybox", &format!("{route}; {host}"));
    let (gateway, line) = both.trim_end().split_once('\n').expect("two lines");
    assert_eq!(line, format!("{gateway} host.docker.internal host.containers.internal"));
    let wished = seen(&daemon, "busybox add-host=host.docker.internal:192.0.2.9", host);
    assert_eq!(wished, "192.0.2.9 host.docker.internal\n");
    // Written by the container, and made anew when it starts again.
    daemon.ok("run busybox name=box -- sh -c 'grep -c mine /etc/hosts; echo mine >>/etc/hosts'");
    daemon.ok("wait box");
    daemon.ok("start box");
    daemon.ok("wait box");
    assert_eq!(daemon.ok("logs box").written("stdout"), "0\n0\n");
    daemon.ok("rm box");
}

#[test]
fn images_have_an_etc_of_any_kind() {
    let daemon = Daemon::start();
    let outside = daemon.place().dir().join("outside");
    fs::create_dir(&outside).unwrap();
    let (none, link, inner) = (tree(&daemon, "none"), tree(&daemon, "link"), tree(&daemon, "inner"));
    fs::remove_dir_all(none.join("etc")).unwrap();
    fs::rename(link.join("etc"), link.join("conf")).unwrap();
    symlink("/conf", link.join("etc")).unwrap();
    // As a host with systemd-resolved has it, and one that means to lead out.
    symlink("../run/systemd/resolve/stub-resolv.conf", inner.join("etc/resolv.conf")).unwrap();
    symlink(format!("../../../../../../../..{}/hosts", outside.display()), inner.join("etc/hosts")).unwrap();
    let script = "grep -c localhost /etc/hosts; cat /etc/hostname; grep nameserver /etc/resolv.conf";
    let gateway = daemon.place().subnet().replace(".0/24", ".1");
    for tree in [&none, &link, &inner] {
        for more in ["", "read-only=yes"] {
            let options = format!("rootfs={} hostname=web dns=192.0.2.1 {more}", tree.display());
            assert_eq!(seen(&daemon, &options, script), format!("2\nweb\nnameserver {gateway}\n"), "{options}");
        }
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing is made outside");
    assert!(!none.join("etc").exists() && !inner.join("run").exists(), "the tree is as it was");
}

#[test]
fn name_servers_are_those_that_it_reaches() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let file = daemon.place().dir().join("resolv.conf");
    let lines = "search example.org\nnameserver 127.0.0.1\nnameserver 192.0.2.53\nnameserver ::1\noptions ndots:2\n";
    fs::write(&file, lines).unwrap();
    // Seen by the daemon alone, whose mounts are its own.
    let mount = format!("mount --bind {} $(realpath /etc/resolv.conf)", file.display());
    shell::sh(&format!("nsenter --mount --target {} sh -c '{mount}'", daemon.pid())).succeeds();
    let gateway = daemon.place().subnet().replace(".0/24", ".1");
    let asks_us = seen(&daemon, "busybox", "grep -v ^# /etc/resolv.conf");
    assert_eq!(asks_us, format!("nameserver {gateway}\nsearch example.org\noptions ndots:2\n"));
    assert_eq!(seen(&daemon, "busybox network=host", "cat /etc/resolv.conf"), lines);
    let own = seen(&daemon, "busybox network=none", "cat /etc/resolv.conf");
    assert_eq!(own, "search example.org\nnameserver 192.0.2.53\noptions ndots:2\n");
    let given = seen(&daemon, "busybox network=none dns=192.0.2.1", "cat /etc/resolv.conf");
    assert_eq!(given, "nameserver 192.0.2.1\nsearch example.org\noptions ndots:2\n");
}

#[test]
fn a_host_without_a_profile_is_told() {
    let daemon = Daemon::start();
    let found = |daemon: &Daemon| {
        let check = daemon.ok("check");
        let at = check.column("check").iter().position(|check| check == "seccomp").expect("it is looked at");
        (check.column("ok")[at].clone(), check.column("detail")[at].clone())
    };
    let (ok, detail) = found(&daemon);
    assert!(ok == "yes" && detail.ends_with("seccomp.json"), "{detail}");
    // Hidden from the daemon alone.
    let dir = PathBuf::from(&detail).parent().expect("a directory").to_owned();
    let mount = format!("mount -t tmpfs none {}", dir.display());
    shell::sh(&format!("nsenter --mount --target {} {mount}", daemon.pid())).succeeds();
    let (ok, detail) = found(&daemon);
    assert!(ok == "no" && detail.contains("install"), "{detail}");
}

#[test]
fn words_and_variables_hold_any_byte() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let escaped = |byte: u8| format!("\\x{byte:02x}");
    let all: String = (1..=255).map(escaped).collect();
    let run = |options: &str, argv: &str| {
        let reply = daemon.ok(&format!("run busybox name=job attach=yes rm=yes text=quoted {options} -- {argv}"));
        (reply.written("stdout"), reply.get("exit"))
    };
    // What comes back is told in another form, so that it is counted and summed inside.
    let script = "printf %s \"$1\" | md5sum; printf %s \"$VAR\" | md5sum; echo $0 $# $HOSTNAME $(id -u) $$; exit 5";
    let words = format!("sh -c '{script}' me \"{all}\" é \"\"");
    let expected = shell::sh("for n in $(seq 255); do printf \"\\\\$(printf %03o $n)\"; done | md5sum").succeeds();
    for (options, pid) in [("", 1), ("init=yes", 0), ("read-only=yes user=80 cap-drop=ALL no-new-privileges=yes", 1)] {
        let (seen, exit) = run(&format!("hostname=box {options} \"env=VAR={all}\""), &words);
        let lines: Vec<_> = seen.lines().map(|line| line.trim_matches('"')).collect();
        assert_eq!((lines[0], lines[1], exit.as_str()), (expected.trim_end(), expected.trim_end(), "5"), "{options}");
        let user = if options.contains("user") { 80 } else { 0 };
        assert!(lines[2].starts_with(&format!("me 3 box {user} ")), "{seen}");
        assert!(pid == 0 || lines[2].ends_with(" 1"), "it is the same process: {seen}");
    }
    // As an argument of the image's own entrypoint, and as the program's own name.
    let odd = tree(&daemon, "odd");
    let name = std::ffi::OsString::from_vec(b"echo\xff".to_vec());
    shell::finish(shell::command("cp").arg(odd.join("bin/busybox")).arg(odd.join(name))).succeeds();
    let reply = daemon.ok(&format!("run rootfs={} name=job attach=yes rm=yes -- \"/echo\\xff\" echo", odd.display()));
    assert_ne!(reply.get("exit"), "0", "busybox does not know itself by that name, but it runs");
    let mut conn = daemon.conn();
    assert_eq!(conn.refused("run busybox name=job -- no-such-program \"\\xff\""), "no-command");
    daemon.ok("run busybox name=job \"env=VAR=\\xff\" env=OTHER=1 -- sleep 100000");
    assert_eq!(daemon.ok("inspect job").json()["argv"], serde_json::json!(["sleep", "100000"]));
    let exec = daemon.ok("exec job -- sh -c 'echo \"$OTHER,$VAR\"; tr \"\\0\" , </proc/1/environ | grep -c VAR='");
    assert_eq!(exec.written("stdout"), "1,\n1\n");
    daemon.ok("stop job timeout=0");
    daemon.ok("start job");
    daemon.ok("rm job force=yes");
    assert_eq!(conn.refused("run busybox name=job attach=yes \"env=A=\\x00\" -- true"), "bad-value");
}
