//! Files copied between the host and a container.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use super::harness::Daemon;

/// A daemon with a container of busybox, running or not, and a directory of the host to copy from and to.
fn with_container(running: bool, options: &str) -> (Daemon, PathBuf) {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let verb = if running { "run" } else { "create" };
    daemon.ok(&format!("{verb} busybox name=job {options} -- sleep 1000"));
    let dir = daemon.place().dir().join("here");
    fs::create_dir_all(&dir).unwrap();
    (daemon, dir)
}

/// What a script in the running container prints.
#[track_caller]
fn inside(daemon: &Daemon, script: &str) -> String {
    daemon.ok(&format!("exec job -- sh -euc '{script}'")).written("stdout")
}

fn tree(at: &std::path::Path) {
    fs::create_dir_all(at.join("sub/deep")).unwrap();
    fs::write(at.join("file"), "one\n").unwrap();
    fs::write(at.join("sub/deep/file"), "two\n").unwrap();
    fs::set_permissions(at.join("sub"), fs::Permissions::from_mode(0o2750)).unwrap();
    fs::set_permissions(at.join("file"), fs::Permissions::from_mode(0o4711)).unwrap();
    std::os::unix::fs::chown(at.join("file"), Some(12), Some(34)).unwrap();
    fs::set_permissions(at.join("file"), fs::Permissions::from_mode(0o4711)).unwrap();
    symlink("/no/where", at.join("link")).unwrap();
    assert!(super::shell::command("mkfifo").arg(at.join("fifo")).status().unwrap().success());
}

/// A process that holds a lease on a file: whoever opens it waits for the holder's leave, as with a file system whose server
/// does not answer, or for `/proc/sys/fs/lease-break-time` (fcntl(2)).
struct Leased(std::process::Child);

