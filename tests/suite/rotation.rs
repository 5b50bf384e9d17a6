//! Logs that are put aside when they have grown: no line is lost, none comes twice, and conmon is never without one.

use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::conn::Conn;
use super::harness::{Daemon, Setup};
use super::{host, shell};

/// Where the container's files lie.
#[track_caller]
fn data(daemon: &Daemon, name: &str) -> PathBuf {
    let document = daemon.ok(&format!("inspect {name}")).json();
    PathBuf::from(document["paths"]["data"].as_str().expect("a path"))
}

/// How many files its log is in.
fn files(daemon: &Daemon, name: &str) -> usize {
    let dir = data(daemon, name);
    let listed = format!("nsenter --mount --target {} ls {}", daemon.pid(), dir.display());
    shell::sh(&listed).succeeds().lines().filter(|file| *file == "log" || file.starts_with("log.")).count()
}

/// Waits until its log has been put aside.
fn await_turn(daemon: &Daemon, name: &str) {
    shell::until(shell::patience(60), "the log is put aside", || files(daemon, name) > 1);
}

/// What `seq` writes.
fn sequence(from: u32, to: u32) -> String {
    (from..=to).map(|n| format!("{n}\n")).collect()
}

/// Fails at the first difference, and shows no more than that.
#[track_caller]
fn assert_same(got: &str, expected: &str) {
    let at = got.lines().zip(expected.lines()).position(|(a, b)| a != b);
    assert!(got == expected, "line {at:?} of {}, {} are due", got.lines().count(), expected.lines().count());
}

#[test]
fn no_line_is_lost_and_none_comes_twice() {
    const LINES: u32 = 200_000;
    let daemon = Daemon::start();
    daemon.import_busybox();
    let half = LINES / 2;
    let script = format!("mkfifo /gate 2>/dev/null; seq {half}; read x <>/gate; seq {} {LINES}", half + 1);
    let mut attached = daemon.conn();
    let options = "attach=yes log-max-size=64k log-max-files=100";
    attached.send(&format!("run busybox name=job {options} -- sh -c '{script}'"));
    started(&mut attached);
    await_turn(&daemon, "job");
    daemon.ok("exec job -- sh -c 'echo >/gate'");
    assert_same(&attached.reply().written("stdout"), &sequence(1, LINES));
    assert!(files(&daemon, "job") > 1);
    assert_same(&daemon.ok("logs job").written("stdout"), &sequence(1, LINES));
    // A tail that begins in a file before the last.
    for count in [0, 1, 1000, 150_000, LINES, LINES + 1] {
        let tail = daemon.ok(&format!("logs job tail={count}")).written("stdout");
        assert_same(&tail, &sequence((LINES + 1).saturating_sub(count).max(1), LINES));
    }
    // Another run goes on where that one ended.
    let (mut follower, before) = (daemon.conn(), files(&daemon, "job"));
    daemon.ok("start job");
    follower.send("logs job follow=yes");
    shell::until(shell::patience(60), "the log is put aside", || files(&daemon, "job") > before);
    daemon.ok("exec job -- sh -c 'echo >/gate'");
    assert_same(&follower.reply().written("stdout"), &sequence(1, LINES).repeat(2));
    daemon.ok("rm job");
}

#[test]
fn the_oldest_go_first() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    // Each of the steps is more than a file takes, and awaits the one before being put aside.
    let step = "seq 1000; read x <>/gate";
    let script = format!("mkfifo /gate; {step}; {step}; {step}; {step}; {step}; echo end");
    daemon.ok(&format!("run busybox name=job log-max-size=4k log-max-files=3 -- sh -c '{script}'"));
    let dir = data(&daemon, "job");
    for newest in 0..5 {
        shell::until(shell::patience(60), "the log is put aside", || {
            dir.join(format!("log.{newest}")).exists() && std::fs::metadata(dir.join("log")).is_ok_and(|m| m.len() == 0)
        });
        assert!(files(&daemon, "job") <= 4, "the newest, two before it, and one that may be about to go");
        daemon.ok("exec job -- sh -c 'echo >/gate'");
    }
    daemon.ok("wait job");
    assert_eq!(files(&daemon, "job"), 3);
    let seen = daemon.ok("logs job").written("stdout");
    assert!(seen.ends_with("1000\nend\n"), "{}", seen.len());
    assert!((1..=2).contains(&seen.matches("\n1000\n").count()), "{}", seen.len());
    let taken = |daemon: &Daemon| {
        let df = daemon.ok("df");
        let at = df.column("kind").iter().position(|kind| kind == "logs").expect("logs");
        df.column("size")[at].parse::<u64>().unwrap()
    };
    // 1000 lines are 49 thousand bytes in the file.
    assert!(taken(&daemon) > 45_000, "every file counts: {}", taken(&daemon));
    daemon.ok("rm job");
    shell::until(shell::patience(60), "its log counts no more", || taken(&daemon) == 0);
    shell::until(shell::patience(60), "its files go", || !dir.exists());
}

