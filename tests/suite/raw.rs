//! Connections that are a process's standard streams: every byte both ways, who closes when, and who is let go of.

use std::io::Write;
use std::net::Shutdown;
use std::thread;

use sha2::{Digest, Sha256};

use super::conn::Conn;
use super::harness::Daemon;
use super::host;
use super::shell::{self, patience, until};

/// A daemon with a container called `box` that does nothing.
fn with_box() -> Daemon {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=box -- sleep 100000");
    daemon
}

fn every_byte() -> Vec<u8> {
    (0..=255).collect()
}

/// The daemon's answer to `wait`.
fn exit(daemon: &Daemon, id: &str) -> String {
    daemon.ok(&format!("wait {id}")).get("exit")
}

/// How many processes of `box` there are.
fn processes(daemon: &Daemon) -> String {
    daemon.ok("stats box").column("pids")[0].clone()
}

/// What `cat /FILE` in `box` says.
fn file(daemon: &Daemon, name: &str) -> String {
    daemon.ok(&format!("exec box -- sh -c 'cat /{name} 2>&1; true'")).written("stdout")
}

/// Sends `line` with bytes right behind it, ends the input, and gives the id and all that comes back.
fn through(daemon: &Daemon, line: &str, bytes: &[u8]) -> (String, Vec<u8>) {
    let mut conn = daemon.conn();
    conn.send_bytes(&[line.as_bytes(), b"\n", bytes].concat());
    conn.half_close();
    (conn.raw(), conn.rest())
}

#[test]
fn what_stands_behind_the_request_is_the_processs_and_a_half_close_its_end() {
    let daemon = with_box();
    let lines = b"ping\nversion\n".to_vec();
    for bytes in [every_byte(), lines, Vec::new()] {
        let (id, got) = through(&daemon, "exec box raw=yes -- sh -c 'cat; exit 7'", &bytes);
        assert_eq!((got, exit(&daemon, &id).as_str()), (bytes.clone(), "7"));
        let run = "run busybox name=job attach=yes raw=yes rm=yes -- sh -c 'cat; exit 8'";
        let (id, got) = through(&daemon, run, &bytes);
        assert_eq!((got, exit(&daemon, &id).as_str()), (bytes.clone(), "8"));
        daemon.ok("run busybox name=job stdin=yes -- sh -c 'cat; exit 9'");
        let (id, got) = through(&daemon, "attach job raw=yes", &bytes);
        assert_eq!((got, exit(&daemon, &id).as_str()), (bytes, "9"));
        assert_eq!(daemon.ok("ps name=job").column("id"), [id]);
        daemon.ok("rm job");
    }
    daemon.ok("rm box force=yes");
}

#[test]
fn lines_that_waited_for_their_turn_are_the_processs_too() {
    let daemon = with_box();
    let mut conn = daemon.conn();
    daemon.ok("run busybox name=job stdin=yes rm=yes -- cat");
    conn.send_bytes(b"wait job\nexec box raw=yes -- cat\nping\n\xff\x00\n");
    conn.half_close();
    through(&daemon, "attach job raw=yes", b"");
    assert_eq!(conn.reply().get("exit"), "0");
    conn.raw();
    assert_eq!(conn.rest(), b"ping\n\xff\x00\n");
    daemon.ok("rm box force=yes");
}

#[test]
fn errors_and_output_come_in_order_on_one_stream() {
    let daemon = with_box();
    let script = "for n in 1 2 3 4 5 6 7 8; do echo out$n; echo err$n >&2; done";
    let (_, got) = through(&daemon, &format!("exec box raw=yes -- sh -c '{script}'"), b"");
    let expected: String = (1..=8).map(|n| format!("out{n}\nerr{n}\n")).collect();
    assert_eq!(String::from_utf8_lossy(&got), expected);
    let (_, got) = through(&daemon, "run busybox attach=yes raw=yes rm=yes -- sh -c 'echo a; echo b >&2'", b"");
    let mut lines: Vec<_> = String::from_utf8_lossy(&got).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["a", "b"], "a container has a pipe for each");
    daemon.ok("rm box force=yes");
}

