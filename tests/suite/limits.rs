//! Limits changed while a container runs, and what runs in it.

use super::harness::Daemon;

#[test]
fn limits_change_at_once_and_stay() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=box memory=64m stop-signal=KILL -- sleep 100000");
    daemon.ok("update box memory=32m pids=1 cpus=0.5");
    assert_eq!(daemon.ok("stats box").column("memory-limit"), ["33554432"]);
    let fork = "exec box -- sh -c 'echo a | cat; true'";
    assert_ne!(daemon.conn().request(fork).logs(), ["stdout a"], "a second process finds no place");
    daemon.ok("update box pids=50");
    assert_eq!(daemon.ok(fork).logs(), ["stdout a"]);
    daemon.ok("restart box");
    assert_eq!(daemon.ok("stats box").column("memory-limit"), ["33554432"]);
    let limits = daemon.ok("inspect box").json()["limits"].clone();
    assert_eq!(limits["memory"].as_u64(), Some(33_554_432));
    assert_eq!((limits["cpus"].as_f64(), limits["pids"].as_u64()), (Some(0.5), Some(50)));
    daemon.client(&["update", "--memory", "48m", "box"]).succeeds();
    assert_eq!(daemon.ok("stats box").column("memory-limit"), ["50331648"]);
    daemon.ok("stop box");
    // One that does not run has them at its next start.
    daemon.ok("update box memory=16m");
    daemon.ok("start box");
    assert_eq!(daemon.ok("stats box").column("memory-limit"), ["16777216"]);
    daemon.ok("rm box force=yes");
}

#[test]
fn what_starts_again_meanwhile_has_the_last_limits() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let dir = daemon.place().dir().join("here");
    std::fs::create_dir_all(&dir).unwrap();
    let options = format!("memory=64m restart=always stop-signal=KILL volume={}:/here:ro", dir.display());
    daemon.ok(&format!("run busybox name=box {options} -- sh -c 'test -e /here/stay && exec sleep 1000; sleep 0.05'"));
    let many = |first: u32| {
        for n in (first..200).step_by(2) {
            let reply = daemon.conn().request(&format!("update box memory={}m pids={}", 20 + n % 7, 50 + n));
            assert!(reply.end.head == "OK" || reply.code() == "wrong-state", "{reply:?}");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| many(0));
        scope.spawn(|| many(1));
    });
    // One that holds on, once it runs.
    let last = || daemon.conn().request("update box memory=17m pids=33").end.head == "OK";
    super::shell::until(super::shell::patience(60), "it is between two starts", last);
    // Its next start by itself is the last.
    std::fs::write(dir.join("stay"), "").unwrap();
    let stays = || daemon.conn().request("top box").column("command").iter().any(|command| command == "sleep 1000");
    super::shell::until(super::shell::patience(60), "it runs on", stays);
    let wanted = (17 << 20, 33);
    let told = daemon.ok("inspect box").json()["limits"].clone();
    assert_eq!((told["memory"].as_u64().unwrap(), told["pids"].as_u64().unwrap()), wanted);
    assert_eq!(daemon.ok("stats box").column("memory-limit"), [wanted.0.to_string()], "what started has them");
    let pids = "exec box -- sh -c 'cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null; true'";
    assert_eq!(daemon.ok(pids).written("stdout"), format!("{}\n", wanted.1));
    daemon.ok("rm box force=yes");
}

#[test]
fn what_runs_is_listed() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let run = daemon.ok("run busybox name=box user=www -- sleep 100000");
    let mut conn = daemon.conn();
    conn.send("exec box user=0 -- sh -c 'echo ready; exec sleep 90000'");
    assert_eq!(conn.parsed().text(), "stdout ready");
    let top = daemon.ok("top box");
    let mut rows: Vec<_> = top.column("user").into_iter().zip(top.column("command")).collect();
    rows.sort();
    let sleeper = rows.pop().unwrap();
    assert_eq!(sleeper, ("www".to_owned(), "sleep 100000".to_owned()));
    assert_eq!((rows.len(), rows[0].0.as_str()), (1, "root"));
    assert!(top.column("pid").contains(&run.get("pid")));
    assert!(daemon.client(&["top", "box"]).succeeds().contains("sleep 100000"));
    daemon.ok("stop box timeout=0");
    assert_eq!(daemon.conn().refused("top box"), "wrong-state");
    daemon.ok("rm box");
}