impl Leased {
    fn hold(path: &std::path::Path) -> Self {
        let script = "import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('held', flush=True)
sys.stdin.read()";
        let mut python = super::shell::command("python3");
        let python = python.args(["-c", script]).arg(path);
        let mut python =
            python.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut told = [0; 5];
        std::io::Read::read_exact(python.stdout.as_mut().unwrap(), &mut told).unwrap();
        Self(python)
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn a_copy_that_stands_still_is_given_up() {
    let (daemon, dir) = with_container(true, "");
    let at = dir.display();
    fs::write(dir.join("file"), "one").unwrap();
    let leased = Leased::hold(&dir.join("file"));
    let mut conn = daemon.conn();
    assert_eq!(conn.refused(&format!("cp {at}/file job:/there")), "timeout");
    // Nobody else is held up by it, and it goes once the file is open again.
    daemon.ok(&format!("cp job:/www/index.html {at}/page"));
    drop(leased);
    daemon.ok(&format!("cp {at}/file job:/there"));
    assert_eq!(inside(&daemon, "cat /there"), "one");
    daemon.ok("rm job force=yes");
}

#[test]
fn a_file_goes_in_and_comes_out() {
    for running in [true, false] {
        let (daemon, dir) = with_container(running, "");
        fs::write(dir.join("one"), "one").unwrap();
        let at = dir.display();
        let reply = daemon.ok(&format!("cp {at}/one job:/www"));
        assert_eq!(
            (reply.get("files"), reply.get("bytes"), reply.get("skipped")),
            ("1".into(), "3".into(), "0".into())
        );
        daemon.ok(&format!("cp {at}/one job:/www/two"));
        daemon.ok(&format!("cp {at}/one job:/www/index.html"));
        for (name, here) in [("one", "a"), ("two", "b"), ("index.html", "c")] {
            daemon.ok(&format!("cp job:/www/{name} {at}/{here}"));
            assert_eq!(fs::read_to_string(dir.join(here)).unwrap(), "one");
        }
        // Through links within the container's own root.
        if running {
            inside(&daemon, "ln -s /../../www /w; ln -s www/one /l");
            daemon.ok(&format!("cp job:/w/one {at}/d"));
            assert_eq!(fs::read_to_string(dir.join("d")).unwrap(), "one");
            daemon.ok(&format!("cp job:/l {at}/l"));
            assert_eq!(fs::read_link(dir.join("l")).unwrap(), PathBuf::from("www/one"));
            fs::write(dir.join("three"), "three").unwrap();
            daemon.ok(&format!("cp {at}/three job:/l"));
            assert_eq!(inside(&daemon, "readlink /l; cat /www/one"), "www/one\nthree");
        }
        let mut conn = daemon.conn();
        for (wrong, code) in [
            (format!("cp {at}/none job:/"), "not-found"),
            (format!("cp job:/none {at}"), "not-found"),
            (format!("cp {at}/one job:/none/"), "not-found"),
            (format!("cp {at}/one job:/none/x"), "not-found"),
            (format!("cp {at}/one/ job:/"), "not-found"),
            (format!("cp {at} job:/bin/busybox"), "bad-value"),
            (format!("cp {at}/one nobody:/"), "not-found"),
            (format!("cp {at}/one {at}/x"), "bad-value"),
            ("cp job:/bin job:/x".to_owned(), "unsupported"),
            ("cp here job:/x".to_owned(), "bad-value"),
        ] {
            assert_eq!(conn.refused(&wrong), code, "{wrong}");
        }
        daemon.ok("rm job force=yes");
    }
}

#[test]
fn a_directory_goes_where_docker_puts_it() {
    let (daemon, dir) = with_container(true, "");
    let at = dir.display();
    tree(&dir.join("t"));
    // Not there: it becomes it. There: it goes into it. With /. what it contains goes there.
    daemon.ok(&format!("cp {at}/t job:/a"));
    daemon.ok(&format!("cp {at}/t job:/a"));
    daemon.ok(&format!("cp {at}/t/. job:/www"));
    assert_eq!(
        inside(&daemon, "cat /a/sub/deep/file /a/t/sub/deep/file /www/sub/deep/file /www/index.html | head -n 3"),
        "two\n".repeat(3)
    );
    // Root's on the other side, with the modes that it had.
    assert_eq!(
        inside(&daemon, "stat -c \"%u:%g %a\" /a/file /a/sub; readlink /a/link; test -p /a/fifo"),
        "0:0 4711\n0:0 2750\n/no/where\n"
    );
    inside(&daemon, "chown 7:8 /a/file; chmod 4755 /a/file; mknod /a/null c 1 3 2>/dev/null || true");
    let reply = daemon.ok(&format!("cp job:/a {at}/out"));
    let file = fs::metadata(dir.join("out/file")).unwrap();
    // A program that gave its owner's rights would give root's here.
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (0, 0, 0o755));
    assert_eq!(file.mtime(), fs::metadata(dir.join("t/file")).unwrap().mtime());
    assert!(fs::symlink_metadata(dir.join("out/fifo")).unwrap().file_type().is_fifo());
    assert_eq!(reply.get("skipped"), "0");
    daemon.ok(&format!("cp job:/www/. {at}/out2"));
    assert_eq!(fs::read_to_string(dir.join("out2/sub/deep/file")).unwrap(), "two\n");
    daemon.ok(&format!("cp {at}/t/sub/ job:/b/"));
    assert_eq!(inside(&daemon, "cat /b/deep/file"), "two\n");
    let mut conn = daemon.conn();
    // What is there and of another kind stays.
    inside(&daemon, "mkdir -p /c/t; echo x >/c/t/sub");
    assert_eq!(conn.refused(&format!("cp {at}/t job:/c")), "not-found");
    assert_eq!(inside(&daemon, "cat /c/t/sub"), "x\n");
    daemon.ok("rm job force=yes");
}

#[test]
fn mounts_are_seen_and_honoured() {
    let (daemon, dir) = with_container(true, "volume=data:/data volume=data:/closed:ro tmpfs=/t");
    let at = dir.display();
    fs::write(dir.join("one"), "one").unwrap();
    for place in ["/data/one", "/t/one", "/etc/hosts"] {
        daemon.ok(&format!("cp {at}/one job:{place}"));
        assert_eq!(inside(&daemon, &format!("cat {place}")), "one");
    }
    let mut conn = daemon.conn();
    assert_eq!(conn.refused(&format!("cp {at}/one job:/closed/two")), "denied");
    assert_eq!(conn.refused(&format!("cp job:/proc/cpuinfo {at}/x")), "unsupported");
    assert_eq!(conn.refused(&format!("cp job:/dev/null {at}/x")), "unsupported");
    // All of it, but for what is the kernel's or a device.
    let reply = daemon.ok(&format!("cp job:/ {at}/all"));
    assert!(reply.get("skipped").parse::<u32>().unwrap() > 2);
    assert_eq!(fs::read_to_string(dir.join("all/data/one")).unwrap(), "one");
    assert_eq!(
        fs::read_dir(dir.join("all")).unwrap().filter(|entry| entry.as_ref().unwrap().file_name() == "proc").count(),
        0
    );
    daemon.ok("pause job");
    daemon.ok(&format!("cp job:/t/one {at}/paused"));
    daemon.ok("rm job force=yes");
    // One that does not run: its volumes too, and what it may not write.
    daemon.ok("create busybox name=job read-only=yes volume=data:/data volume=data:/closed:ro -- true");
    daemon.ok(&format!("cp job:/data/one {at}/still"));
    daemon.ok(&format!("cp {at}/still job:/data/two"));
    assert_eq!(conn.refused(&format!("cp {at}/one job:/closed/two")), "denied");
    assert_eq!(conn.refused(&format!("cp {at}/one job:/www/two")), "denied");
    assert_eq!(daemon.ok("diff job").get("count"), "0");
    daemon.ok("rm job");
    daemon.ok("volume rm data");
}

#[test]
fn a_copy_and_a_start_wait_for_each_other() {
    let (daemon, dir) = with_container(false, "");
    let at = dir.display();
    fs::File::create(dir.join("big")).unwrap().set_len(1 << 40).unwrap();
    fs::write(dir.join("some"), vec![7; 32 << 20]).unwrap();
    let mut conn = daemon.conn();
    for round in 0..4 {
        conn.send(&format!("@c cp {at}/some job:/some{round}"));
        conn.send("@s start job");
        for _ in 0..2 {
            let line = conn.parsed();
            assert_eq!(line.head, "OK", "{line:?}");
        }
        assert_eq!(inside(&daemon, &format!("stat -c %s /some{round}")), format!("{}\n", 32 << 20));
        daemon.ok("stop job timeout=0");
    }
    // Holes are none of the bytes.
    assert_eq!(daemon.ok(&format!("cp {at}/big job:/big")).get("bytes"), "0");
    daemon.ok("rm job");
}

/// Somebody in the container swaps directories for links that lead out of it, all the while.
#[test]
fn nothing_leaves_the_container_or_the_place() {
    let (daemon, dir) = with_container(false, "");
    daemon.ok("rm job");
    let (outside, at) = (dir.join("outside"), dir.display());
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    tree(&dir.join("t"));
    let out = outside.display();
    // Both at the top of what is copied, and within.
    let script = format!(
        "mkdir -p /w/d/sub {out}; echo mine >{out}/secret; ln -s {out} /w/l; ln -s ../../../../../../../..{out} /w/m; \
         while :; do mv /w/d /w/x; mv /w/l /w/d; mv /w/d /w/l; mv /w/x /w/d; \
         mv /w/d/sub /w/d/x; ln -s {out} /w/d/sub; rm /w/d/sub; mv /w/d/x /w/d/sub; done 2>/dev/null"
    );
    daemon.ok(&format!("run busybox name=job -- sh -c '{script}'"));
    let mut conn = daemon.conn();
    let mut done = 0;
    for round in 0..100 {
        for request in [
            format!("cp {at}/t/. job:/w/d"),
            format!("cp {at}/t/file job:/w/d/sub/secret"),
            format!("cp job:/w/d/. {at}/out{round}"),
            format!("cp job:/w/d/sub/secret {at}/file{round}"),
            format!("cp job:/w/m/secret {at}/mine{round}"),
        ] {
            done += usize::from(conn.request(&request).end.head == "OK");
        }
    }
    assert!(done > 50, "of 500 only {done} went through");
    daemon.ok("rm job force=yes");
    let left: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["secret"]);
    assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "secret");
    // The host's secret came out nowhere; where anything did, it was the container's own.
    for entry in fs::read_dir(&dir).unwrap().flatten().filter(|entry| entry.path() != outside) {
        // A link is copied as one, and leads on the host where it leads: what counts is what is there itself.
        let is_link = fs::symlink_metadata(entry.path().join("sub")).is_ok_and(|sub| sub.is_symlink());
        let within = if is_link { "secret" } else { "sub/secret" };
        for file in [entry.path(), entry.path().join(within), entry.path().join("secret")] {
            if fs::symlink_metadata(&file).is_ok_and(|found| found.is_file()) {
                assert_ne!(fs::read_to_string(&file).unwrap(), "secret", "{}", file.display());
            }
        }
    }
}

#[test]
fn the_client_copies_as_dockers_does() {
    let (daemon, dir) = with_container(true, "");
    let page = dir.join("page");
    daemon.client(&["cp", "job:/www/index.html", page.to_str().unwrap()]).succeeds();
    assert!(fs::read_to_string(&page).unwrap().contains("It works"));
    daemon.client(&["cp", page.to_str().unwrap(), "job:/www/other.html"]).succeeds();
    daemon.ok("rm job force=yes");
}
