//! The client against the daemon: what a docker user types, and what they see.

use crate::harness::Daemon;
use crate::shell::{self, Output};

/// Runs the client, which must succeed, and gives what it printed.
fn ok(daemon: &Daemon, words: &[&str]) -> String {
    let ended = daemon.client(words);
    assert!(ended.status.success(), "{words:?}: {:?} {}", ended.status, ended.stderr);
    ended.stdout
}

/// Runs the client, which must fail with one line; gives its status and that line.
fn refused(daemon: &Daemon, words: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = daemon.client(words);
    let told = stderr;
    assert!(!status.success() && stdout.is_empty() && told.lines().count() == 1, "{words:?}: {status:?} {told}");
    (status.code(), told)
}

#[test]
fn a_run_gives_back_output_and_status() {
    let daemon = Daemon::start();
    let image = daemon.import_busybox();
    let ended = daemon.client(&["run", "--rm", image, "sh", "-c", "printf 'a\\000b'; echo no >&2; exit 3"]);
    assert_eq!((ended.status.code(), ended.stdout.as_str(), ended.stderr.as_str()), (Some(3), "a\0b", "no\n"));
    assert_eq!(
        ok(
            &daemon,
            &[
                "run",
                "--rm",
                "-e",
                "A=b c",
                "-w",
                "/tmp",
                "-h",
                "boxed",
                image,
                "sh",
                "-c",
                "echo \"$A\"; pwd; hostname"
            ]
        ),
        "b c\n/tmp\nboxed\n"
    );
    assert_eq!(ok(&daemon, &["ps", "-aq"]), "");
}

#[test]
fn statuses_tell_whose_fault_it_was() {
    let daemon = Daemon::start();
    let image = daemon.import_busybox();
    assert_eq!(refused(&daemon, &["run", "--rm", image, "no-such-program"]).0, Some(127));
    assert_eq!(refused(&daemon, &["run", "--rm", image, "/etc"]).0, Some(126));
    assert_eq!(refused(&daemon, &["run", "--pull", "never", "no-such-image"]).0, Some(125));
    assert_eq!(refused(&daemon, &["run", "-m", "lots", image]).0, Some(125));
    let (status, told) = refused(&daemon, &["stop", "nobody"]);
    assert_eq!(status, Some(1));
    assert!(told.starts_with("gantry: ") && told.ends_with("(not-found)\n"), "{told}");
    assert_eq!(ok(&daemon, &["ps", "-aq"]), "");
}

#[test]
fn a_container_is_made_looked_at_and_removed() {
    let daemon = Daemon::start();
    let image = daemon.import_busybox();
    let id = ok(&daemon, &["run", "-d", "--name", "web:1", "-l", "role=front", "-m", "64M", image, "sleep", "1000"]);
    assert_eq!(id.trim_end().len(), 64);
    assert!(ok(&daemon, &["ps"]).contains(" Up "));
    assert_eq!(ok(&daemon, &["ps", "-q", "--no-trunc"]), id);
    assert_eq!(ok(&daemon, &["ps", "-q", "--filter", "status=exited"]), "");
    assert!(ok(&daemon, &["ps", "--format", "json"]).starts_with("{\"name\":\"web:1\","));
    assert!(ok(&daemon, &["inspect", "web:1"]).starts_with("[\n  {\n"));
    assert!(ok(&daemon, &["stats", "--no-stream", "web:1"]).contains(" / 64MiB "));
    assert_eq!(refused(&daemon, &["rm", "web:1"]).0, Some(1));
    assert_eq!(ok(&daemon, &["kill", "-s", "KILL", "web:1"]), "web:1\n");
    assert_eq!(ok(&daemon, &["wait", "web:1"]), "137\n");
    assert!(ok(&daemon, &["ps", "-a"]).contains("Exited (137)"));
    assert_eq!(ok(&daemon, &["rm", "web:1"]), "web:1\n");
    assert_eq!(ok(&daemon, &["ps", "-aq"]), "");
}

