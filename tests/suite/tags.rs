//! Tags, `cancel` and the bounds of one connection.

use super::harness::Daemon;

#[test]
fn tagged_requests_run_beside_each_other() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=job -- sleep 1000");
    let mut conn = daemon.conn();
    conn.send("@w wait job");
    conn.ok("ping");
    conn.send("@p ping");
    let pong = conn.parsed();
    assert_eq!((pong.tag.as_deref(), pong.text().as_str()), (Some("p"), "pong"));
    conn.send("@w ping");
    let refused = conn.parsed();
    assert_eq!((refused.tag, refused.head.as_str()), (None, "ERR"), "a tag in use is refused untagged");
    conn.ok("cancel w");
    let cancelled = conn.parsed();
    assert_eq!(
        (cancelled.tag.as_deref(), cancelled.text().starts_with("cancelled")),
        (Some("w"), true),
        "{cancelled:?}"
    );
    assert_eq!(conn.refused("cancel w"), "not-found");
    conn.ok("rm job force=yes");
}

#[test]
fn requests_in_flight_have_a_bound() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("run busybox name=job -- sleep 1000");
    let mut conn = daemon.conn();
    for n in 0..64 {
        conn.send(&format!("@{n} wait job"));
    }
    conn.send("@x wait job");
    assert!(conn.parsed().text().starts_with("busy"));
    daemon.ok("kill job");
    for _ in 0..64 {
        assert_eq!(conn.parsed().get("exit").as_deref(), Some("137"));
    }
    conn.ok("rm job");
}
