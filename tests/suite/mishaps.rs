//! What can befall a container or the daemon from outside, and the right answer to each. Each row of the table is run.
//!
//! | what happens | the right answer |
//! | --- | --- |
//! | conmon is killed | the container runs on, `exec` too; its exit status is told as ever; what it writes from then on is lost, which the log of the daemon says |
//! | conmon ends by itself, unable to make its log anew | likewise |
//! | the first process is killed | 137, and it can be started again |
//! | conmon and the first process are killed | an exit is told, and it can be started again |
//! | the bundle is removed | it runs on, is stopped, and can be removed; what it is started with is not there, which is told |
//! | its writable layer is removed | likewise |
//! | the directory that it was made of is removed | it runs on, is stopped, and can be removed; a start is refused |
//! | an image's tree is removed | it runs on; `image verify` tells; the image can be removed |
//! | crun's state of it is removed | its end is told and it can be removed |
//! | the run directory is removed | who is connected stays so; everything can be removed, and the daemon leaves nothing |
//! | no descriptor is left | what runs is not taken for dead |
//! | no inotify instance is left | logs are followed all the same, a while later |
//! | the clock is moved | nothing waits by the clock: every wait and every age that something depends on is of `Instant`, which does not move. What is shown moves with it. Where two times of the clock are compared, the later may be the earlier: `gantry::images` looks for what nobody has used for so long, and `stats` at its first sample |
//!
//! After each, what ran beside it runs on and is reached, and the end of the daemon leaves nothing on the host.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::conn::Conn;
use super::engine::{HTTPD, fetch, host_port};
use super::harness::{Daemon, Setup};
use super::shell::{self, patience, until};

/// What each row works on.
struct Scene<'a> {
    daemon: &'a Daemon,
    conn: Conn,
    id: String,
    pid: i32,
}

