//! The clients of `examples/`, each doing what its page says against a daemon.

use super::harness::Daemon;
use super::shell;

fn drive(client: &str) {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let run = |words: &str| daemon.sh(&format!("examples/{client} {words}"));
    assert!(run("ps").succeeds().contains("count"));
    let output = run(
        "run busybox name=job attach=yes rm=yes -- sh -c 'echo \"a  b\"; echo err >&2; printf \"it'\\''s\"; exit 3'",
    );
    assert_eq!(
        (output.status.code(), output.stdout.as_str(), output.stderr.as_str()),
        (Some(3), "a  b\nit's", "err\n")
    );
    run("run busybox name=web stop-signal=KILL -- httpd -f -p 80 -h /www").succeeds();
    assert!(run("ps name=web").succeeds().contains("running"));
    // The exit status of a stopped container is the client's own.
    assert_eq!(run("stop web").status.code(), Some(137));
    assert!(run("rm web").status.success());
    let refused = run("rm web");
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("not-found"), "{}", refused.stderr);
}

#[test]
fn the_shell_client() {
    drive("client.sh");
}

#[test]
fn the_python_client() {
    drive("client.py");
}

#[test]
fn the_python_client_carries_any_byte() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let script = r#"examples/client.py run busybox name=b attach=yes rm=yes -- printf '\377\001\n"\\ x' | od -An -tx1 | head -n 1"#;
    // What follows the container's own bytes is the final line.
    let hex = daemon.sh(script).succeeds();
    assert!(hex.trim().starts_with("ff 01 0a 22 5c 20 78"), "{hex}");
}

#[test]
fn a_client_without_a_daemon_says_so() {
    for client in ["client.sh", "client.py"] {
        let output = shell::sh(&format!("examples/{client} -s /nonexistent/socket ping"));
        assert!(!output.status.success() && !output.stderr.is_empty(), "{client}");
    }
}
