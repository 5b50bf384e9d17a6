//! What a container is given by options, as it sees it itself.

use super::harness::Daemon;

/// What a shell script in a container with `options` writes, its lines joined by commas.
#[track_caller]
fn seen(daemon: &Daemon, options: &str, script: &str) -> String {
    let run = daemon.ok(&format!("run busybox name=job attach=yes rm=yes {options} -- sh -c '{script}'"));
    let text = |line: &String| line.split_once(' ').map_or(String::new(), |(_, text)| text.to_owned());
    run.logs().iter().map(text).collect::<Vec<_>>().join(",")
}

/// The capabilities of a container's root, as the kernel's bits.
#[track_caller]
fn capabilities(daemon: &Daemon, options: &str) -> u64 {
    let line = seen(daemon, options, "grep CapEff /proc/self/status");
    u64::from_str_radix(line.trim_start_matches("CapEff:").trim(), 16).unwrap_or_else(|e| panic!("{line}: {e}"))
}

/// What this process, and so its daemon, has.
fn own_capabilities() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

#[test]
fn capabilities_are_added_and_dropped() {
    const DEFAULT: u64 = 0x8004_05fb;
    const NET_ADMIN: u64 = 1 << 12;
    let daemon = Daemon::start();
    daemon.import_busybox();
    assert_eq!(capabilities(&daemon, ""), DEFAULT);
    assert_eq!(capabilities(&daemon, "cap-add=NET_ADMIN"), DEFAULT | NET_ADMIN);
    assert_eq!(capabilities(&daemon, "cap-drop=all cap-add=cap_net_admin cap-add=CHOWN"), NET_ADMIN | 1);
    assert_eq!(capabilities(&daemon, "cap-drop=ALL"), 0);
    assert_eq!(capabilities(&daemon, "cap-add=ALL"), own_capabilities());
    assert_eq!(capabilities(&daemon, "user=www cap-add=ALL"), 0, "a user that is not root has none");
    assert_eq!(seen(&daemon, "cap-drop=CHOWN", "chown www /www 2>/dev/null || echo no"), "no");
    assert_eq!(seen(&daemon, "", "ip link set lo down 2>/dev/null || echo no"), "no");
    assert_eq!(seen(&daemon, "cap-add=NET_ADMIN", "ip link set lo down && echo yes"), "yes");
    let mut conn = daemon.conn();
    assert_eq!(conn.refused("run busybox cap-add=CAP_NOTHING"), "bad-value");
    // One that this host's root has not itself, where there is one.
    if own_capabilities() & (1 << 24) == 0 {
        assert_eq!(conn.refused("run busybox cap-add=SYS_RESOURCE -- true"), "unsupported");
    }
}

#[test]
fn a_privileged_container_may_what_we_may() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    assert_eq!(capabilities(&daemon, "privileged=yes"), own_capabilities());
    // Closed to others: settings of the kernel, what is masked, devices.
    let script = "(echo x >/proc/sys/kernel/domainname) 2>/dev/null && echo written; grep -c \" /proc/[^ ]* \" /proc/mounts; true";
    assert_eq!(seen(&daemon, "privileged=yes", script), "written,0");
    assert!(seen(&daemon, "", script).parse::<u32>().is_ok_and(|masked| masked > 3));
    let loops = "mknod /x b 7 0; cat /x >/dev/null 2>&1 && echo open || echo closed";
    assert_eq!(seen(&daemon, "cap-add=MKNOD", loops), "closed");
    assert_eq!(seen(&daemon, "privileged=yes", loops), "open");
    assert_eq!(seen(&daemon, "privileged=yes", "mount -t tmpfs none /www && echo yes"), "yes");
}

#[test]
fn setuid_programs_gain_nothing_where_that_is_asked() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let script = "grep NoNewPrivs /proc/self/status | tr -d \"\\t\"";
    assert_eq!(seen(&daemon, "", script), "NoNewPrivs:0");
    assert_eq!(seen(&daemon, "no-new-privileges=yes", script), "NoNewPrivs:1");
}

