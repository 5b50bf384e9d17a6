//! Bad input: each kind gets its code and a line that helps, leaves nothing behind, and the daemon lives.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::harness::{Daemon, Setup};
use super::shell;

/// Lines that no container or image is needed for, and the code each is refused with.
const LINES: &[(&str, &str)] = &[
    ("\"", "bad-request"),
    ("ping \"\\q\"", "bad-request"),
    ("ping x", "bad-request"),
    ("ping -- x", "bad-request"),
    ("stop", "bad-request"),
    ("stop a b", "bad-request"),
    ("run", "bad-request"),
    ("@ ping", "bad-request"),
    ("@seventeen-letters ping", "bad-request"),
    ("@a/b ping", "bad-request"),
    ("@tag", "bad-request"),
    ("pong", "unknown-verb"),
    ("PING", "unknown-verb"),
    ("image", "unknown-verb"),
    ("image frobnicate x", "unknown-verb"),
    ("help pong", "not-found"),
    ("ping now=yes", "bad-option"),
    ("run busybox nmae=x", "bad-option"),
    ("run busybox name=a name=b", "bad-option"),
    ("run busybox name=A", "bad-value"),
    ("run busybox name=a:b:c", "bad-value"),
    ("run busybox \"name=\\xff\"", "bad-value"),
    ("run busybox \"env=\\x00\"", "bad-value"),
    ("run busybox env=novalue", "bad-value"),
    ("run busybox env==x", "bad-value"),
    ("run busybox workdir=relative", "bad-value"),
    ("run busybox hostname=-x", "bad-value"),
    ("run busybox publish=0", "bad-value"),
    ("run busybox publish=1-2:80", "bad-value"),
    ("run busybox publish=80/sctp", "bad-value"),
    ("run busybox publish=1.2.3:80:80", "bad-value"),
    ("run busybox memory=-1", "bad-value"),
    ("run busybox memory=1t", "bad-value"),
    ("run busybox memory=1", "bad-value"),
    ("run busybox cpus=0", "bad-value"),
    ("run busybox cpus=many", "bad-value"),
    ("run busybox cpus=nan", "bad-value"),
    ("run busybox pids=-1", "bad-value"),
    ("run busybox text=quoted", "bad-option"),
    ("run busybox stop-signal=NOPE", "bad-value"),
    ("run busybox stop-timeout=never", "bad-value"),
    ("run busybox attach=maybe", "bad-value"),
    ("run busybox pull=sometimes", "bad-value"),
    ("run busybox attach=yes text=plain", "bad-value"),
    ("run busybox rootfs=/", "bad-request"),
    ("run rootfs=relative", "bad-value"),
    ("run rootfs=/nonexistent -- true", "not-found"),
    ("run Busybox", "bad-value"),
    ("image pull a//b", "bad-value"),
    ("image import relative x", "bad-value"),
    ("image import /nonexistent x", "not-found"),
    ("image rm nothing", "not-found"),
    ("run nothing pull=never", "not-found"),
    ("logs web tail=-1", "bad-value"),
    ("logs web since=yesterday", "bad-value"),
    ("events since=tomorrow", "bad-value"),
    ("events type=weather", "bad-value"),
    ("ps state=happy", "bad-value"),
    ("kill web signal=0", "bad-value"),
    ("cancel nothing", "not-found"),
    ("start nobody", "not-found"),
    ("stop nobody", "not-found"),
    ("kill nobody", "not-found"),
    ("exec nobody -- true", "not-found"),
    ("exec nobody", "bad-request"),
    ("exec nobody --", "bad-request"),
    ("exec nobody env=novalue -- true", "bad-value"),
    ("exec nobody workdir=relative -- true", "bad-value"),
    ("wait 0123456789abcdef", "not-found"),
    ("top nobody", "not-found"),
    ("update nobody pids=5", "not-found"),
    ("update nobody", "bad-request"),
    ("update nobody memory=1", "bad-value"),
    ("update nobody cpus=0", "bad-value"),
    ("pause nobody", "not-found"),
    ("resume nobody", "not-found"),
    ("rm nobody", "not-found"),
    ("wait nobody", "not-found"),
    ("logs nobody", "not-found"),
    ("stats nobody", "not-found"),
    ("inspect nobody", "not-found"),
    ("inspect abcdef", "not-found"),
];

#[test]
fn every_line_that_is_wrong_gets_its_code() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    let wrong = |(line, code): &(&str, &str)| {
        let got = conn.refused(line);
        (got != *code).then(|| format!("{line}: {got}, not {code}"))
    };
    let wrong: Vec<_> = LINES.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(daemon.ok("ps").get("count"), "0", "nothing was made");
}

#[test]
fn lines_have_a_bound() {
    let daemon = Daemon::start();
    let mut conn = daemon.conn();
    conn.send_bytes(&vec![b'x'; 300_000]);
    assert_eq!(conn.refused(" and the end of it"), "too-long");
    conn.ok("ping");
    conn.send_bytes(b"a\0b\n\xff\n");
    assert_eq!((conn.reply().code(), conn.reply().code()), ("bad-request".into(), "bad-request".into()));
    // Answers come in their turn.
    conn.send_bytes(b"ping\n\"\nversion\n");
    assert_eq!(conn.reply().end.text(), "pong");
    assert_eq!(conn.reply().code(), "bad-request");
    assert_eq!(conn.reply().get("protocol"), "1");
}

