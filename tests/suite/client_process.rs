//! The client as a process: signals, pipes and bytes, against a scripted daemon. Its commands are tested where they are.
#![allow(clippy::disallowed_methods, reason = "the test starts the client")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

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
        let mut client = Command::new(env!("CARGO_BIN_EXE_gantry"));
        client.arg("--socket").arg(self.directory.join("sock")).args(words);
        client.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the client")
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
    assert_eq!(run.read(&mut [0; 1]).expect("the connection ends"), 0);
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
    say(&mut logs, "LOG stdout \"nobody reads this\"\n");
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