/// Sends `count` MiB through a process that gives them back, writing and reading at once.
fn flood(daemon: &Daemon, line: &str, count: usize) {
    let mut conn = daemon.conn();
    conn.send(line);
    conn.raw();
    let mut writer = conn.writer();
    let sent = thread::spawn(move || {
        let (mut digest, mut block) = (Sha256::new(), vec![0; 1 << 20]);
        for n in 0..count {
            block.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at / 251 + at * 7 + n) as u8);
            digest.update(&block);
            writer.write_all(&block).expect("the daemon takes it");
        }
        writer.shutdown(Shutdown::Write).expect("a half-close");
        digest.finalize()
    });
    let mut digest = Sha256::new();
    for _ in 0..count {
        digest.update(conn.bytes(1 << 20));
    }
    assert_eq!(conn.rest(), b"");
    assert!(digest.finalize() == sent.join().unwrap(), "what comes back is what was sent");
}

#[test]
fn a_hundred_megabytes_go_in_and_come_out_at_once() {
    let daemon = with_box();
    flood(&daemon, "run busybox name=job attach=yes raw=yes rm=yes -- cat", 100);
    flood(&daemon, "exec box raw=yes -- cat", 100);
    daemon.ok("rm box force=yes");
}

#[test]
fn what_is_written_before_the_end_arrives() {
    let daemon = with_box();
    let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    for line in ["run busybox attach=yes raw=yes rm=yes -- seq 1 200000", "exec box raw=yes -- seq 1 200000"] {
        let (id, got) = through(&daemon, line, b"");
        assert!(got == expected.as_bytes(), "{line}: {} bytes of {}", got.len(), expected.len());
        assert_eq!(exit(&daemon, &id), "0");
    }
    // Input that is read late is read to its end.
    let bytes = vec![b'x'; 3_000_000];
    for line in ["run busybox attach=yes raw=yes rm=yes", "exec box raw=yes"] {
        let (_, got) = through(&daemon, &format!("{line} -- sh -c 'sleep 0.3; wc -c'"), &bytes);
        assert_eq!(String::from_utf8_lossy(&got).trim(), "3000000");
    }
    daemon.ok("rm box force=yes");
}

#[test]
fn a_process_that_does_not_read_ends_in_an_end_and_no_error() {
    let daemon = with_box();
    for line in ["run busybox attach=yes raw=yes rm=yes", "exec box raw=yes"] {
        let mut conn = daemon.conn();
        conn.send_bytes(&[format!("{line} -- sh -c 'echo enough; exit 3'\n").as_bytes(), &[b'x'; 400_000]].concat());
        let id = conn.raw();
        assert_eq!(conn.rest(), b"enough\n");
        assert_eq!(exit(&daemon, &id), "3");
    }
    daemon.ok("rm box force=yes");
}

#[test]
fn a_client_that_leaves_neither_ends_nor_hangs_the_process() {
    let daemon = with_box();
    // What it sent is read, no end of input follows, and what is written goes on being written to nobody.
    let script = "read x; echo $x >/got; seq 1 300000; echo written >>/got; read y; echo ended >>/got";
    let mut conn = daemon.conn();
    conn.send_bytes(format!("exec box raw=yes -- sh -c '{script}'\nhello\n").as_bytes());
    let id = conn.raw();
    drop(conn);
    shell::until(patience(60), "it goes on", || file(&daemon, "got") == "hello\nwritten\n");
    shell::until(patience(60), "it is there", || processes(&daemon) == "2");
    daemon.ok(&format!("kill {id}"));
    assert_eq!((exit(&daemon, &id).as_str(), file(&daemon, "got").as_str()), ("137", "hello\nwritten\n"));

    let script = "read x; echo $x; seq 1 300000; echo written; read y; echo ended $y";
    let mut conn = daemon.conn();
    conn.send_bytes(format!("run busybox name=job attach=yes raw=yes -- sh -c '{script}'\nhello\n").as_bytes());
    conn.raw();
    drop(conn);
    let tail = || daemon.ok("logs job tail=1").logs();
    shell::until(patience(60), "it goes on", || tail() == ["stdout written"]);
    assert_eq!(daemon.ok("ps name=job").column("state"), ["running"]);
    // The next one finds its input open.
    let (_, got) = through(&daemon, "attach job raw=yes", b"again\n");
    assert_eq!(got, b"ended again\n");
    daemon.ok("rm job");
    daemon.ok("rm box force=yes");
}

