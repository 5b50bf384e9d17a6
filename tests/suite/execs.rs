//! More processes in a container: what they are given, what they write, how they end, and who may leave when.

use super::conn::Conn;
use super::harness::Daemon;
use super::shell;

/// A daemon with a container called `box` that does nothing.
fn with_box(options: &str) -> Daemon {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok(&format!("run busybox name=box {options} -- sleep 100000"));
    daemon
}

/// The id of an exec that was just asked for and has begun.
#[track_caller]
fn started(conn: &mut Conn) -> String {
    loop {
        let line = gantry::wire::reply::Parsed::read(&conn.line().expect("the connection stays"));
        assert!(!line.is_final(), "{line:?}");
        if let Some(id) = line.get("id").filter(|_| line.get("stage").as_deref() == Some("started")) {
            return id;
        }
    }
}

/// How many processes of the container there are.
fn processes(daemon: &Daemon) -> String {
    daemon.ok("stats box").column("pids")[0].clone()
}

#[test]
fn output_and_status_come_back() {
    let daemon = with_box("");
    let mut conn = daemon.conn();
    let done = conn.ok("exec box -- sh -c 'echo out; echo err >&2; printf rest; exit 5'");
    let mut logs = done.logs();
    // Two pipes: which is read first is not told.
    logs.sort();
    assert_eq!(logs, ["stderr err", "stdout out", "stdout+ rest"]);
    assert_eq!((done.get("exit").as_str(), done.get("id").len()), ("5", 64));
    assert_eq!(conn.ok(&format!("wait {}", done.get("id"))).get("exit"), "5");
    assert_eq!(conn.ok(&format!("wait {}", &done.get("id")[..12])).get("name"), "box:latest");
    for (script, exit) in [("kill -9 $$", "137"), ("kill -15 $$", "143"), ("exit 255", "255"), ("exit 1", "1")] {
        assert_eq!(conn.ok(&format!("exec box -- sh -c '{script}'")).get("exit"), exit, "{script}");
    }
    let quoted = conn.ok("exec box text=quoted -- printf 'a\\377\\n'");
    assert_eq!(quoted.logs(), ["stdout \"a\\xff\""]);
    let timed = conn.ok("exec box timestamps=yes -- echo x").logs();
    assert!(timed[0].ends_with("Z x") && timed[0].contains('T'), "{timed:?}");
    daemon.ok("rm box force=yes");
}

#[test]
fn it_is_given_what_is_asked_for() {
    let daemon = with_box("env=A=1 env=B=1 workdir=/www");
    let seen = |options: &str, script: &str| {
        daemon.ok(&format!("exec box {options} -- sh -c '{script}'")).written("stdout").trim().replace('\n', ",")
    };
    assert_eq!(seen("env=B=2 'env=C=two words'", "echo $A $B $C; pwd"), "1 2 two words,/www");
    assert_eq!(seen("workdir=/tmp", "pwd; id -u; echo $HOME"), "/tmp,0,/root");
    assert_eq!(seen("user=www", "id -un; id -g; echo $HOME"), "www,80,/www");
    assert_eq!(seen("user=1234:4321", "id -u; id -g; id -G"), "1234,4321,4321");
    // A user that came into being in the container.
    seen("", "echo late:x:77:78::/late:/bin/sh >>/etc/passwd; echo more:x:99:late >>/etc/group");
    assert_eq!(seen("user=late", "id -u; id -G"), "77,78 99");
    assert_eq!(seen("", "wc -c </dev/stdin"), "0");
    // No more rights than the container itself, and nothing of the daemon's.
    let own = seen("", "grep -e Cap -e NoNew -e Seccomp: /proc/1/status");
    assert_eq!(seen("", "grep -e Cap -e NoNew -e Seccomp: /proc/self/status"), own);
    let open = "for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/self/fd/$n ] && echo $n; done";
    assert_eq!(seen("", open), "0,1,2");
    daemon.ok("rm box force=yes");
}

