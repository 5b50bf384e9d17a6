//! What a container changed in its files, as `diff` lists it.

use super::conn::Reply;
use super::harness::Daemon;

/// The rows as `K PATH`.
fn rows(reply: &Reply) -> Vec<String> {
    reply.lines.iter().map(|row| format!("{} {}", row.get("kind").unwrap(), row.get("path").unwrap())).collect()
}

/// What a container of busybox's changes by `script`.
#[track_caller]
fn changed(daemon: &Daemon, options: &str, script: &str) -> Vec<String> {
    let run = daemon.ok(&format!("run busybox name=job attach=yes {options} -- sh -euc '{script}'"));
    assert_eq!(run.get("exit"), "0", "{run:?}");
    let reply = daemon.ok("diff job");
    assert_eq!(reply.get("count"), reply.lines.len().to_string());
    daemon.ok("rm job");
    rows(&reply)
}

#[test]
fn a_container_that_does_nothing_changes_nothing() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("create busybox name=job -- true");
    assert_eq!(rows(&daemon.ok("diff job")), Vec::<String>::new());
    daemon.ok("rm job");
    // Places to mount on are made in the upper directory; they are none of its changes.
    assert_eq!(changed(&daemon, "", ":"), Vec::<String>::new());
    let mounts = "volume=/v/w volume=data:/data tmpfs=/t";
    assert_eq!(
        changed(&daemon, mounts, "echo x >/v/w/x; echo x >/data/x; echo x >/t/x; echo x >>/etc/hosts"),
        Vec::<String>::new()
    );
    daemon.ok("volume rm data");
    assert_eq!(daemon.conn().refused("diff nobody"), "not-found");
}

#[test]
fn additions_changes_and_deletions_are_told() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let script = "mkdir -p /new/deep; echo x >/new/deep/file; ln -s /nowhere /new/link; rm /www/index.html; chmod 700 /bin; \
        echo web >>/etc/passwd; echo x >\"/new/a b\"";
    assert_eq!(
        changed(&daemon, "", script),
        [
            "C /bin",
            "C /etc",
            "C /etc/passwd",
            "A /new",
            "A /new/a b",
            "A /new/deep",
            "A /new/deep/file",
            "A /new/link",
            "C /www",
            "D /www/index.html"
        ]
    );
}

#[test]
fn a_directory_made_anew_hides_what_was_there() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let script = "rm -r /www; mkdir /www; echo x >/www/other; rm -r /etc/group; mkdir /etc/group; echo x >/etc/group/x";
    assert_eq!(
        changed(&daemon, "", script),
        ["C /etc", "C /etc/group", "A /etc/group/x", "C /www", "D /www/index.html", "A /www/other"]
    );
    assert_eq!(changed(&daemon, "", "rm -r /www"), ["D /www"]);
    assert_eq!(changed(&daemon, "", "mv /www /w3"), ["A /w3", "A /w3/index.html", "D /www"]);
}

#[test]
fn names_of_any_bytes_are_quoted() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok(r#"run busybox name=job attach=yes -- sh -euc 'cd /www; printf x >"$(printf "a\377\nb")"; touch -r / "q\"="; mkfifo p'"#);
    let mut conn = daemon.conn();
    conn.send("diff job");
    let mut lines = Vec::new();
    while let Some(line) = conn.line().filter(|line| !line.starts_with(b"OK")) {
        lines.push(String::from_utf8(line).unwrap());
    }
    let expected = [
        "ROW kind=C path=/www",
        r#"ROW kind=A path="/www/a\xff\nb""#,
        "ROW kind=A path=/www/p",
        r#"ROW kind=A path="/www/q\"=""#,
    ];
    assert_eq!(lines, expected);
    daemon.ok("rm job");
}

#[test]
fn a_running_container_is_looked_at_as_it_is() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=job -- sleep 1000");
    daemon.ok("exec job -- touch /new");
    assert_eq!(rows(&daemon.ok("diff job")), ["A /new"]);
    daemon.ok("pause job");
    assert_eq!(rows(&daemon.ok("diff job")), ["A /new"]);
    daemon.ok("rm job force=yes");
    let said = {
        daemon.ok("run busybox name=job attach=yes -- touch /new");
        daemon.client(&["diff", "job"]).succeeds()
    };
    assert!(said.contains("/new"), "{said}");
    daemon.ok("rm job");
}

/// A tree that no stack and no table of descriptors should be spent on.
#[test]
fn a_tree_without_end_is_refused() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok(
        "run busybox name=job attach=yes -- sh -euc 'i=0; while [ $i -lt 1100 ]; do mkdir d; cd d; i=$((i+1)); done'",
    );
    assert_eq!(daemon.conn().refused("diff job"), "unsupported");
    daemon.ok("ping");
    daemon.ok("rm job");
}

#[test]
fn who_does_not_read_holds_up_no_copy() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=job attach=yes -- sh -c 'mkdir /d; cd /d; seq 6000 | xargs touch'");
    let mut deaf = daemon.conn();
    // The last has no turn, which tells that the others have theirs.
    (0..17).for_each(|n| deaf.send(&format!("@{n} diff job")));
    while deaf.parsed().head != "ERR" {}
    let to = daemon.place().dir().join("page");
    daemon.ok(&format!("cp job:/www/index.html {}", to.display()));
    drop(deaf);
    daemon.ok("rm job");
}

/// What every container has mounted lies below its image already: none of it is made anew.
#[test]
fn a_container_that_writes_nothing_has_nothing_of_its_own_on_the_disk() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let id = daemon.ok("run busybox name=idle stop-timeout=200ms -- sleep 100000").get("id");
    let upper = daemon.place().root().join("containers").join(id).join("upper");
    assert_eq!(std::fs::read_dir(upper).unwrap().count(), 0);
    // It is in nobody's way.
    daemon.ok("exec idle -- touch /etc/own");
    assert_eq!(rows(&daemon.ok("diff idle")), ["C /etc", "A /etc/own"]);
}
