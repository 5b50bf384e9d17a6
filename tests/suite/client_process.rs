//! The client as a process: signals, pipes and bytes, against a scripted daemon. Its commands are tested where they are.
#![allow(clippy::disallowed_methods, reason = "the test starts the client")]

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;

use crate::shell::{patience, until};

/// A daemon's socket in a directory of its own, and whoever connects to it.
struct Stage {
    directory: PathBuf,
    listener: UnixListener,
}

impl Stage {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("gantry-stage-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(unique);
        std::fs::create_dir(&directory).expect("a directory");
        let listener = UnixListener::bind(directory.join("sock")).expect("a socket");
        Self { directory, listener }
    }

    fn spawn(&self, words: &[&str]) -> Child {
        self.spawn_reading(Stdio::null(), words)
    }

    fn spawn_reading(&self, stdin: Stdio, words: &[&str]) -> Child {
        let mut client = Command::new(env!("CARGO_BIN_EXE_gantry"));
        client.arg("--socket").arg(self.directory.join("sock")).args(words);
        client.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the client")
    }

    /// The next connection, with the request that came on it.
    fn request(&self) -> (BufReader<UnixStream>, String) {
        let mut stream = BufReader::new(self.listener.accept().expect("a connection").0);
        let mut line = String::new();
        stream.read_line(&mut line).expect("a request");
        (stream, line.trim_end().to_owned())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn say(stream: &mut BufReader<UnixStream>, text: &str) {
    stream.get_mut().write_all(text.as_bytes()).expect("the client reads");
}

fn hear(stream: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).expect("the client writes");
    line
}

/// Whether the client has hung up; what it had not read by then makes it a reset.
fn is_closed(stream: &mut BufReader<UnixStream>) -> bool {
    stream.read(&mut [0; 1]).map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |length| length == 0)
}

/// A terminal: the side of the person, and the side of the client.
fn terminal(rows: u16, cols: u16) -> (File, File) {
    let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    let pair = openpty(&size, None).expect("a terminal");
    (pair.master.into(), pair.slave.into())
}

fn echoes(terminal: &File) -> bool {
    tcgetattr(terminal).expect("a terminal").local_flags.contains(LocalFlags::ECHO)
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().expect("a pid")), signal).expect("the client lives");
}