#[test]
fn a_read_only_root_has_places_to_write() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let script = "for f in /x /etc/hosts /dev/shm/x /t/x; do (echo >>$f) 2>/dev/null && echo $f; done; true";
    assert_eq!(seen(&daemon, "read-only=yes tmpfs=/t", script), "/dev/shm/x,/t/x");
    assert_eq!(seen(&daemon, "tmpfs=/t:ro", script), "/x,/etc/hosts,/dev/shm/x");
}

#[test]
fn filesystems_in_memory_have_size_and_mode() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mounted = |options: &str, at: &str| seen(&daemon, options, &format!("grep \" {at} \" /proc/mounts"));
    let line = mounted("tmpfs=/a/b:size=1m,mode=700", "/a/b");
    for option in ["tmpfs", "nosuid", "nodev", "noexec", "size=1024k", "mode=700"] {
        assert!(line.contains(option), "{option} is not in {line}");
    }
    assert_eq!(seen(&daemon, "tmpfs=/t tmpfs=/u", "stat -c %a /t /u"), "1777,1777");
    assert_eq!(
        seen(&daemon, "tmpfs=/t:size=64k", "head -c 100000 /dev/zero 2>/dev/null >/t/x; stat -c %s /t/x"),
        "65536"
    );
    assert!(mounted("", "/dev/shm").contains("size=65536k"));
    assert!(mounted("shm-size=1m", "/dev/shm").contains("size=1024k"));
    let mut conn = daemon.conn();
    for wrong in ["tmpfs=t", "tmpfs=/", "tmpfs=/t:size=big", "tmpfs=/t:mode=9", "tmpfs=/t:suid", "shm-size=0"] {
        assert_eq!(conn.refused(&format!("run busybox {wrong} -- true")), "bad-value", "{wrong}");
    }
}

#[test]
fn limits_are_the_kernels() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    assert_eq!(seen(&daemon, "ulimit=nofile=100:200 ulimit=core=0", "ulimit -Sn; ulimit -Hn; ulimit -c"), "100,200,0");
    assert_eq!(seen(&daemon, "cpuset=0", "grep Cpus_allowed_list /proc/self/status | cut -f2"), "0");
    daemon.ok("create busybox name=job memory=32m memory-swap=64m cpuset=0 -- true");
    let limits = daemon.ok("inspect job").json()["limits"].clone();
    assert_eq!((limits["memory-swap"].as_u64(), limits["cpuset"].as_str()), (Some(64 << 20), Some("0")));
    daemon.ok("start job");
    daemon.ok("rm job force=yes");
    let mut conn = daemon.conn();
    for (wrong, code) in [
        ("ulimit=nofile=2:1", "bad-value"),
        ("ulimit=files=1", "bad-value"),
        ("ulimit=nofile=unlimited", "bad-value"),
        ("cpuset=0-", "bad-value"),
        ("cpuset=8000", "bad-value"),
        ("memory-swap=64m", "bad-option"),
        ("memory=64m memory-swap=32m", "bad-value"),
    ] {
        assert_eq!(conn.refused(&format!("run busybox {wrong} -- true")), code, "{wrong}");
    }
}

#[test]
fn memory_and_swap_are_limited_together() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let id = daemon.ok("run busybox name=job memory=32m memory-swap=48m -- sleep 1000").get("id");
    let parent = daemon.place().cgroup();
    let read = |file: &str| {
        let paths = super::host::hierarchies().into_iter().map(|mount| mount.join(&parent).join(&id).join(file));
        paths.filter_map(|path| std::fs::read_to_string(path).ok()).next().map(|text| text.trim().to_owned())
    };
    // v1 counts both together, v2 the swap apart.
    let seen = read("memory.memsw.limit_in_bytes").or_else(|| read("memory.swap.max"));
    assert!([(48 << 20).to_string(), (16 << 20).to_string()].contains(&seen.unwrap()));
    daemon.ok("rm job force=yes");
}

#[test]
fn sysctls_are_the_containers_own() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let options = "sysctl=net.ipv4.ip_unprivileged_port_start=7 sysctl=kernel.msgmax=4096";
    let script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax";
    assert_eq!(seen(&daemon, options, script), "7,4096");
    let mut conn = daemon.conn();
    for wrong in ["kernel.panic=1", "vm.swappiness=1", "net.core", "net..x=1"] {
        assert_eq!(conn.refused(&format!("run busybox sysctl={wrong} -- true")), "bad-value", "{wrong}");
    }
}

