//! Images from a real registry: fetched once for all who ask, run, and told where they cannot be had.

use super::engine::{fetch, host_port};
use super::harness::Daemon;
use super::registry::Registry;

#[test]
fn a_pulled_image_serves_its_page() {
    let registry = Registry::start();
    registry.push_busybox("httpd:1");
    let daemon = Daemon::start();
    let reference = format!("{}/httpd:1", registry.address());
    let pull = daemon.ok(&format!("image pull {reference} tls-verify=no"));
    assert!(pull.progress > 0, "a pull that fetches tells of it");
    assert_eq!(pull.get("name"), reference);
    assert_eq!(daemon.ok("image ls").column("name"), std::slice::from_ref(&reference));
    let run = daemon.ok(&format!("run {reference} publish=80 -- httpd -f -p 80 -h /www"));
    assert_eq!(run.get("name"), "httpd:1");
    let page = daemon.sh(&fetch(&format!("127.0.0.1:{}", host_port(&run)))).succeeds();
    assert!(!page.is_empty());
    daemon.ok("rm httpd:1 force=yes");
    daemon.ok(&format!("image rm {reference}"));
    assert_eq!(daemon.ok("image ls").lines.len(), 0);
}

#[test]
fn a_run_fetches_what_is_not_here() {
    let registry = Registry::start();
    registry.push_busybox("httpd:1");
    let daemon = Daemon::start();
    let reference = format!("{}/httpd:1", registry.address());
    assert_eq!(daemon.conn().refused(&format!("run {reference} pull=never -- true")), "not-found");
    let run = daemon.ok(&format!("run {reference} tls-verify=no attach=yes rm=yes -- echo fetched"));
    assert_eq!(run.logs(), ["stdout fetched"]);
    drop(registry);
    let run = daemon.ok(&format!("run {reference} attach=yes rm=yes -- echo kept"));
    assert_eq!(run.logs(), ["stdout kept"], "without the registry");
}

#[test]
fn many_who_want_one_image_share_one_fetch() {
    let registry = Registry::start();
    registry.push_busybox("httpd:1");
    let daemon = Daemon::start();
    let mut conns: Vec<_> = (0..10).map(|_| daemon.conn()).collect();
    for conn in &mut conns {
        conn.send(&format!("image pull {}/httpd:1 tls-verify=no", registry.address()));
    }
    let digests: Vec<_> = conns.iter_mut().map(|conn| conn.reply().get("digest")).collect();
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

#[test]
fn what_a_registry_does_not_have_is_not_found() {
    let registry = Registry::start();
    registry.push_busybox("httpd:1");
    let daemon = Daemon::start();
    let mut conn = daemon.conn();
    for name in ["httpd:2", "nothing:1"] {
        let line = format!("image pull {}/{name} tls-verify=no", registry.address());
        assert_eq!(conn.refused(&line), "not-found", "{name}");
    }
    // It speaks plain HTTP, and nobody said that it may.
    assert_eq!(conn.refused(&format!("image pull {}/httpd:1", registry.address())), "tool-failed");
    assert_eq!(conn.ok("image ls").lines.len(), 0);
}
