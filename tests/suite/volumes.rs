//! Volumes: what of the host's files a container sees, what outlives it, and what goes with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::harness::Daemon;

/// What a shell script in a container with `options` writes.
#[track_caller]
fn seen(daemon: &Daemon, options: &str, script: &str) -> String {
    daemon.ok(&format!("run busybox name=job attach=yes rm=yes {options} -- sh -c '{script}'")).written("stdout")
}

#[test]
fn a_directory_of_the_host_is_seen_and_written() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let dir = daemon.place().dir().join("host");
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::write(dir.join("file"), "from the host\n").unwrap();
    let at = dir.display();
    assert_eq!(seen(&daemon, &format!("volume={at}:/a/b"), "cat /a/b/file; echo back >/a/b/new"), "from the host\n");
    assert_eq!(fs::read_to_string(dir.join("new")).unwrap(), "back\n");
    assert_eq!(seen(&daemon, &format!("volume={at}:/a:ro"), "(echo >/a/x) 2>/dev/null || echo closed"), "closed\n");
    assert_eq!(seen(&daemon, &format!("volume={at}/file:/etc/mine:ro"), "cat /etc/mine"), "from the host\n");
    // Outer ones first, in whatever order they are asked for.
    let nested = format!("volume={at}/file:/a/sub/f tmpfs=/a/sub volume={at}:/a");
    assert_eq!(seen(&daemon, &nested, "ls /a; cat /a/sub/f"), "file\nnew\nsub\nfrom the host\n");
    // What is mounted inside does not come out.
    let script = "mount -t tmpfs none /a && echo inside";
    assert_eq!(seen(&daemon, &format!("privileged=yes volume={at}:/a"), script), "inside\n");
    assert!(dir.join("file").exists());
    let mut conn = daemon.conn();
    for (wrong, code) in [
        ("volume=/no/such/place:/a", "not-found"),
        ("volume=relative/path:/a", "bad-value"),
        ("volume=/tmp:a", "bad-value"),
        ("volume=/tmp:/", "bad-value"),
        ("volume=/tmp:/a:rw,z", "bad-value"),
        ("volume=/tmp:/a:rshared", "unsupported"),
        ("volume=data:/a:rslave", "bad-value"),
        ("volume=/tmp:/a tmpfs=/a", "bad-value"),
    ] {
        assert_eq!(conn.refused(&format!("run busybox {wrong} -- true")), code, "{wrong}");
    }
}

#[test]
fn what_the_host_mounts_later_is_seen_where_asked() {
    let shared =
        Mounted::at(&std::env::temp_dir().join(format!("gantry-shared-{}", std::process::id())), BIND, "shared");
    let private = Mounted::at(&shared.0.with_extension("private"), TMPFS, "private");
    let daemon = Daemon::start();
    daemon.import_busybox();
    let at = shared.0.display();
    for (name, options) in [("slave", ":rslave"), ("closed", ":slave,ro"), ("own", ":rslave userns=auto"), ("not", "")]
    {
        daemon.ok(&format!("run busybox name={name} volume={at}:/a{options} -- sleep 1000"));
    }
    let document = daemon.ok("inspect closed").json();
    assert_eq!(document["storage"]["volumes"][0]["propagation"], "slave");
    let later = shared.0.join("later");
    fs::create_dir(&later).unwrap();
    let mounted = Mounted::at(&later, TMPFS, "shared");
    fs::write(later.join("file"), "later\n").unwrap();
    let mut conn = daemon.conn();
    let mut look = |name: &str| conn.request(&format!("exec {name} -- cat /a/later/file")).written("stdout");
    for slave in ["slave", "closed", "own"] {
        assert_eq!(look(slave), "later\n", "{slave}");
    }
    assert_eq!(look("not"), "");
    drop(mounted);
    assert_eq!(look("slave"), "", "it goes as it came");
    // What a container mounts there stays its own.
    let script = "mkdir /a/inner && mount -t tmpfs none /a/inner && touch /a/inner/file && echo mounted";
    assert_eq!(seen(&daemon, &format!("privileged=yes volume={at}:/a:rslave"), script), "mounted\n");
    assert!(!shared.0.join("inner/file").exists());
    let refusal =
        daemon.conn().request(&format!("run busybox volume={}:/a:rslave -- true", private.0.display())).end.text();
    assert!(refusal.starts_with("unsupported ") && refusal.contains(&private.0.display().to_string()), "{refusal}");
}