/// A row: what it is called, how its container is made, and what happens.
type Row = (&'static str, &'static str, fn(&mut Scene<'_>));

const ROWS: &[Row] = &[
    ("conmon is killed", "busybox", conmon_is_killed),
    ("conmon ends by itself", "busybox", conmon_ends),
    ("the first process is killed", "busybox", first_process_is_killed),
    ("both are killed", "busybox", both_are_killed),
    ("the bundle is removed", "busybox", bundle_is_removed),
    ("its writable layer is removed", "busybox", layer_is_removed),
    ("what it was made of is removed", "rootfs=TREE", rootfs_is_removed),
    ("crun's state is removed", "busybox", state_is_removed),
    ("an image's tree is removed", "doomed", image_is_removed),
];

fn signal(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
}

impl Scene<'_> {
    /// The monitor of the container: the process that has its id and is the daemon's child.
    fn conmon(&self) -> i32 {
        let children = super::host::children(self.daemon.pid());
        let is_its = |line: &&String| line.contains("conmon") && line.contains(&self.id);
        let line = children.iter().find(is_its).unwrap_or_else(|| panic!("no conmon in {children:#?}"));
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn places(&mut self, key: &str) -> PathBuf {
        self.conn.ok("inspect x").json()["paths"][key].as_str().expect(key).into()
    }

    /// It is ended, its end is told, and it can be removed; also where it cannot be started again.
    #[track_caller]
    fn goes(&mut self, starts_again: Option<bool>) {
        assert_eq!(self.conn.ok("ps name=x").column("state"), ["running"], "it runs on");
        self.conn.ok("stop x timeout=0");
        assert_eq!(self.conn.ok("wait x").get("exit"), "137");
        self.comes_back(starts_again);
    }

    #[track_caller]
    fn comes_back(&mut self, starts_again: Option<bool>) {
        let start = self.conn.request("start x");
        let started = start.end.head == "OK";
        assert!(starts_again.is_none_or(|wanted| wanted == started), "{start:?}");
        assert!(started || start.end.text().len() > 20, "a refusal says why: {start:?}");
        self.conn.ok("rm x force=yes");
    }
}

fn conmon_is_killed(scene: &mut Scene<'_>) {
    signal(scene.conmon());
    until(patience(60), "it is noticed", || scene.daemon.log().contains("its conmon is gone"));
    assert_eq!(scene.conn.ok("exec x -- echo on").logs(), ["stdout on"]);
    scene.goes(Some(true));
}

fn conmon_ends(scene: &mut Scene<'_>) {
    // Told to make its log anew as a rotation would tell it, where it cannot.
    fs::create_dir(scene.places("data").join("log.tmp")).unwrap();
    fs::write(scene.places("bundle").join("ctl"), "2 0 0\n").unwrap();
    until(patience(60), "it is noticed", || scene.daemon.log().matches("its conmon is gone").count() == 2);
    scene.goes(Some(true));
}

fn first_process_is_killed(scene: &mut Scene<'_>) {
    signal(scene.pid);
    assert_eq!(scene.conn.ok("wait x").get("exit"), "137");
    scene.comes_back(Some(true));
}

fn both_are_killed(scene: &mut Scene<'_>) {
    signal(scene.conmon());
    signal(scene.pid);
    let exit = scene.conn.ok("wait x").get("exit");
    assert!(["137", "255"].contains(&exit.as_str()), "{exit}");
    scene.comes_back(Some(true));
}

fn bundle_is_removed(scene: &mut Scene<'_>) {
    fs::remove_dir_all(scene.places("bundle")).unwrap();
    assert_eq!(scene.conn.ok("ps name=x").column("state"), ["running"], "it runs on");
    scene.conn.ok("stop x timeout=0");
    // conmon, which cannot write the exit status down, ends with one of its own.
    assert_ne!(scene.conn.ok("wait x").get("exit"), "0");
    scene.comes_back(None);
}

fn layer_is_removed(scene: &mut Scene<'_>) {
    // All but its log, which conmon writes: what is mounted there is mounted in the daemon's namespace alone.
    for part in ["upper", "work"] {
        fs::remove_dir_all(scene.places("data").join(part)).unwrap();
    }
    scene.goes(None);
}

fn rootfs_is_removed(scene: &mut Scene<'_>) {
    fs::remove_dir_all(tree(scene.daemon)).unwrap();
    scene.goes(Some(false));
}

fn state_is_removed(scene: &mut Scene<'_>) {
    fs::remove_dir_all(scene.daemon.place().run().join("crun").join(&scene.id)).unwrap();
    scene.goes(Some(true));
}

fn image_is_removed(scene: &mut Scene<'_>) {
    let document = scene.conn.ok("image inspect doomed").json();
    let rootfs = document["rootfs"].as_str().map(PathBuf::from).expect("where its tree is");
    fs::remove_dir_all(rootfs).unwrap();
    scene.goes(Some(false));
    assert_ne!(scene.conn.ok("image verify doomed").get("failed"), "0");
    scene.conn.ok("image rm doomed");
}

/// The directory of which a container is made.
fn tree(daemon: &Daemon) -> PathBuf {
    daemon.place().dir().join("tree")
}

#[test]
fn each_row_of_the_table_has_its_answer() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let busybox = shell::busybox_rootfs().display();
    shell::sh(&format!("cp -a {busybox} {0}; touch {0}/of-its-own", tree(&daemon).display())).succeeds();
    daemon.ok(&format!("image import {} doomed", tree(&daemon).display()));
    let web = daemon.ok(&format!("run busybox name=web publish=80 stop-signal=KILL {HTTPD}"));
    for (what, source, row) in ROWS {
        let source = source.replace("TREE", &tree(&daemon).display().to_string());
        let run = daemon.ok(&format!("run {source} name=x publish=81 -- sleep 1000"));
        let (id, pid) = (run.get("id"), run.get("pid").parse().unwrap());
        eprintln!("{what}");
        row(&mut Scene { daemon: &daemon, conn: daemon.conn(), id, pid });
        assert_eq!(daemon.ok("ps").column("pid"), [web.get("pid")], "{what}");
        let page = daemon.sh(&fetch(&format!("127.0.0.1:{}", host_port(&web)))).succeeds();
        assert!(page.contains("It works"), "{what}: {page}");
    }
    daemon.ok("rm web force=yes");
}

#[test]
fn the_run_directory_is_removed() {
    let mut daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    conn.ok(&format!("run busybox name=web publish=80 {HTTPD}"));
    conn.ok("run busybox name=x -- sleep 1000");
    let run = daemon.place().run();
    fs::remove_dir_all(&run).unwrap();
    assert_eq!(conn.ok("ps").column("state"), ["running"; 2]);
    conn.ok("rm x force=yes");
    assert_eq!(conn.refused("run busybox name=y -- true"), "not-found");
    assert_eq!(conn.ok("ps").column("name"), ["web:latest"]);
    drop(conn);
    assert!(daemon.term().success(), "{}", daemon.log());
    daemon.assert_clean();
    // The next start is as any other.
    daemon.restart();
    daemon.ok("run busybox name=x attach=yes rm=yes -- true");
}

/// Only a build with debug assertions can be told that there is none.
#[cfg(debug_assertions)]
#[test]
fn no_inotify_instance_is_left() {
    let env = vec![("GANTRY_USED_UP".to_owned(), "inotify".to_owned())];
    let daemon = Setup { env, ..Setup::default() }.start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    let script = "for n in 1 2 3; do echo $n; sleep 0.2; done";
    let run = conn.ok(&format!("run busybox name=x attach=yes -- sh -c '{script}'"));
    assert_eq!(
        (run.logs(), run.get("exit")),
        (vec!["stdout 1".into(), "stdout 2".into(), "stdout 3".into()], "0".into())
    );
    conn.ok("start x");
    assert_eq!(conn.ok("logs x follow=yes").logs().len(), 6);
    conn.ok("rm x");
    // A log is put aside by time alone.
    conn.ok("run busybox name=y log-max-size=20k log-max-files=2 -- sh -c 'seq 20000; sleep 1000'");
    let data: PathBuf = conn.ok("inspect y").json()["paths"]["data"].as_str().unwrap().into();
    until(patience(60), "it is put aside", || logs(&data) == 2);
    conn.ok("rm y force=yes");
}

/// Only a build with debug assertions can be told that there is none.
#[cfg(debug_assertions)]
#[test]
fn no_descriptor_is_left_to_watch_processes_by() {
    let env = vec![("GANTRY_USED_UP".to_owned(), "pidfds".to_owned())];
    let daemon = Setup { env, ..Setup::default() }.start();
    daemon.import_busybox();
    let (mut conn, mut other) = (daemon.conn(), daemon.conn());
    // Longer than a conmon may stay when its container has ended.
    other.send("run busybox name=long attach=yes rm=yes -- sh -c 'sleep 15; exit 7'");
    let run = conn.ok("run busybox name=x -- sleep 1000");
    let mut scene = Scene { daemon: &daemon, conn, id: run.get("id"), pid: run.get("pid").parse().unwrap() };
    signal(scene.conmon());
    until(patience(60), "it is noticed", || daemon.log().contains("its conmon is gone"));
    scene.goes(Some(true));
    assert_eq!(other.reply().get("exit"), "7");
}

/// How many files of a log there are.
#[cfg(debug_assertions)]
fn logs(data: &Path) -> usize {
    let names = fs::read_dir(data).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().starts_with("log")).count()
}
