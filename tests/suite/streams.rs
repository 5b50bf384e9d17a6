//! Standard streams in lines: `input`, `attach`, and terminals with their size.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use gantry::wire::words::quote_always_into;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::conn::Conn;
use super::harness::Daemon;
use super::shell::{self, patience};

/// A daemon with a container called `box` that does nothing.
fn with_box() -> Daemon {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=box -- sleep 100000");
    daemon
}

/// Bytes as a word of a line.
fn quoted(bytes: &[u8]) -> String {
    let mut word = Vec::new();
    quote_always_into(&mut word, bytes);
    String::from_utf8(word).unwrap()
}

/// The lines of one tag up to its end; those of others are dropped.
fn reply_of(conn: &mut Conn, tag: &str) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let line = conn.parsed();
        if line.tag.as_deref() != Some(tag) {
            continue;
        }
        lines.push(format!("{} {}", line.head, line.text()));
        if line.is_final() {
            return lines;
        }
    }
}

/// Reads up to `wanted`, which must come.
fn until(conn: &mut Conn, wanted: &str) -> String {
    let mut got = Vec::new();
    while !got.ends_with(wanted.as_bytes()) {
        got.extend(conn.bytes(1));
        assert!(got.len() < 10_000, "no {wanted:?} in {}", String::from_utf8_lossy(&got));
    }
    String::from_utf8_lossy(&got).into_owned()
}

#[test]
fn input_is_read_in_the_order_sent_byte_for_byte() {
    let daemon = with_box();
    let bytes: Vec<u8> = (0..=255).collect();
    let requests = ["exec box stdin=yes", "run busybox attach=yes stdin=yes rm=yes"];
    for request in requests {
        // All at once, and before the process is there.
        let mut text = format!("@p {request} text=quoted -- sh -c 'cat; echo; echo done >&2; exit 4'\n");
        for (n, piece) in bytes.chunks(16).enumerate() {
            text.push_str(&format!("@i{n} input p -- {}\n", quoted(piece)));
        }
        text.push_str("input @p eof=yes -- \"the end\"\n");
        let mut conn = daemon.conn();
        conn.send_bytes(text.as_bytes());
        let lines = reply_of(&mut conn, "p");
        let unquoted: Vec<u8> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("LOG stdout").and_then(|rest| rest.split_once(' ')))
            .flat_map(|(mark, text)| {
                let mut word = gantry::wire::words::split(text.as_bytes()).unwrap().remove(0);
                word.extend((mark != "+").then_some(b'\n'));
                word
            })
            .collect();
        assert_eq!(unquoted, [&bytes[..], b"the end\n"].concat(), "{request}");
        assert!(
            lines.contains(&"LOG stderr \"done\"".to_owned()) && lines.last().unwrap().ends_with("exit=4"),
            "{lines:?}"
        );
    }
    daemon.ok("rm box force=yes");
}

#[test]
fn input_that_cannot_be_fed_is_refused() {
    let daemon = with_box();
    let mut conn = daemon.conn();
    for (line, code) in [
        ("input nothing -- x", "not-found"),
        ("input nothing", "bad-request"),
        ("input", "bad-request"),
        ("input a b -- x", "bad-request"),
        ("input nothing -- a b", "bad-request"),
        ("input nothing eof=perhaps", "bad-value"),
    ] {
        assert_eq!(conn.refused(line), code, "{line}");
    }
    conn.send("@w wait box");
    assert_eq!(conn.refused("input w -- x"), "wrong-state");
    conn.send("@p exec box stdin=yes -- sh -c 'cat; sleep 100000'");
    conn.ok("input p -- \"a\\n\"");
    assert_eq!(conn.parsed().text(), "stdout a");
    conn.ok("input p eof=yes");
    assert_eq!(conn.refused("input p -- c"), "wrong-state");
    conn.send("@q exec box stdin=yes -- cat");
    conn.ok("input q eof=yes");
    loop {
        let line = conn.parsed();
        if line.tag.as_deref() == Some("q") {
            assert_eq!(line.get("exit").as_deref(), Some("0"));
            break;
        }
    }
    // One that reads nothing holds up whoever feeds it until that is taken back.
    conn.send("@r exec box stdin=yes -- sleep 100000");
    conn.ok("input r -- begun");
    conn.send(&format!("@f input r -- {}", quoted(&[b'x'; 16_000])));
    conn.send(&format!("@g input r -- {}", quoted(&[b'x'; 60_000])));
    conn.send("@c cancel r");
    let mut ended = std::collections::BTreeMap::new();
    while ended.len() < 4 {
        let line = conn.parsed();
        ended.insert(line.tag.clone().unwrap_or_default(), line.head);
    }
    assert_eq!(ended.values().cloned().collect::<Vec<_>>(), ["OK", "OK", "ERR", "ERR"], "{ended:?}");
    daemon.ok("rm box force=yes");
}