#[test]
fn a_long_line_and_any_byte_are_kept_across_files() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let script = "for i in 1 2 3 4 5 6 7 8; do head -c 100000 /dev/zero | tr \"\\0\" x; done; printf \"\\351\\000\\377\\n\"; seq 3 >&2";
    let options = "attach=yes rm=yes text=quoted log-max-size=4k log-max-files=100";
    let run = daemon.ok(&format!("run busybox name=job {options} -- sh -c '{script}'"));
    let text = |stream: &str| run.written(stream).replace('"', "").replace('\n', "|");
    let expected = format!("{}\\xe9\\x00\\xff|", "x".repeat(800_000));
    assert!(text("stdout") == expected, "{} bytes of {}", text("stdout").len(), expected.len());
    assert_eq!(text("stderr"), "1|2|3|");
}

/// Waits until the daemon has nothing more to say on a connection that nobody reads: it is held up.
fn ended(daemon: &Daemon, name: &str) {
    let mut conn = daemon.conn();
    shell::until(shell::patience(120), "it ends", || {
        let reply = conn.request("ps");
        let at = reply.column("name").iter().position(|known| *known == format!("{name}:latest"));
        at.is_none_or(|at| reply.column("state")[at] == "exited")
    });
}

#[test]
fn a_slow_reader_is_waited_for_even_by_removal() {
    const LINES: u32 = 150_000;
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut slow = daemon.conn();
    slow.send(&format!("run busybox name=job attach=yes rm=yes log-max-size=64k log-max-files=100 -- seq {LINES}"));
    started(&mut slow);
    ended(&daemon, "job");
    assert_eq!(daemon.ok("ps").get("count"), "0", "it is gone, and its files with it");
    let run = slow.reply();
    assert_same(&run.written("stdout"), &sequence(1, LINES));
    assert_eq!(run.get("exit"), "0");
}

/// Reads on until the container runs.
#[track_caller]
fn started(conn: &mut Conn) {
    while !conn.line().is_some_and(|line| line.starts_with(b"PROGRESS stage=started")) {}
}

#[test]
fn who_is_too_slow_hears_how_much_is_lost() {
    const BURSTS: std::ops::RangeInclusive<u32> = 10..=39;
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut slow = daemon.conn();
    // With rests, so that the log is put aside again and again however busy the machine is.
    let bursts =
        format!("for i in $(seq {} {}); do seq ${{i}}0000 ${{i}}9999; sleep 0.2; done", BURSTS.start(), BURSTS.end());
    slow.send(&format!("run busybox name=job attach=yes log-max-size=64k log-max-files=2 -- sh -c '{bursts}'"));
    started(&mut slow);
    ended(&daemon, "job");
    let run = slow.reply();
    let lost = run.lines.iter().find(|line| line.head == "EVENT").expect("it is told");
    assert_eq!(lost.get("type").as_deref(), Some("lost"));
    assert!(lost.get("files").is_some_and(|files| files.parse::<u32>().is_ok_and(|count| count > 0)), "{lost:?}");
    // What is left of a line that was torn by the loss is shorter.
    let whole = run.lines.iter().filter(|line| line.head == "LOG").map(|line| line.text());
    let numbers: Vec<u32> =
        whole.filter_map(|line| line.strip_prefix("stdout ").filter(|text| text.len() == 6)?.parse().ok()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.len() < 10_000 * BURSTS.count());
    assert_eq!(
        (numbers.first(), numbers.last()),
        (Some(&(BURSTS.start() * 10_000)), Some(&(BURSTS.end() * 10_000 + 9_999)))
    );
    daemon.ok("rm job");
}

#[test]
fn a_daemon_that_is_held_up_loses_nothing() {
    const LINES: u32 = 100_000;
    let daemon = Daemon::start();
    daemon.import_busybox();
    let dir = daemon.place().dir().join("shared");
    std::fs::create_dir(&dir).unwrap();
    let script = format!("seq {LINES}; touch /shared/done; read x <>/shared/gate; seq {LINES}");
    let volume = format!("volume={}:/shared", dir.display());
    shell::sh(&format!("mkfifo {}/gate", dir.display())).succeeds();
    let options = "log-max-size=16k log-max-files=100";
    daemon.ok(&format!("run busybox name=job {volume} {options} -- sh -c '{script}'"));
    daemon.signal(Signal::SIGSTOP);
    shell::until(shell::patience(120), "it has written", || dir.join("done").exists());
    daemon.signal(Signal::SIGCONT);
    std::fs::write(dir.join("gate"), "go\n").unwrap();
    daemon.ok("wait job");
    assert!(files(&daemon, "job") > 1);
    assert_same(&daemon.ok("logs job").written("stdout"), &sequence(1, LINES).repeat(2));
    daemon.ok("rm job");
}