/// A directory of the disk mounted on itself: a tmpfs can be idmapped from Linux 6.3 on only.
const BIND: &str = "--bind";
const TMPFS: &str = "-t tmpfs";

/// A mount of the host's, of which nothing is left.
struct Mounted(PathBuf);

impl Mounted {
    /// At `dir`, which is made, with that `propagation`.
    #[track_caller]
    fn at(dir: &Path, kind: &str, propagation: &str) -> Self {
        fs::create_dir_all(dir).unwrap();
        let mounted = Self(dir.to_owned());
        super::shell::sh(&format!("mount {kind} {0} {0} && mount --make-{propagation} {0}", dir.display())).succeeds();
        mounted
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let gone = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
        let removed = fs::remove_dir_all(&self.0);
        if !std::thread::panicking() {
            gone.unwrap();
            removed.unwrap();
        }
    }
}

#[test]
fn a_named_volume_outlives_its_containers() {
    let mut daemon = Daemon::start();
    daemon.import_busybox();
    assert_eq!(seen(&daemon, "volume=data:/data", "echo one >/data/file; ls /data"), "file\n");
    assert_eq!(seen(&daemon, "volume=data:/elsewhere:ro", "cat /elsewhere/file"), "one\n");
    let listed = daemon.ok("volume ls");
    assert_eq!((listed.column("name"), listed.column("containers")), (vec!["data".into()], vec![String::new()]));
    daemon.ok("create busybox name=job volume=data:/data -- true");
    assert_eq!(daemon.ok("volume ls").column("containers"), ["job:latest"]);
    let mut conn = daemon.conn();
    let refusal = conn.request("volume rm data").end.text();
    assert!(refusal.starts_with("in-use ") && refusal.contains("job:latest"), "{refusal}");
    assert_eq!(conn.ok("volume prune").get("count"), "0");
    conn.ok("rm job");
    daemon.term();
    daemon.restart();
    assert_eq!(seen(&daemon, "volume=data:/data", "cat /data/file"), "one\n");
    let path = daemon.ok("volume inspect data").json()["path"].as_str().unwrap().to_owned();
    assert_eq!(fs::read_to_string(format!("{path}/file")).unwrap(), "one\n");
    assert_eq!(daemon.ok("volume rm data").get("name"), "data");
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn an_empty_volume_begins_with_what_the_image_has() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    assert!(seen(&daemon, "volume=www:/www", "cat /www/index.html; echo mine >/www/index.html").contains("It works"));
    assert_eq!(seen(&daemon, "volume=www:/www", "cat /www/index.html"), "mine\n", "what is there is left alone");
    let listed = daemon.ok("volume ls").column("path");
    let mode = fs::metadata(&listed[0]).unwrap().permissions().mode();
    assert_eq!(format!("{:o}", mode & 0o7777), seen(&daemon, "", "stat -c %a /www").trim());
    assert_eq!(daemon.ok("volume prune").column("name"), ["www"]);
}