#[test]
fn memory_and_swap_change_together_or_not_at_all() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    daemon.ok("run busybox name=box memory=64m memory-swap=128m -- sleep 100000");
    let limits = || {
        let limits = daemon.ok("inspect box").json()["limits"].clone();
        let used = daemon.ok("stats box").column("memory-limit")[0].parse::<u64>().unwrap();
        (used >> 20, limits["memory"].as_u64().unwrap() >> 20, limits["memory-swap"].as_i64().unwrap() >> 20)
    };
    assert_eq!(limits(), (64, 64, 128));
    // Each of these passes through what the kernel refuses where it is done in the other order.
    for (update, expected) in [
        ("memory=256m memory-swap=512m", (256, 256, 512)),
        ("memory=32m memory-swap=64m", (32, 32, 64)),
        ("memory-swap=48m", (32, 32, 48)),
        ("memory=48m", (48, 48, 48)),
    ] {
        conn.ok(&format!("update box {update}"));
        assert_eq!(limits(), expected, "{update}");
    }
    for (update, code) in
        [("memory=96m", "bad-value"), ("memory-swap=8m", "bad-value"), ("pids=x memory=8m", "bad-value")]
    {
        assert_eq!(conn.refused(&format!("update box {update}")), code, "{update}");
        assert_eq!(limits(), (48, 48, 48), "{update}");
    }
    daemon.client(&["update", "--memory", "96m", "--memory-swap", "96m", "box"]).succeeds();
    assert_eq!(limits(), (96, 96, 96));
    conn.ok("run busybox name=bare -- sleep 100000");
    assert_eq!(conn.refused("update bare memory-swap=64m"), "bad-option");
    conn.ok("rm box force=yes");
    conn.ok("rm bare force=yes");
}

#[test]
fn what_fails_in_part_leaves_every_limit_as_it_was() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=box pids=7 memory=64m tmpfs=/fill:size=48m -- sh -c 'head -c 32m /dev/zero >/fill/x; echo ready; exec sleep 100000'");
    super::engine::ready(&daemon, "box");
    let reply = daemon.conn().request("update box memory=8m pids=9");
    let limits = daemon.ok("inspect box").json()["limits"].clone();
    let used = daemon.ok("ps name=box").column("state");
    // cgroup v1 says that it cannot; v2 takes the limit, and what does not fit is killed.
    if reply.end.head == "ERR" {
        assert_eq!(reply.code(), "wrong-state");
        assert_eq!((limits["memory"].as_u64(), limits["pids"].as_u64()), (Some(64 << 20), Some(7)));
        assert_eq!(used, ["running"]);
    } else {
        assert_eq!((limits["memory"].as_u64(), limits["pids"].as_u64()), (Some(8 << 20), Some(9)));
    }
    daemon.ok("rm box force=yes");
}

#[test]
fn all_who_follow_see_the_same_samples() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=busy -- sh -c 'while :; do :; done'");
    daemon.ok("run busybox name=idle -- sleep 100000");
    let (mut all, mut one) = (daemon.conn(), daemon.conn());
    all.send("stats follow=yes");
    let mut seen = Vec::new();
    let row = |conn: &mut super::conn::Conn| {
        let row = conn.parsed();
        let get = |key: &str| row.get(key).unwrap();
        (get("name"), get("cpu-ns"), get("cpu-percent").parse::<f64>().unwrap())
    };
    seen.extend([row(&mut all), row(&mut all)]);
    one.send("stats busy follow=yes");
    let joined = row(&mut one);
    // It may have joined late.
    for _ in 0..60 {
        seen.extend([row(&mut all), row(&mut all)]);
        if seen.contains(&joined) && seen.len() >= 8 {
            break;
        }
    }
    assert!(seen.contains(&joined), "one timer samples for both: {joined:?} {seen:?}");
    let names: Vec<_> = seen.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["busy:latest", "idle:latest"].repeat(seen.len() / 2));
    let of = |name: &str| seen.iter().filter(|row| row.0 == name).map(|row| row.2).collect::<Vec<_>>();
    let idle = *of("idle:latest").last().unwrap();
    assert!(of("busy:latest")[1..].iter().all(|percent| *percent > idle), "{seen:?}");
    daemon.ok("rm busy force=yes");
    while one.parsed().head == "ROW" {}
    daemon.ok("rm idle force=yes");
}