#[test]
fn a_half_close_ends_the_input_and_a_full_close_does_not() {
    let daemon = with_box();
    for request in ["exec box stdin=yes", "run busybox attach=yes stdin=yes rm=yes"] {
        for tag in ["@p ", ""] {
            let mut conn = daemon.conn();
            conn.send(&format!("{tag}{request} -- sh -c 'cat; echo over'"));
            if !tag.is_empty() {
                conn.send("input p -- \"fed\\n\"");
            }
            conn.half_close();
            let text = String::from_utf8_lossy(&conn.rest()).into_owned();
            assert!(text.contains("LOG stdout over\n") && text.contains("exit=0"), "{text}");
            assert_eq!(text.contains("LOG stdout fed\n"), !tag.is_empty());
        }
    }
    let mut conn = daemon.conn();
    conn.send("@p exec box stdin=yes -- sh -c 'read x; echo $x >/got; read y; echo ended >>/got'");
    conn.ok("input p -- \"hello\\n\"");
    drop(conn);
    let got = || daemon.ok("exec box -- sh -c 'cat /got; true'").written("stdout");
    shell::until(patience(60), "it read what it was fed", || got() == "hello\n");
    shell::until(patience(60), "it is there", || daemon.ok("stats box").column("pids") == ["2"]);
    assert_eq!(got(), "hello\n");
    daemon.ok("rm box force=yes");
}

#[test]
fn attach_shows_what_is_written_from_now_on() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok(
        "run busybox name=job stdin=yes -- sh -c 'echo before; while read x; do echo $x; echo e$x >&2; done; exit 6'",
    );
    shell::until(patience(60), "it wrote", || daemon.ok("logs job").logs() == ["stdout before"]);
    let mut conn = daemon.conn();
    conn.send("@a attach job stdin=yes");
    conn.send("@b attach job timestamps=yes text=quoted");
    conn.send("input a -- \"one\\n\"");
    let mut lines: Vec<_> = (0..5).map(|_| conn.parsed()).map(|line| (line.tag.clone(), line.text())).collect();
    lines.sort();
    let shown = |tag: &str| -> Vec<String> {
        let of_tag = lines.iter().filter(|(t, _)| t.as_deref() == Some(tag));
        of_tag.map(|(_, text)| text.clone()).collect()
    };
    assert_eq!(shown("a"), ["stderr eone", "stdout one"]);
    assert!(shown("b")[1].contains("T") && shown("b")[1].ends_with("Z \"one\""), "{:?}", shown("b"));
    conn.send("input a eof=yes");
    assert_eq!(reply_of(&mut conn, "a"), ["OK name=job:latest exit=6"]);
    assert_eq!(daemon.conn().refused("attach job"), "wrong-state");
    daemon.ok("rm job");
    // One that does not run yet: from its first byte.
    daemon.ok("create busybox name=job -- echo first");
    let mut conn = daemon.conn();
    conn.send("@a attach job");
    conn.send("start job");
    assert_eq!(reply_of(&mut conn, "a"), ["LOG stdout first", "OK name=job:latest exit=0"]);
    daemon.ok("rm job");
    // A cancel ends the looking alone.
    daemon.ok("run busybox name=job stdin=yes -- cat");
    let mut conn = daemon.conn();
    conn.send("@a attach job stdin=yes");
    conn.ok("input a -- x");
    conn.send("@c cancel a");
    assert!(reply_of(&mut conn, "a").last().unwrap().starts_with("ERR cancelled"));
    assert_eq!(daemon.ok("ps").column("state"), ["running"]);
    daemon.ok("rm job force=yes");
}

