//! What is asked while something else is under way: heard, answered, and nothing left half done.

use super::harness::{Daemon, Setup};
use super::shell;

#[test]
fn a_run_whose_client_leaves_at_once_is_finished() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    for n in 0..6 {
        let mut leaver = daemon.conn();
        leaver.send(&format!("run busybox name=left{n} -- sleep 1000"));
        // Its answer to a tagged line behind it proves that the run was taken.
        leaver.send("@p ping");
        leaver.line();
        drop(leaver);
    }
    shell::until(shell::patience(30), "every run that was begun runs", || {
        daemon.ok("ps state=running").get("count") == "6"
    });
    for n in 0..6 {
        daemon.ok(&format!("rm left{n} force=yes"));
    }
}

#[test]
fn a_stop_answers_a_start_that_waits() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=f -- true");
    for _ in 0..5 {
        daemon.ok("wait f");
        let (mut starter, mut stopper) = (daemon.conn(), daemon.conn());
        starter.send("start f");
        stopper.send("stop f timeout=0");
        // Whichever came first: both are answered.
        starter.reply();
        stopper.reply();
    }
    daemon.ok("rm f force=yes");
}

#[test]
fn a_start_that_fails_leaves_an_ended_container_ended() {
    let daemon = Setup { apart: true, ..Setup::default() }.start();
    daemon.import_busybox();
    daemon.ok("run busybox name=p publish=18651:80 -- sh -c 'exit 4'");
    daemon.ok("wait p");
    daemon.ok("run busybox name=holder publish=18651:80 -- sleep 1000");
    let mut conn = daemon.conn();
    assert_eq!(conn.refused("start p"), "in-use");
    assert_eq!(conn.ok("ps name=p").column("state"), ["exited"]);
    assert_eq!(conn.ok("wait p").get("exit"), "4");
    conn.ok("rm p");
    conn.ok("rm holder force=yes");
}

#[test]
fn a_container_that_goes_at_its_end_is_not_restarted() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=job rm=yes -- sleep 1000");
    assert_eq!(daemon.conn().refused("restart job"), "wrong-state");
    assert_eq!(daemon.ok("ps").column("state"), ["running"], "and it is not stopped for it");
    daemon.ok("rm job force=yes");
}

#[test]
fn a_second_stop_hurries_and_never_delays() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=slow -- sleep 1000");
    let (mut first, mut second) = (daemon.conn(), daemon.conn());
    first.send("stop slow timeout=300ms");
    second.send("stop slow timeout=1h");
    assert_eq!(first.reply().get("exit"), "137");
    assert_eq!(second.reply().get("exit"), "137");
    daemon.ok("rm slow");
}

#[test]
fn malformed_lines_are_answered_in_their_turn() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("create busybox name=nap rm=yes -- true");
    let mut conn = daemon.conn();
    conn.send("wait nap\n@t \"unclosed\n@bad! ping\n\"@q\" ping\nping");
    let quoted = conn.parsed();
    assert_eq!((quoted.tag.as_deref(), quoted.text().as_str()), (Some("q"), "pong"), "a tag may be quoted");
    daemon.ok("start nap");
    assert_eq!(conn.parsed().get("exit").as_deref(), Some("0"));
    for _ in 0..2 {
        assert!(conn.parsed().text().starts_with("bad-request"));
    }
    assert_eq!(conn.parsed().text(), "pong");
}

#[test]
fn what_only_looks_is_told_that_the_daemon_ends() {
    let mut daemon = Daemon::start();
    let mut watcher = daemon.conn();
    watcher.send("@e events");
    assert_eq!(watcher.parsed().get("type").as_deref(), Some("subscribed"));
    assert!(daemon.term().success());
    let last = String::from_utf8(watcher.rest()).unwrap();
    assert!(last.lines().last().is_some_and(|line| line.starts_with("@e ERR shutting-down")), "{last}");
}

#[test]
fn a_character_that_conmon_cuts_is_kept_whole() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    // conmon reads 8192 bytes at once: the é stands across.
    let script = r#"head -c 8191 /dev/zero | tr '\0' a > /f; printf 'é€b\n' >> /f; cat /f"#;
    let run = daemon.ok(&format!(
        "run busybox name=cut attach=yes rm=yes -- sh -c \"{}\"",
        script.replace('\\', "\\\\").replace('"', "\\\"")
    ));
    let written = run.written("stdout");
    assert!(!written.contains('\u{fffd}') && written.trim_end().ends_with("é€b"), "{:?}", &written[8180..]);
}

#[test]
fn impossible_users_are_refused() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    for user in ["4294967295", "0:4294967295", "-1", "ghost", "0:ghost"] {
        assert_eq!(conn.refused(&format!("run busybox user={user} -- id")), "bad-value", "{user}");
    }
    assert_eq!(conn.ok("ps").get("count"), "0");
}