#[test]
fn a_program_that_cannot_run_has_a_code_of_its_own() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    assert_eq!(conn.refused("run busybox name=x -- no-such-program"), "no-command");
    assert_eq!(conn.refused("run busybox name=x -- /bin/no-such-program"), "no-command");
    assert_eq!(conn.refused("run busybox name=x -- /www/index.html"), "not-executable");
    assert_eq!(conn.refused("run busybox name=x -- /www"), "not-executable");
    assert_eq!(conn.refused("run busybox name=x user=ghost -- true"), "bad-value");
    assert_eq!(conn.ok("ps").get("count"), "0", "a run that fails leaves nothing behind");
    // What fails to start stays as it was.
    conn.ok("create busybox name=x -- no-such-program");
    assert_eq!(conn.refused("start x"), "no-command");
    assert_eq!(conn.ok("ps").column("state"), ["created"]);
    conn.ok("rm x");
}

#[test]
fn a_program_of_no_known_format_is_not_executable() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    let make = |path: &str, text: &str| format!("sh -c 'printf \"{text}\" > {path}; chmod 755 {path}'");
    for (name, text) in [("bad", "garbage"), ("lost", "#!/no/such\\n"), ("good", "#!/bin/sh\\nexit 7\\n")] {
        let rootfs = daemon.place().dir().join(format!("tree-{name}"));
        let busybox = shell::busybox_rootfs().display();
        shell::sh(&format!("cp -a {busybox} {0}; cd {0}; {1}", rootfs.display(), make(&format!("./{name}"), text)))
            .succeeds();
        let run = conn.request(&format!("run rootfs={} name={name} attach=yes rm=yes -- /{name}", rootfs.display()));
        match name {
            "good" => assert_eq!(run.get("exit"), "7"),
            _ => assert_eq!(run.code(), "not-executable", "{name}"),
        }
        std::fs::remove_dir_all(rootfs).unwrap();
    }
    assert_eq!(conn.ok("ps").get("count"), "0");
}

#[test]
fn names_are_held_by_one_at_a_time() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    let id = conn.ok("run busybox name=web -- sleep 1000").get("id");
    assert_eq!(conn.refused("create busybox name=web"), "exists");
    assert_eq!(conn.refused("run busybox name=web:latest attach=yes -- true"), "exists");
    conn.ok("create busybox name=web:2 -- true");
    assert_eq!(conn.refused("rm web"), "wrong-state");
    assert_eq!(conn.refused("start web"), "wrong-state");
    assert_eq!(conn.refused("kill web:2"), "wrong-state");
    assert_eq!(conn.refused("image rm busybox"), "in-use");
    conn.ok(&format!("rm {} force=yes", &id[..6]));
    assert_eq!(conn.refused(&format!("rm {id}")), "not-found");
    conn.ok("rm web:2");
    // What was removed holds nothing any more.
    conn.ok("image rm busybox");
}

#[test]
fn a_registry_that_is_not_there_is_told() {
    let daemon = Daemon::start();
    let mut conn = daemon.conn();
    // Port 9 of the loopback: nobody listens.
    assert_eq!(conn.refused("image pull 127.0.0.1:9/httpd:1 tls-verify=no"), "tool-failed");
    assert_eq!(conn.refused("run 127.0.0.1:9/httpd:1 tls-verify=no"), "tool-failed");
    assert_eq!(conn.ok("ps").get("count"), "0");
}

/// A directory of tools as the host has them, but for those left out.
fn tools_without(missing: &[&str]) -> PathBuf {
    let name = format!("gantry-tools-{}-{}", std::process::id(), missing.join("-"));
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&dir).unwrap();
    for tool in ["crun", "conmon", "skopeo", "umoci", "nft"].iter().filter(|tool| !missing.contains(tool)) {
        let path = shell::sh(&format!("PATH=$PATH:/usr/sbin:/sbin command -v {tool}")).succeeds();
        symlink(path.trim(), dir.join(tool)).unwrap();
    }
    dir
}

#[test]
fn a_missing_tool_is_told_by_name() {
    for (missing, line) in [
        ("skopeo", "image pull 127.0.0.1:9/httpd:1 tls-verify=no"),
        ("crun", "run busybox name=x -- true"),
        ("conmon", "run busybox name=x -- true"),
    ] {
        let dir = tools_without(&[missing]);
        let daemon = Setup { tools: Some(dir.clone()), ..Setup::default() }.start();
        daemon.import_busybox();
        let refused = daemon.conn().request(line);
        assert_eq!(
            (refused.end.head.as_str(), refused.code().as_str()),
            ("ERR", "tool-failed"),
            "{missing}: {refused:?}"
        );
        assert!(refused.end.text().contains(missing), "{refused:?}");
        assert_eq!(daemon.ok("ps").get("count"), "0", "{missing}");
        drop(daemon);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