#[test]
fn raw_takes_the_whole_connection() {
    let daemon = with_box();
    let mut conn = daemon.conn();
    for line in [
        "@t exec box raw=yes -- true",
        "@t exec box tty=yes -- true",
        "@t run busybox attach=yes raw=yes -- true",
        "@t attach box raw=yes",
        "run busybox raw=yes -- true",
        "exec box raw=yes text=quoted -- true",
        "exec box rows=2 cols=2 -- true",
        "exec box tty=yes rows=2 -- true",
        "run busybox rows=2 cols=2 -- true",
    ] {
        assert_eq!(conn.refused(line), "bad-option", "{line}");
    }
    assert_eq!(conn.refused("exec box tty=yes rows=0 cols=2 -- true"), "bad-value");
    assert_eq!(conn.refused("exec box tty=yes rows=2 cols=1001 -- true"), "bad-value");
    conn.send("@w wait box");
    for line in ["exec box raw=yes -- true", "attach box raw=yes", "run busybox attach=yes raw=yes -- true"] {
        assert_eq!(conn.refused(line), "busy", "{line}");
    }
    conn.ok("@c cancel w");
    assert_eq!(conn.reply().code(), "cancelled");
    // One that is refused leaves the connection to lines.
    conn.send("exec box raw=yes -- no-such-program\nping");
    assert_eq!(conn.reply().code(), "no-command");
    assert_eq!(conn.reply().end.text(), "pong");
    assert_eq!(conn.refused("attach nobody"), "not-found");
    assert_eq!(conn.refused("attach box stdin=yes"), "wrong-state");
    assert_eq!(conn.refused("attach box rows=2 cols=2"), "wrong-state");
    conn.ok("pause box");
    assert_eq!(conn.refused("exec box raw=yes -- true"), "wrong-state");
    conn.ok("stop box timeout=0");
    assert_eq!(conn.refused("attach box raw=yes"), "wrong-state");
    assert_eq!(conn.refused("attach box"), "wrong-state");
    conn.ok("rm box");
    assert_eq!(daemon.ok("ps").get("count"), "0");
}

#[test]
fn a_client_that_does_not_read_is_let_go_of_and_holds_up_nobody() {
    let daemon = with_box();
    let script = "n=0; while :; do n=$((n+1)); printf \"%8192d\" $n; done";
    daemon.ok(&format!("run busybox name=loud -- sh -c '{script}'"));
    let attach = || {
        let mut conn = daemon.conn();
        conn.send("attach loud raw=yes");
        conn.raw();
        conn
    };
    let mut exec = daemon.conn();
    exec.send(&format!("exec box raw=yes -- sh -c '{script}'"));
    exec.raw();
    // Who reads is the last to come: it has to begin soon.
    let (mut idle, mut busy) = (attach(), attach());
    // Several times what any buffer holds.
    let numbers = |bytes: &[u8]| String::from_utf8_lossy(bytes).split_whitespace().last().map(str::to_owned);
    let first: u64 = numbers(&busy.bytes(8192)).unwrap().parse().unwrap();
    let last: u64 = numbers(&busy.bytes(8192 * 1000)).unwrap().parse().unwrap();
    assert_eq!(last - first, 1000, "who reads loses nothing");
    // What it did not read in time ends; the process does not. Who begins to read before that is served on.
    shell::until(patience(60), "both are let go of", || {
        busy.bytes(8192 * 8);
        daemon.log().matches("a raw client is let go of").count() >= 2
    });
    assert!(idle.rest().len() < 2 << 20);
    assert!(exec.rest().len() < 2 << 20);
    busy.bytes(8192 * 100);
    assert_eq!(daemon.ok("ps name=loud").column("state"), ["running"]);
    shell::until(patience(60), "the exec's process runs on", || processes(&daemon) == "2");
    for name in ["loud", "box"] {
        daemon.ok(&format!("rm {name} force=yes"));
    }
}