#[test]
fn devices_are_closed_but_for_those_given() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let device = ["/dev/kmsg", "/dev/loop-control", "/dev/fuse", "/dev/net/tun"];
    let device = device.iter().find(|path| std::path::Path::new(path).exists()).expect("a device of the host");
    let script = format!("test -c {device} && echo there || echo none");
    assert_eq!(seen(&daemon, "", &script), "none");
    assert_eq!(seen(&daemon, &format!("device={device}"), &script), "there");
    assert_eq!(seen(&daemon, &format!("device={device}:/dev/mine:r"), "ls -l /dev/mine | cut -c1"), "c");
    // And they open: with the access that was given, at its path and at any other; without it, at none.
    let opens = |options: &str, path: &str, how: &str| {
        seen(&daemon, options, &format!("(exec 3{how}{path}) 2>/dev/null && echo open || echo closed"))
    };
    let writable = ["/dev/fuse", "/dev/net/tun", "/dev/loop-control"];
    let writable = writable.iter().find(|path| std::fs::File::options().write(true).open(path).is_ok());
    let path = writable.expect("a device of the host that opens");
    assert_eq!(opens(&format!("device={path}"), path, "<>"), "open");
    assert_eq!(opens(&format!("device={path}:/dev/mine:r"), "/dev/mine", "<"), "open");
    assert_eq!(opens(&format!("device={path}:/dev/mine:r"), "/dev/mine", "<>"), "closed");
    let number = std::fs::metadata(path).unwrap();
    let number = std::os::unix::fs::MetadataExt::rdev(&number);
    let made = format!(
        "mknod /x c {} {}; (exec 3<>/x) 2>/dev/null && echo open || echo closed",
        number >> 8 & 0xfff,
        number & 0xff
    );
    assert_eq!(seen(&daemon, "cap-add=MKNOD", &made), "closed");
    assert_eq!(seen(&daemon, &format!("cap-add=MKNOD device={path}"), &made), "open");
    let mut conn = daemon.conn();
    assert_eq!(conn.refused("run busybox device=/dev/no-such -- true"), "not-found");
    assert_eq!(conn.refused("run busybox device=/etc/passwd -- true"), "bad-value");
    assert_eq!(conn.refused("run busybox device=dev/null -- true"), "bad-value");
}

#[test]
fn an_init_comes_first_and_reaps() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    assert_eq!(seen(&daemon, "", "echo $$"), "1");
    let script = "test $$ = 1 || echo second; tr \"\\0\" \" \" </proc/1/cmdline | cut -d \" \" -f1";
    assert_eq!(seen(&daemon, "init=yes", script), "second,/dev/init");
    let run = daemon.ok("run busybox name=job init=yes attach=yes rm=yes -- sh -c 'exit 5'");
    assert_eq!(run.get("exit"), "5");
    // Signals go through it.
    daemon.ok("run busybox name=job init=yes -- sh -c 'trap \"exit 7\" TERM; echo ready; while :; do sleep 0.1; done'");
    super::engine::ready(&daemon, "job");
    assert_eq!(daemon.ok("stop job").get("exit"), "7");
    daemon.ok("rm job");
}

#[test]
fn names_are_looked_up_where_it_is_told() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let options =
        "dns=192.0.2.1 dns=2001:db8::1 add-host=db:192.0.2.7 add-host=six:2001:db8::7 add-host=up:host-gateway";
    let servers = seen(&daemon, options, "head -n 2 /etc/resolv.conf");
    let gateway = daemon.place().subnet().replace(".0/24", ".1");
    assert!(
        servers.contains(" 192.0.2.1 2001:db8::1 ") && servers.ends_with(&format!(",nameserver {gateway}")),
        "{servers}"
    );
    let hosts =
        seen(&daemon, options, "tail -n 3 /etc/hosts | tr \"\\t\" \" \"; ip route | head -n 1 | cut -d \" \" -f3");
    let lines: Vec<_> = hosts.split(',').collect();
    assert_eq!(lines[..2], ["192.0.2.7 db", "2001:db8::7 six"]);
    assert_eq!(lines[2], format!("{} up", lines[3]));
    let mut conn = daemon.conn();
    for wrong in ["dns=one", "add-host=db", "add-host=db:x", "add-host=-:1.2.3.4"] {
        assert_eq!(conn.refused(&format!("run busybox {wrong} -- true")), "bad-value", "{wrong}");
    }
}