/// Has containers' files lie on a file system of their own with `options`, that the daemon and its children alone see.
fn small_disk(daemon: &Daemon, options: &str) {
    let place = daemon.place().root().join("containers");
    let mount = format!("mount -t tmpfs -o {options} none {}", place.display());
    shell::sh(&format!("nsenter --mount --target {} {mount}", daemon.pid())).succeeds();
}

#[test]
fn a_full_disk_stops_no_container() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    small_disk(&daemon, "size=2m");
    let script =
        "seq 1000; dd if=/dev/zero of=/big bs=64k 2>/dev/null; seq 20000; rm /big; sleep 0.1; echo end; exit 3";
    for options in ["", "log-max-size=16k log-max-files=2"] {
        let run = daemon.ok(&format!("run busybox name=job attach=yes {options} -- sh -c '{script}'"));
        assert_eq!(run.get("exit"), "3");
        assert!(run.written("stdout").ends_with("end\n"), "what comes when there is room again is written");
        daemon.ok("rm job");
    }
}

#[test]
fn a_log_that_cannot_be_put_aside_is_written_on() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    small_disk(&daemon, "nr_inodes=200");
    // No file can be made any more, so that conmon, told to, would end.
    let script = "i=0; while touch /$i 2>/dev/null; do i=$((i+1)); done; seq 20000; rm /1 /2 /3; echo free; read x <>/gate; seq 5000";
    daemon.ok(&format!("create busybox name=job log-max-size=16k log-max-files=100 -- sh -c 'mkfifo /gate; {script}'"));
    daemon.ok("start job");
    let mut follower = daemon.conn();
    follower.send("logs job follow=yes");
    while follower.parsed().text() != "stdout free" {}
    daemon.ok("exec job -- sh -c 'echo >/gate'");
    let rest = follower.reply();
    assert_same(&rest.written("stdout"), &sequence(1, 5000));
    assert_eq!(daemon.ok("wait job").get("exit"), "0");
    assert_same(
        &daemon.ok("logs job").written("stdout"),
        &format!("{}free\n{}", sequence(1, 20000), sequence(1, 5000)),
    );
    daemon.ok("rm job");
}

#[test]
fn bounds_come_from_the_configuration_or_the_request() {
    let dir = shell::scratch();
    let file = dir.join(format!("log-bounds-{}.toml", std::process::id()));
    std::fs::write(&file, "log-max-size = '1m'\nlog-max-files = 7\n").unwrap();
    let flags = vec!["--config".to_owned(), file.display().to_string()];
    let daemon = Setup { flags, ..Setup::default() }.start();
    daemon.import_busybox();
    for (options, size, files) in
        [("", 1 << 20, 7), ("log-max-size=0", 0, 7), ("log-max-size=8k log-max-files=2", 8192, 2)]
    {
        daemon.ok(&format!("create busybox name=job {options} -- true"));
        let bounds = daemon.ok("inspect job").json()["log"].clone();
        assert_eq!((bounds["max-size"].as_u64(), bounds["max-files"].as_u64()), (Some(size), Some(files)), "{options}");
        daemon.ok("rm job");
    }
    let mut conn = daemon.conn();
    for (wrong, code) in [
        ("log-max-size=1", "bad-value"),
        ("log-max-size=big", "bad-value"),
        ("log-max-files=0", "bad-value"),
        ("log-max-files=101", "bad-value"),
        ("log-max-size=0 log-max-files=2", "bad-option"),
    ] {
        assert_eq!(conn.refused(&format!("create busybox name=job {wrong} -- true")), code, "{wrong}");
    }
    let options = ["create", "--name", "job", "--log-opt", "max-size=2m", "--log-opt", "max-file=4", "busybox", "true"];
    daemon.client(&options).succeeds();
    let bounds = daemon.ok("inspect job").json()["log"].clone();
    assert_eq!(bounds, serde_json::json!({ "max-size": 2 << 20, "max-files": 4 }));
    daemon.ok("rm job");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn one_instance_of_inotify_is_enough() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let instances = || host::descriptors(daemon.pid()).iter().filter(|one| one.contains("inotify")).count();
    let run = |number| daemon.ok(&format!("run busybox name=job{number} log-max-size=1m -- sleep 1000"));
    run(0);
    let mut follower = daemon.conn();
    follower.send("logs job0 follow=yes");
    // The host may have had none left when the daemon started: then it is tried again for whoever follows.
    shell::until(shell::patience(60), "it has one", || instances() > 0);
    let before = instances();
    for number in 1..4 {
        run(number);
    }
    assert_eq!(instances(), before);
    for number in 0..4 {
        daemon.ok(&format!("rm job{number} force=yes"));
    }
}
