//! Plays every transcript of protocol.md as it stands, against a daemon like the one its reader has.

use super::conn::Conn;
use super::harness::{Daemon, Setup};
use super::shell;
use super::transcript::{self, Kept, Step, Transcript};

/// What the page promises of the daemon at the start of each transcript: one image, no volume, no network but one,
/// nothing that runs.
fn prepare(daemon: &Daemon) {
    let clear =
        |name: &String, verb: &str, how: &str| daemon.conn().request(&format!("{verb} {name}{how}")).end.head == "OK";
    shell::until(shell::patience(60), "a daemon on which nothing runs", || {
        daemon.ok("ps").column("name").iter().all(|name| clear(name, "rm", " force=yes"))
    });
    shell::until(shell::patience(60), "a daemon with one image", || {
        let images = daemon.ok("image ls").column("name");
        images.iter().filter(|name| *name != "localhost/busybox:latest").all(|name| clear(name, "image rm", ""))
    });
    for name in daemon.ok("network ls").column("name").iter().filter(|name| *name != "bridge") {
        daemon.ok(&format!("network rm {name}"));
    }
    daemon.ok("volume prune");
}

#[test]
fn every_transcript_of_the_manual_plays() {
    let page = std::fs::read_to_string(shell::repository().join("protocol.md")).unwrap();
    let transcripts = transcript::read(&page).unwrap();
    assert!(transcripts.len() > 20, "the manual shows what it tells");
    let mut daemon = Setup { apart: true, ..Setup::default() }.start();
    daemon.ok("image import /srv/busybox busybox");
    let mut wrong = Vec::new();
    for transcript in &transcripts {
        let played = play(transcript, &daemon);
        if played.is_ok() && transcript.ends_the_daemon() {
            daemon.wait();
            daemon.restart();
        }
        wrong.extend(played.err().map(|why| format!("protocol.md:{why}")));
        prepare(&daemon);
    }
    assert!(wrong.is_empty(), "{} of {} transcripts differ:\n{}", wrong.len(), transcripts.len(), wrong.join("\n"));
}

fn play(transcript: &Transcript, daemon: &Daemon) -> Result<(), String> {
    let mut player = Player { daemon, conn: daemon.conn(), kept: Kept::new(), skipping: false, half_closed: false };
    for (number, step) in &transcript.steps {
        player.play(step).map_err(|why| format!("{number}: {why}"))?;
    }
    player.finish().map_err(|why| format!("{} (its end): {why}", transcript.at))
}

struct Player<'a> {
    daemon: &'a Daemon,
    conn: Conn,
    kept: Kept,
    /// Any number of lines may come before the next that is told.
    skipping: bool,
    half_closed: bool,
}

impl Player<'_> {
    fn play(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Send(line) => self.conn.send(&transcript::fill(line, &self.kept)),
            Step::Get(pattern) => return self.get(pattern),
            Step::GetAny => self.skipping = true,
            Step::HalfClose => {
                self.conn.half_close();
                self.half_closed = true;
            }
            Step::Unruled => {
                self.daemon.sh(&format!("nft delete table inet {}", self.daemon.place().bridge())).succeeds();
            }
            Step::Closed => {
                let rest = self.conn.rest();
                if !self.skipping && !rest.is_empty() {
                    return Err(format!("before it closes, the server sends {}", String::from_utf8_lossy(&rest)));
                }
            }
        }
        Ok(())
    }

    fn get(&mut self, pattern: &str) -> Result<(), String> {
        loop {
            let line = self.conn.line().ok_or_else(|| format!("the server closes in place of: {pattern}"))?;
            let line = String::from_utf8_lossy(&line).into_owned();
            if transcript::matches(pattern, &line, &mut self.kept) {
                self.skipping = false;
                return Ok(());
            }
            // A client may ignore PROGRESS, and so may a page; it skips nothing behind a refusal, which would wait for ever.
            let may_skip = line.starts_with("PROGRESS") || (self.skipping && !line.starts_with("ERR "));
            if !may_skip {
                return Err(format!("\n  the page: {pattern}\n  the wire: {line}"));
            }
        }
    }

    /// Behind the last line nothing comes that the page does not tell: a ping is answered at once.
    fn finish(&mut self) -> Result<(), String> {
        if self.half_closed || self.skipping {
            return Ok(());
        }
        self.conn.send("ping");
        match self.conn.line().as_deref() {
            Some(b"OK pong") | None => Ok(()),
            Some(line) => Err(format!("the wire goes on with: {}", String::from_utf8_lossy(line))),
        }
    }
}