#[test]
fn several_names_are_all_tried() {
    let daemon = Daemon::start();
    let image = daemon.import_busybox();
    for name in ["a", "b"] {
        ok(&daemon, &["run", "-d", "--name", name, image, "sleep", "1000"]);
    }
    let ended = daemon.client(&["stop", "-t", "1", "a", "nobody", "b"]);
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), "a\nb\n"));
    assert_eq!(ok(&daemon, &["rm", "-f", "a", "b"]), "a\nb\n");
}

#[test]
fn logs_are_what_was_written() {
    let daemon = Daemon::start();
    let image = daemon.import_busybox();
    ok(&daemon, &["run", "-d", "--name", "w", image, "sh", "-c", "echo 1; echo 2; echo e >&2; printf 3"]);
    let ended = daemon.client(&["logs", "-f", "w"]);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("1\n2\n3", "e\n"));
    assert_eq!(ok(&daemon, &["logs", "-n", "1", "w"]), "3");
    ok(&daemon, &["rm", "w"]);
}

#[test]
fn images_are_listed_and_removed() {
    let daemon = Daemon::start();
    let image = daemon.import_busybox();
    assert!(ok(&daemon, &["images", "-q"]).lines().any(|name| name.contains(&format!("/{image}:"))));
    assert!(ok(&daemon, &["images"]).starts_with("REPOSITORY "));
    assert_eq!(ok(&daemon, &["rmi", image]), format!("{image}\n"));
    assert_eq!(ok(&daemon, &["images", "-q"]), "");
}

#[test]
fn the_daemon_tells_of_itself() {
    let daemon = Daemon::start();
    assert!(ok(&daemon, &["version"]).contains("(protocol 1)"));
    assert_eq!(ok(&daemon, &["raw", "ping"]), "OK pong\n");
    assert!(daemon.client(&["check"]).stdout.starts_with("CHECK "));
    let ended = daemon.client(&["raw", "no-such-verb"]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stdout.starts_with("ERR unknown-verb "));
}

#[test]
fn a_directory_is_run_without_an_image() {
    let daemon = Daemon::start();
    let tree = shell::busybox_rootfs().display().to_string();
    let script = "echo x >/www/new && cat /www/new; exit 3";
    let ended = daemon.client(&["run", "--rm", "--rootfs", &tree, "sh", "-c", script]);
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(3), "x\n"), "{}", ended.stderr);
    assert!(!shell::busybox_rootfs().join("www/new").exists(), "the directory is as it was");
    assert_eq!(ok(&daemon, &["images", "-q"]), "");
}

#[test]
fn listings_are_filtered_and_formed() {
    let daemon = Daemon::start();
    let image = daemon.import_busybox();
    let mount = ["--mount", "source=data,target=/data,readonly"];
    ok(&daemon, &[&["run", "-d", "--name", "web:1"], &mount[..], &[image, "sleep", "1000"]].concat());
    ok(&daemon, &["create", "--name", "other", "-l", "a=b", image, "true"]);
    let names = |words: &[&str]| ok(&daemon, &[&["ps", "-a", "--format", "{{.Names}}"], words].concat());
    assert_eq!(names(&["-f", "name=we"]), "web:1\n");
    assert_eq!(names(&["-f", "label=a=b", "-f", "status=created"]), "other:latest\n");
    assert_eq!(names(&["-f", "ancestor=busybox", "-f", "status=running", "-f", "status=created"]).lines().count(), 2);
    assert_eq!(ok(&daemon, &["inspect", "-f", "{{.Name}} {{.state}}", "web:1"]), "web:1 running\n");
    assert_eq!(ok(&daemon, &["images", "--format", "{{.Repository}}:{{.Tag}}"]), "localhost/busybox:latest\n");
    assert_eq!(ok(&daemon, &["volume", "ls", "-q", "-f", "dangling=false"]), "data\n");
    assert_eq!(ok(&daemon, &["volume", "ls", "-q", "-f", "dangling=true"]), "");
    assert_eq!(
        ok(&daemon, &["network", "ls", "--format", "table {{.Name}}\\t{{.Internal}}"]),
        "NAME     INTERNAL\nbridge   no\n"
    );
    assert_eq!(refused(&daemon, &["ps", "-f", "color=red"]).0, Some(1));
    ok(&daemon, &["rm", "-f", "web:1", "other"]);
    ok(&daemon, &["volume", "rm", "data"]);
}