#[test]
fn a_terminal_is_one_and_has_a_size() {
    let daemon = with_box();
    let size = "stty size; tty; echo $TERM; id -u >&2";
    let seen = |line: &str| {
        let mut conn = daemon.conn();
        conn.send(line);
        let id = conn.raw();
        let text = String::from_utf8_lossy(&conn.rest()).into_owned();
        (text, daemon.ok(&format!("wait {id}")).get("exit"))
    };
    // crun sets no size, so that ours may come a moment after the program's begin.
    let sized = "until [ \"$(stty size 2>&1)\" = \"33 99\" ]; do sleep 0.05; done";
    let (text, exit) = seen(&format!("exec box tty=yes rows=33 cols=99 -- sh -c '{sized}; {size}; exit 3'"));
    assert_eq!((text.as_str(), exit.as_str()), ("33 99\r\n/dev/pts/0\r\nxterm\r\n0\r\n", "3"));
    let run = "run busybox attach=yes rm=yes tty=yes";
    let (text, exit) = seen(&format!("{run} rows=44 cols=120 env=TERM=dumb -- sh -c '{size}; exit 4'"));
    assert_eq!((text.as_str(), exit.as_str()), ("44 120\r\n/dev/pts/0\r\ndumb\r\n0\r\n", "4"));
    // In lines where that is asked for.
    let lines = daemon.ok("exec box tty=yes raw=no -- sh -c 'tty; exit 5'");
    assert_eq!((lines.logs(), lines.get("exit").as_str()), (vec!["stdout /dev/pts/0\r".to_owned()], "5"));
    assert_eq!(daemon.conn().refused("exec box tty=yes -- no-such-program"), "no-command");
    daemon.ok("rm box force=yes");
}

#[test]
fn keys_do_what_they_do_at_a_terminal() {
    let daemon = with_box();
    for line in ["exec box tty=yes -- sh", "run busybox name=job attach=yes rm=yes tty=yes -- sh"] {
        let mut conn = daemon.conn();
        conn.send(line);
        let id = conn.raw();
        until(&mut conn, "# ");
        conn.send_bytes(b"PS1=; sleep 100000\r");
        until(&mut conn, "sleep 100000\r\n");
        // Once it runs: what is typed before is the shell's.
        shell::until(patience(60), "it sleeps", || {
            let name = if line.starts_with("exec") { "box" } else { "job" };
            daemon.ok(&format!("top {name}")).column("command").iter().filter(|c| *c == "sleep 100000").count()
                > usize::from(name == "box")
        });
        conn.send_bytes(b"\x03");
        until(&mut conn, "^C\r\n");
        conn.send_bytes(b"echo a$((40+2))b; (exit 9)\r");
        until(&mut conn, "a42b\r\n");
        conn.half_close();
        conn.rest();
        assert_eq!(daemon.ok(&format!("wait {id}")).get("exit"), "9", "{line}: the end of what it reads ends a shell");
        // Within a line too.
        let mut conn = daemon.conn();
        conn.send(&line.replace("-- sh", "-- cat"));
        conn.raw();
        conn.send_bytes(b"half a line");
        until(&mut conn, "half a line");
        conn.half_close();
        assert_eq!(conn.rest(), b"half a line", "{line}");
    }
    daemon.ok("rm box force=yes");
}

#[test]
fn a_terminal_is_resized_at_once_and_the_last_size_counts() {
    let daemon = with_box();
    let script = "trap \"stty size\" WINCH; echo ready; while :; do sleep 0.05; done";
    let mut conn = daemon.conn();
    conn.send(&format!("exec box tty=yes -- sh -c '{script}'"));
    let exec = conn.raw();
    until(&mut conn, "ready\r\n");
    assert_eq!(daemon.ok(&format!("resize {exec} rows=30 cols=100")).get("name"), "box:latest");
    until(&mut conn, "30 100\r\n");
    daemon.ok(&format!("kill {exec}"));
    conn.rest();
    // Its streams end a moment before it does.
    daemon.ok(&format!("wait {exec}"));
    assert_eq!(daemon.conn().refused(&format!("resize {exec} rows=30 cols=100")), "wrong-state");

    daemon.ok(&format!("run busybox name=job tty=yes -- sh -c '{script}'"));
    // Before its trap is set, it would not tell.
    shell::until(patience(60), "it is ready", || !daemon.ok("logs job").logs().is_empty());
    let mut conn = daemon.conn();
    conn.send("attach job rows=20 cols=50");
    conn.raw();
    until(&mut conn, "20 50\r\n");
    // Two that conmon finds at once.
    let conmon = daemon.ok("ps name=job").column("pid")[0].clone();
    let parent = std::fs::read_to_string(format!("/proc/{conmon}/stat")).unwrap();
    let parent: i32 = parent.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();
    kill(Pid::from_raw(parent), Signal::SIGSTOP).unwrap();
    for (rows, cols) in [(21, 51), (22, 52), (23, 53)] {
        daemon.ok(&format!("resize job rows={rows} cols={cols}"));
    }
    kill(Pid::from_raw(parent), Signal::SIGCONT).unwrap();
    until(&mut conn, "23 53\r\n");
    daemon.ok("stop job timeout=0");
    assert_eq!(daemon.conn().refused("resize job rows=1 cols=1"), "wrong-state");
    assert_eq!(daemon.conn().refused("resize box rows=1 cols=1"), "wrong-state");
    assert_eq!(daemon.conn().refused("resize box rows=1"), "bad-option");
    assert_eq!(daemon.conn().refused("resize box"), "bad-request");
    assert_eq!(daemon.conn().refused("resize nobody rows=1 cols=1"), "not-found");
    for name in ["job", "box"] {
        daemon.ok(&format!("rm {name} force=yes"));
    }
}