#[test]
fn verbs_of_volumes() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    assert_eq!(conn.ok("volume create a").get("name"), "a");
    assert_eq!(conn.refused("volume create a"), "exists");
    assert_eq!(conn.refused("volume create .a"), "bad-value");
    assert_eq!(conn.refused("volume create a/b"), "bad-value");
    assert_eq!(conn.refused("volume rm b"), "not-found");
    assert_eq!(conn.refused("volume inspect b"), "not-found");
    conn.ok("volume create b");
    assert_eq!(conn.ok("volume ls").column("name"), ["a", "b"]);
    let pruned = conn.ok("volume prune");
    assert_eq!((pruned.get("count"), pruned.column("name")), ("2".into(), vec!["a".to_owned(), "b".into()]));
    let listed = daemon.client(&["volume", "create", "c"]).succeeds();
    assert_eq!(listed.trim(), "c");
    daemon.client(&["run", "--rm", "-v", "c:/data", "busybox", "touch", "/data/x"]).succeeds();
    assert!(daemon.client(&["volume", "ls"]).succeeds().contains('c'));
    daemon.client(&["volume", "rm", "c"]).succeeds();
}

#[test]
fn a_run_that_fails_leaves_no_volume() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    assert_eq!(conn.refused("run busybox volume=data:/data -- no-such-program"), "no-command");
    assert_eq!(conn.refused("run busybox volume=data:/data user=ghost -- true"), "bad-value");
    assert_eq!(conn.ok("volume ls").get("count"), "0");
    conn.ok("volume create data");
    assert_eq!(conn.refused("run busybox volume=data:/data -- no-such-program"), "no-command");
    assert_eq!(conn.ok("volume ls").get("count"), "1", "one that was there stays");
}

#[test]
fn a_nameless_volume_goes_with_its_container() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=job volume=/www -- sh -c 'test -e /www/index.html && touch /www/x && sleep 1000'");
    let document = daemon.ok("inspect job").json();
    let source = document["storage"]["volumes"][0]["source"].as_str().unwrap().to_owned();
    assert!(fs::exists(format!("{source}/index.html")).unwrap());
    daemon.ok("rm job force=yes");
    super::shell::until(super::shell::patience(60), "its volume is gone", || !fs::exists(&source).unwrap());
    assert_eq!(daemon.ok("volume ls").get("count"), "0");
}

/// An image with something at `/data` that wants a volume there.
fn with_volume(daemon: &Daemon) -> &'static str {
    daemon.import_busybox();
    let seed = "mkdir /data; echo seed >/data/seed; chown www:www /data; chmod 2750 /data";
    daemon.ok(&format!("run busybox name=made attach=yes -- sh -euc '{seed}'"));
    daemon.ok("commit made seeded");
    daemon.ok("rm made");
    daemon.ok("create seeded name=made volume=/data -- true");
    daemon.ok("commit made wanting");
    daemon.ok("rm made");
    "wanting"
}

#[test]
fn an_image_has_the_volumes_it_wants() {
    let daemon = Daemon::start();
    let image = with_volume(&daemon);
    let run = |options: &str, script: &str| {
        let run = daemon.ok(&format!("run {image} name=job attach=yes {options} -- sh -euc '{script}'"));
        assert_eq!(run.get("exit"), "0", "{run:?}");
        run.written("stdout")
    };
    // Filled with what the image has there, a mount of its own, and none of the container's changes.
    let script = "cat /data/seed; stat -c \"%U %a\" /data; grep -c \" /data \" /proc/mounts; echo x >>/data/new; wc -l </data/new";
    assert_eq!(run("", script), "seed\nwww 2750\n1\n1\n");
    assert_eq!(daemon.ok("diff job").get("count"), "0");
    // It goes with the container: it is there at the next start, and another has one of its own.
    daemon.ok("start job");
    daemon.ok("wait job");
    assert_eq!(daemon.ok("logs job tail=1").written("stdout"), "2\n");
    daemon.ok("rm job");
    assert_eq!(run("rm=yes", script), "seed\nwww 2750\n1\n1\n");
    assert_eq!(daemon.ok("volume ls").get("count"), "0");
    // What is asked for at its place takes the place.
    assert_eq!(run("rm=yes volume=mine:/data", "echo y >/data/y; ls /data"), "seed\ny\n");
    assert_eq!(run("rm=yes volume=mine:/data", "ls /data"), "seed\ny\n");
    assert_eq!(run("rm=yes tmpfs=/data", "ls /data"), "");
    daemon.ok("volume rm mine");
}