fn status(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn a_signal_goes_to_the_container_and_its_status_comes_back() {
    let stage = Stage::new();
    let mut client = stage.spawn(&["run", "box", "sleep", "9"]);
    let (mut run, line) = stage.request();
    assert_eq!(line, "run box attach=yes text=quoted -- sleep 9");
    say(&mut run, "PROGRESS stage=started name=box:latest id=abcdef123456\nLOG stdout \"ready\"\n");
    let mut ready = [0; 6];
    client.stdout.as_mut().expect("piped").read_exact(&mut ready).expect("the first line");
    for (sent, name) in [(Signal::SIGINT, "INT"), (Signal::SIGTERM, "TERM")] {
        signal(&client, sent);
        let (mut delivery, line) = stage.request();
        assert_eq!(line, format!("kill abcdef123456 signal={name}"));
        say(&mut delivery, "OK name=box:latest\n");
    }
    // Over and removed between the signal and its delivery: what counts is still the final line.
    signal(&client, Signal::SIGHUP);
    say(&mut stage.request().0, "ERR not-found no container abcdef123456\n");
    say(&mut run, "OK name=box:latest id=abcdef123456 exit=143\n");
    assert_eq!(status(&client.wait_with_output().expect("its end")), Some(143));
}

#[test]
fn a_signal_before_there_is_a_container_ends_the_client() {
    let stage = Stage::new();
    let client = stage.spawn(&["run", "box"]);
    let (mut run, _) = stage.request();
    say(&mut run, "PROGRESS stage=copying done=1 total=9\n");
    signal(&client, Signal::SIGINT);
    assert_eq!(status(&client.wait_with_output().expect("its end")), Some(130));
    assert!(is_closed(&mut run));
}

#[test]
fn a_signal_that_finds_no_container_of_that_name_ends_the_client() {
    let stage = Stage::new();
    let client = stage.spawn(&["run", "--name", "web", "box"]);
    let _run = stage.request();
    signal(&client, Signal::SIGTERM);
    let (mut delivery, line) = stage.request();
    assert_eq!(line, "kill web signal=TERM");
    say(&mut delivery, "ERR not-found no container web:latest\n");
    assert_eq!(status(&client.wait_with_output().expect("its end")), Some(143));
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let stage = Stage::new();
    let mut client = stage.spawn(&["logs", "-f", "web"]);
    drop(client.stdout.take());
    let (mut logs, _) = stage.request();
    // A process that another test is just starting may have a copy of the pipe's other end, for the first line or two.
    until(patience(60), "it ends", || {
        let _ = logs.get_mut().write_all(b"LOG stdout \"nobody reads this\"\n");
        client.try_wait().expect("its state").is_some()
    });
    let ended = client.wait_with_output().expect("its end");
    assert_eq!((status(&ended), ended.stderr.as_slice()), (Some(141), b"".as_slice()));
}

#[test]
fn every_byte_comes_through_on_its_own_stream() {
    let all: Vec<u8> = (0..=255).collect();
    let stage = Stage::new();
    let client = stage.spawn(&["run", "box"]);
    let (mut run, _) = stage.request();
    let mut quoted = Vec::new();
    gantry::wire::words::quote_always_into(&mut quoted, &all);
    let quoted = String::from_utf8(quoted).expect("quoted text is text");
    let player = thread::spawn(move || {
        for _ in 0..2000 {
            say(&mut run, &format!("LOG stdout+ {quoted}\nLOG stderr+ {quoted}\n"));
        }
        say(&mut run, "OK name=box:latest id=ab exit=7\n");
    });
    let ended = client.wait_with_output().expect("its end");
    player.join().expect("the script was played");
    assert_eq!(status(&ended), Some(7));
    assert!(ended.stdout == all.repeat(2000) && ended.stderr == all.repeat(2000));
}

#[test]
fn a_daemon_that_goes_away_is_told_in_one_line() {
    let stage = Stage::new();
    let client = stage.spawn(&["ps"]);
    drop(stage.request());
    let ended = client.wait_with_output().expect("its end");
    assert_eq!(status(&ended), Some(1));
    assert_eq!(ended.stderr, b"gantry: the daemon went away before it had answered\n");
}

#[test]
fn standard_input_goes_in_and_the_streams_stay_apart() {
    let stage = Stage::new();
    let mut client = stage.spawn_reading(Stdio::piped(), &["run", "-i", "box", "cat"]);
    let (mut run, line) = stage.request();
    assert_eq!(line, "@process run box stdin=yes attach=yes text=quoted -- cat");
    client.stdin.take().expect("piped").write_all(b"a\0b\n").expect("the client reads");
    assert_eq!(hear(&mut run), "input process -- \"a\\x00b\\n\"\n");
    say(&mut run, "OK\n@process LOG stdout \"a\\x00b\"\n@process LOG stderr \"e\"\n");
    assert_eq!(hear(&mut run), "input process eof=yes\n");
    say(&mut run, "OK\n@process OK name=box:latest id=ab exit=4\n");
    let ended = client.wait_with_output().expect("its end");
    assert_eq!((status(&ended), &ended.stdout[..], &ended.stderr[..]), (Some(4), &b"a\0b\n"[..], &b"e\n"[..]));
}

#[test]
fn a_terminal_is_passed_through_and_left_as_it_was() {
    let stage = Stage::new();
    let (mut person, slave) = terminal(24, 80);
    let mut client = stage.spawn_reading(slave.try_clone().expect("a handle").into(), &["run", "-it", "box", "sh"]);
    let (mut run, line) = stage.request();
    assert_eq!(line, "run box stdin=yes tty=yes attach=yes rows=24 cols=80 -- sh");
    assert!(echoes(&slave));
    say(&mut run, "OK raw id=abcdef\nhello");
    let mut hello = [0; 5];
    client.stdout.as_mut().expect("piped").read_exact(&mut hello).expect("the first bytes");
    assert!(!echoes(&slave));
    person.write_all(b"x\x03\r").expect("keys");
    let mut keys = [0; 3];
    run.read_exact(&mut keys).expect("the keys");
    assert_eq!((&hello, &keys), (b"hello", b"x\x03\r"));
    let size = rustix::termios::Winsize { ws_row: 50, ws_col: 132, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&person, size).expect("a new size");
    signal(&client, Signal::SIGWINCH);
    let (mut resize, line) = stage.request();
    assert_eq!(line, "resize abcdef rows=50 cols=132");
    say(&mut resize, "OK name=box:latest\n");
    drop(run);
    let (mut wait, line) = stage.request();
    assert_eq!(line, "wait abcdef");
    say(&mut wait, "OK name=box:latest exit=5 oom=no\n");
    assert_eq!(status(&client.wait_with_output().expect("its end")), Some(5));
    assert!(echoes(&slave));
}

#[test]
fn a_terminal_can_be_left() {
    let stage = Stage::new();
    let (mut person, slave) = terminal(24, 80);
    let mut client = stage.spawn_reading(slave.try_clone().expect("a handle").into(), &["exec", "-it", "web", "sh"]);
    let (mut exec, _) = stage.request();
    say(&mut exec, "OK raw id=abcdef\n$");
    client.stdout.as_mut().expect("piped").read_exact(&mut [0; 1]).expect("the prompt");
    person.write_all(b"\x10\x11").expect("keys");
    assert_eq!(status(&client.wait_with_output().expect("its end")), Some(0));
    assert!(is_closed(&mut exec));
    assert!(echoes(&slave));
}

#[test]
fn a_signal_that_ends_the_client_leaves_the_terminal_whole() {
    let stage = Stage::new();
    let (_person, slave) = terminal(24, 80);
    let mut client = stage.spawn_reading(slave.try_clone().expect("a handle").into(), &["run", "-it", "box"]);
    let (mut run, _) = stage.request();
    say(&mut run, "OK raw id=abcdef\n$");
    client.stdout.as_mut().expect("piped").read_exact(&mut [0; 1]).expect("the prompt");
    signal(&client, Signal::SIGTERM);
    assert_eq!(status(&client.wait_with_output().expect("its end")), Some(143));
    assert!(echoes(&slave));
}

#[test]
fn each_layer_of_a_pull_has_a_bar() {
    let stage = Stage::new();
    let (mut person, slave) = terminal(24, 80);
    // The command goes at once, and its handle of the terminal with it: the end of the client can then be read.
    let mut client = Command::new(env!("CARGO_BIN_EXE_gantry"))
        .arg("--socket")
        .arg(stage.directory.join("sock"))
        .args(["pull", "web"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(slave)
        .spawn()
        .expect("the client");
    let (mut pull, line) = stage.request();
    assert_eq!(line, "image pull web");
    let layer = |digit: &str, done| {
        format!("PROGRESS stage=fetch blob=sha256:{} done={done} total=1048576\n", digit.repeat(64))
    };
    say(
        &mut pull,
        &format!("PROGRESS stage=fetch done=0 total=2097152\n{}{}", layer("a", 1_048_576), layer("b", 524_288)),
    );
    let (mut shown, mut piece) = (String::new(), [0; 4096]);
    let wanted =
        ["fetch [", "aaaaaaaaaaaa [==============================] 1.00 MiB/1.00 MiB", "bbbbbbbbbbbb [==============="];
    while !wanted.iter().all(|wanted| shown.contains(wanted)) {
        let mut waited = [PollFd::new(person.as_fd(), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(patience(60)).expect("short enough");
        assert_ne!(poll(&mut waited, patience), Ok(0), "never shown: {shown:?}");
        let length = person.read(&mut piece).unwrap_or_else(|error| panic!("{error}: {shown:?}"));
        shown.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    say(&mut pull, "OK name=web digest=sha256:ab size=2097152\n");
    let mut out = String::new();
    client.stdout.take().expect("piped").read_to_string(&mut out).expect("its output");
    assert_eq!((client.wait().expect("its end").code(), out.as_str()), (Some(0), "Digest: sha256:ab\nweb\n"));
}