/// The client with something to read, and what it gave.
fn client(daemon: &Daemon, args: &[&str], input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut command = shell::command(shell::binary("gantry"));
    command.env("GANTRY_SOCKET", daemon.place().socket()).args(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, bytes) = (child.stdin.take().unwrap(), input.to_vec());
    // The process may end before it has read everything.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    (output.status.code(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_client_feeds_what_it_reads() {
    let daemon = with_box();
    let bytes: Vec<u8> = (0..=255).cycle().take(1_000_003).collect();
    let script = "cat; echo done >&2; exit 3";
    for args in [&["exec", "-i", "box"][..], &["run", "-i", "--rm", "busybox"]] {
        let (status, out, err) = client(&daemon, &[args, &["sh", "-c", script]].concat(), &bytes);
        assert!((status, err.as_str()) == (Some(3), "done\n") && out == bytes, "{args:?} {status:?} {err}");
        let (status, out, _) = client(&daemon, &[args, &["sh", "-c", "head -c 3; exit 4"]].concat(), &bytes);
        assert_eq!((status, out), (Some(4), bytes[..3].to_vec()), "{args:?}");
    }
    daemon.ok("run busybox name=job stdin=yes -- sh -c 'cat; echo done >&2; exit 5'");
    assert_eq!(client(&daemon, &["attach", "job"], b"fed"), (Some(5), b"fed".to_vec(), "done\n".to_owned()));
    daemon.ok("rm job");
    daemon.ok("run busybox name=job -- sh -c 'until [ -e /go ]; do sleep 0.05; done; echo gone; exit 6'");
    daemon.ok("exec job -- touch /go");
    let (status, out, _) = client(&daemon, &["attach", "job"], b"nobody reads this");
    assert!(status == Some(6) && (out.is_empty() || out == b"gone\n") || status == Some(125), "{status:?} {out:?}");
    daemon.ok("rm job");
    daemon.ok("rm box force=yes");
}

#[test]
fn the_client_is_a_terminal() {
    let daemon = with_box();
    daemon.ok("run busybox name=job tty=yes stdin=yes -- sh");
    for (args, exit) in
        [(&["run", "-it", "--rm", "busybox", "sh"][..], 3), (&["exec", "-it", "box", "sh"], 4), (&["attach", "job"], 5)]
    {
        let size = nix::pty::Winsize { ws_row: 31, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = nix::pty::openpty(&size, None).unwrap();
        let (mut person, terminal) = (std::fs::File::from(pair.master), std::fs::File::from(pair.slave));
        let mut command = Command::new(shell::binary("gantry"));
        command.env("GANTRY_SOCKET", daemon.place().socket()).args(args);
        let handle = || Stdio::from(terminal.try_clone().unwrap());
        let mut child = command.stdin(handle()).stdout(handle()).stderr(handle()).spawn().unwrap();
        person.write_all(b"stty size\r").unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("31 77") {
            let mut byte = [0];
            let mut polled = [PollFd::new(person.as_fd(), PollFlags::POLLIN)];
            let limit = PollTimeout::try_from(patience(60)).unwrap();
            assert_eq!(poll(&mut polled, limit), Ok(1), "{args:?}: {}", String::from_utf8_lossy(&seen));
            person.read_exact(&mut byte).unwrap();
            seen.extend(byte);
            assert!(seen.len() < 10_000, "{args:?}: {}", String::from_utf8_lossy(&seen));
        }
        person.write_all(format!("exit {exit}\r").as_bytes()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(exit), "{args:?}");
        let flags = nix::sys::termios::tcgetattr(&terminal).unwrap().local_flags;
        assert!(flags.contains(nix::sys::termios::LocalFlags::ECHO), "{args:?}: the terminal is as it was");
    }
    daemon.ok("rm job");
    daemon.ok("rm box force=yes");
}