#[test]
fn any_bytes_are_arguments() {
    let daemon = with_box("");
    let mut conn = daemon.conn();
    let done = conn.ok(r#"exec box text=quoted user=80:80 workdir=/www -- printf "%s %s" "\xff\xfe" -x"#);
    assert_eq!(done.logs(), [r#"stdout+ "\xff\xfe -x""#]);
    assert_eq!(conn.refused(r#"exec box env=A=1 -- printf "\xff""#), "unsupported");
    daemon.ok("rm box force=yes");
}

#[test]
fn what_cannot_run_is_told() {
    let daemon = with_box("");
    let mut conn = daemon.conn();
    conn.ok("exec box -- sh -c 'echo junk >/junk; chmod +x /junk'");
    for (line, code) in [
        ("exec box -- no-such-program", "no-command"),
        ("exec box -- /bin/no-such-program", "no-command"),
        ("exec box -- /www/index.html", "not-executable"),
        ("exec box -- /www", "not-executable"),
        ("exec box -- /junk", "not-executable"),
        ("exec box user=ghost -- true", "bad-value"),
        ("exec box workdir=/nowhere -- true", "bad-value"),
    ] {
        assert_eq!(conn.refused(line), code, "{line}");
    }
    conn.ok("pause box");
    assert_eq!(conn.refused("exec box -- true"), "wrong-state");
    conn.ok("stop box timeout=0");
    assert_eq!(conn.refused("exec box -- true"), "wrong-state");
    conn.ok("rm box");
}

#[test]
fn all_of_a_long_output_arrives_and_a_slow_reader_holds_up_nobody() {
    let daemon = with_box("");
    let numbers: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    let mut slow = daemon.conn();
    slow.send("exec box -- seq 1 100000");
    // Its output stands in the way of nobody while it is not read.
    assert!(daemon.ok("exec box -- seq 1 100000").written("stdout") == numbers);
    assert!(slow.reply().written("stdout") == numbers);
    daemon.ok("rm box force=yes");
}

#[test]
fn many_run_at_once() {
    let daemon = with_box("");
    let mut conn = daemon.conn();
    for n in 0..40 {
        conn.send(&format!("@{n} exec box -- sh -c 'read x </proc/uptime; echo {n}; exit {n}'"));
    }
    let mut seen = vec![(String::new(), String::new()); 40];
    let mut ended = 0;
    while ended < 40 {
        let line = conn.parsed();
        let slot = &mut seen[line.tag.as_ref().unwrap().parse::<usize>().unwrap()];
        match line.head.as_str() {
            "LOG" => slot.0 = line.text(),
            _ => (slot.1, ended) = (line.get("exit").unwrap_or_else(|| panic!("{line:?}")), ended + 1),
        }
    }
    for (n, (text, exit)) in seen.iter().enumerate() {
        assert_eq!((text, exit), (&format!("stdout {n}"), &n.to_string()));
    }
    shell::until(shell::patience(60), "none is left", || processes(&daemon) == "1");
    daemon.ok("rm box force=yes");
}

#[test]
fn a_client_that_leaves_ends_nothing() {
    let daemon = with_box("");
    let mut conn = daemon.conn();
    // More than any buffer holds, written to nobody.
    conn.send("exec box -- sh -c 'seq 1 300000; echo done >/finished; exit 9'");
    let id = started(&mut conn);
    drop(conn);
    let ended = daemon.ok(&format!("wait {id}"));
    assert_eq!((ended.get("exit").as_str(), ended.get("oom").as_str()), ("9", "no"));
    assert_eq!(daemon.ok("exec box -- cat /finished").logs(), ["stdout done"]);
    // A cancel ends the looking alone.
    let mut conn = daemon.conn();
    conn.send("@e exec box -- sh -c 'sleep 100000'");
    let id = started(&mut conn);
    conn.send("@c cancel e");
    let mut ends = [conn.reply(), conn.reply()];
    ends.sort_by_key(|reply| reply.end.tag.clone());
    assert_eq!((ends[0].end.head.as_str(), ends[1].code().as_str()), ("OK", "cancelled"));
    assert_eq!(daemon.ok(&format!("kill {id}")).get("name"), "box:latest");
    assert_eq!(daemon.ok(&format!("wait {id}")).get("exit"), "137");
    assert_eq!(daemon.conn().refused(&format!("kill {id}")), "wrong-state");
    daemon.ok("rm box force=yes");
}

#[test]
fn signals_reach_the_process_itself() {
    let daemon = with_box("");
    let mut conn = daemon.conn();
    conn.send("exec box -- sh -c 'trap \"echo got it; exit 4\" USR1; echo ready; while :; do sleep 0.1; done'");
    let id = started(&mut conn);
    assert_eq!(conn.parsed().text(), "stdout ready");
    daemon.ok(&format!("kill {id} signal=USR1"));
    let done = conn.reply();
    assert_eq!((done.logs(), done.get("exit")), (vec!["stdout got it".to_owned()], "4".to_owned()));
    daemon.ok("rm box force=yes");
}

#[test]
fn what_it_leaves_in_the_background_holds_up_nobody() {
    let daemon = with_box("");
    let done = daemon.ok("exec box -- sh -c '(while echo noise; do :; done) & echo $! >/pid; exit 0'");
    assert_eq!(done.get("exit"), "0");
    daemon.ok("exec box -- sh -c 'kill -0 $(cat /pid) && kill -9 $(cat /pid)'");
    daemon.ok("rm box force=yes");
}

#[test]
fn it_ends_with_its_container() {
    let daemon = with_box("");
    let mut conn = daemon.conn();
    conn.send("exec box -- sleep 100000");
    let id = started(&mut conn);
    daemon.ok("stop box timeout=0");
    assert_eq!(conn.reply().get("exit"), "137");
    daemon.ok("rm box");
    assert_eq!(daemon.ok(&format!("wait {id}")).get("exit"), "137", "told when the container is gone");
}

#[test]
fn the_client_gives_its_status() {
    let daemon = with_box("");
    let status = |args: &[&str]| {
        let output = daemon.client(&[&["exec"], args].concat());
        (output.status.code(), output.stdout)
    };
    assert_eq!(status(&["box", "sh", "-c", "echo hi; exit 3"]), (Some(3), "hi\n".into()));
    assert_eq!(
        status(&["-u", "www", "-w", "/www", "-e", "A=b", "box", "sh", "-c", "id -un; pwd; echo $A"]).1,
        "www\n/www\nb\n"
    );
    assert_eq!(status(&["box", "no-such-program"]).0, Some(127));
    assert_eq!(status(&["box", "/www/index.html"]).0, Some(126));
    assert_eq!(status(&["nobody", "true"]).0, Some(125));
    assert_eq!(daemon.client(&["pause", "box"]).succeeds(), "box\n");
    assert_eq!(status(&["box", "true"]).0, Some(125));
    assert_eq!(daemon.client(&["unpause", "box"]).succeeds(), "box\n");
    daemon.ok("rm box force=yes");
}