#[test]
fn a_slow_client_gets_every_byte() {
    let daemon = with_box();
    // Before it is asked for: it takes a slow machine longer than a reader may rest.
    let expected: String = (1..=600_000).map(|n| format!("{n}\n")).collect();
    for line in ["run busybox attach=yes raw=yes rm=yes", "exec box raw=yes"] {
        let mut conn = daemon.conn();
        conn.send(&format!("{line} -- sh -c 'seq 1 600000'"));
        conn.raw();
        let mut got = Vec::new();
        // Behind all the time, and never idle for long: a rest between two bites, each of half of what is to be read in
        // two seconds.
        let bite = 64 << 10;
        while got.len() + bite < expected.len() {
            got.extend(conn.bytes(bite));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        got.extend(conn.rest());
        assert!(got == expected.as_bytes(), "{} of {}", got.len(), expected.len());
    }
    daemon.ok("rm box force=yes");
}

#[test]
fn a_process_that_closes_its_streams_is_still_waited_for() {
    let daemon = with_box();
    let script = "exec >&- 2>&-; read x; [ \"$x\" = go ] && exit 5";
    for line in ["run busybox attach=yes raw=yes rm=yes", "exec box raw=yes"] {
        let mut conn = daemon.conn();
        conn.send(&format!("{line} -- sh -c '{script}'"));
        let id = conn.raw();
        conn.send("go");
        assert_eq!(conn.rest(), b"");
        assert_eq!(exit(&daemon, &id), "5");
    }
    daemon.ok("rm box force=yes");
}

#[test]
fn several_are_at_one_container_and_many_execs_at_once() {
    let daemon = with_box();
    daemon.ok("create busybox name=job stdin=yes -- sh -c 'read a; echo $a; read b; echo $b'");
    let attach = || {
        let mut conn = daemon.conn();
        conn.send("attach job raw=yes");
        conn.raw();
        conn
    };
    // Before it runs: nothing is lost, neither way.
    let mut conns = [attach(), attach()];
    conns[0].send("one");
    daemon.ok("start job");
    for conn in &mut conns {
        assert_eq!(conn.bytes(4), b"one\n");
    }
    conns[1].send("two");
    for conn in &mut conns {
        assert_eq!(conn.rest(), b"two\n");
    }
    daemon.ok("rm job");
    let mut conns: Vec<Conn> = (0..30).map(|_| daemon.conn()).collect();
    for (n, conn) in conns.iter_mut().enumerate() {
        conn.send(&format!("exec box raw=yes -- sh -c 'read x; echo {n} $x'"));
    }
    for conn in &mut conns {
        conn.raw();
        conn.send("go");
    }
    for (n, conn) in conns.iter_mut().enumerate() {
        assert_eq!(conn.rest(), format!("{n} go\n").as_bytes());
    }
    daemon.ok("rm box force=yes");
}

#[test]
fn a_container_that_never_ran_ends_its_clients_when_it_goes() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("create busybox name=job stdin=yes -- cat");
    let mut conn = daemon.conn();
    conn.send("attach job raw=yes");
    conn.raw();
    conn.send("never read");
    daemon.ok("rm job");
    assert_eq!(conn.rest(), b"");
    // No-command is told before anything is raw, and leaves nothing.
    assert_eq!(daemon.conn().refused("run busybox attach=yes raw=yes -- no-such-program"), "no-command");
    assert_eq!(daemon.ok("ps").get("count"), "0");
}

#[test]
fn clients_that_left_keep_nothing_of_a_process_that_does_not_read() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=deaf stdin=yes -- sleep 100000");
    let before = host::descriptors(daemon.pid()).len();
    for _ in 0..20 {
        let mut conn = daemon.conn();
        conn.send("attach deaf raw=yes");
        conn.raw();
        conn.send_bytes(&[b'x'; 64 << 10]);
    }
    // One is that of the run's own streams.
    until(patience(60), "their places are free", || host::descriptors(daemon.pid()).len() <= before + 1);
    daemon.ok("rm deaf force=yes");
}