#[test]
fn inspect_shows_what_was_asked_for() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("create busybox name=job cap-drop=ALL cap-add=KILL read-only=yes tmpfs=/t shm-size=1m dns=192.0.2.1 ulimit=nofile=5 -- true");
    let document = daemon.ok("inspect job").json();
    assert_eq!(document["security"]["capabilities"], serde_json::json!(["KILL"]));
    assert_eq!(document["storage"]["read-only"], true);
    assert_eq!(document["storage"]["tmpfs"][0]["destination"], "/t");
    assert_eq!(document["limits"]["ulimits"], serde_json::json!(["nofile=5:5"]));
    assert_eq!(document["dns"], serde_json::json!(["192.0.2.1"]));
    daemon.ok("rm job");
}

#[test]
fn the_clients_flags_arrive() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let flags = "--rm --cap-drop ALL --cap-add CHOWN --read-only --tmpfs /t --shm-size 1m --ulimit nofile=77 --sysctl net.core.somaxconn=9 \
        --device /dev/null:/dev/mine --init --cpuset-cpus 0 --memory 32m --memory-swap 64m --dns 192.0.2.1 --add-host db:192.0.2.7 \
        --security-opt no-new-privileges";
    let script = "grep CapEff /proc/self/status | tail -c 2; ulimit -n; cat /proc/sys/net/core/somaxconn; ls /dev/mine; \
        grep -c 192.0.2.7 /etc/hosts; grep NoNewPrivs /proc/self/status | tail -c 2";
    let mut args = vec!["run"];
    args.extend(flags.split_whitespace());
    args.extend(["busybox", "sh", "-c", script]);
    let said = daemon.client(&args).succeeds();
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["1", "77", "9", "/dev/mine", "1", "1"], "{said}");
}

#[test]
fn system_calls_are_filtered() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let filters = |options: &str| seen(&daemon, options, "grep Seccomp: /proc/self/status | cut -f2");
    // The second one takes what was compiled for the first.
    assert_eq!((filters(""), filters("")), ("2".into(), "2".into()));
    assert_eq!(filters("seccomp=unconfined"), "0");
    assert_eq!(filters("privileged=yes"), "0");
    assert_eq!(filters("privileged=yes seccomp=default"), "0");
    let profile = daemon.place().dir().join("profile.json");
    let no_chmod = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_AARCH64"],
        "syscalls":[{"names":["chmod","fchmodat"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}"#;
    std::fs::write(&profile, no_chmod).unwrap();
    let chmod = "chmod 700 /www 2>/dev/null && echo yes || echo no";
    for _ in 0..2 {
        assert_eq!(seen(&daemon, &format!("seccomp={}", profile.display()), chmod), "no");
        assert_eq!(seen(&daemon, "", chmod), "yes");
    }
    daemon.ok("create busybox name=job -- true");
    assert_eq!(daemon.ok("inspect job").json()["security"]["seccomp"], "default");
    daemon.ok("rm job");
    let mut conn = daemon.conn();
    assert_eq!(conn.refused("run busybox seccomp=strict -- true"), "bad-value");
    assert_eq!(conn.refused("run busybox seccomp=/no/such/profile -- true"), "not-found");
    std::fs::write(&profile, "{}").unwrap();
    assert_eq!(conn.refused(&format!("run busybox seccomp={} -- true", profile.display())), "bad-value");
}

#[test]
fn control_groups_are_looked_at_and_not_written() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let script = "for d in /sys/fs/cgroup /sys/fs/cgroup/*/; do mkdir $d/x 2>/dev/null && echo $d; \
        [ ! -e $d/pids.max ] || (echo 5 >$d/pids.max) 2>/dev/null && [ -e $d/pids.max ] && echo $d/pids.max; done; \
        cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null; true";
    assert_eq!(seen(&daemon, "pids=77", script), "77");
    let modes = "grep \" /sys/fs/cgroup \" /proc/mounts | cut -d \" \" -f4 | cut -d , -f1";
    assert!(seen(&daemon, "", modes).ends_with("ro"));
    assert!(seen(&daemon, "privileged=yes", modes).ends_with("rw"));
}
