//! Many at once: thirty runs from thirty connections, and their ends.

use std::collections::BTreeSet;

use super::harness::Daemon;

#[test]
fn thirty_runs_at_once() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conns: Vec<_> = (0..30).map(|_| daemon.conn()).collect();
    for (n, conn) in conns.iter_mut().enumerate() {
        conn.send(&format!("run busybox name=n{n} publish=80 -- sh -c 'echo {n}; exec sleep 1000'"));
    }
    let replies: Vec<_> = conns.iter_mut().map(|conn| conn.reply()).collect();
    let distinct = |key: &str| replies.iter().map(|reply| reply.get(key)).collect::<BTreeSet<_>>().len();
    assert_eq!((distinct("id"), distinct("ip"), distinct("pid"), distinct("ports")), (30, 30, 30, 30));
    assert_eq!(daemon.ok("ps state=running").get("count"), "30");
    for (n, conn) in conns.iter_mut().enumerate() {
        conn.send(&format!("stop n{n} timeout=0"));
        conn.send(&format!("rm n{n}"));
    }
    for conn in &mut conns {
        assert_eq!(conn.reply().get("exit"), "137");
        assert_eq!(conn.reply().end.head, "OK");
    }
    assert_eq!(daemon.ok("ps").get("count"), "0");
}

#[test]
fn one_name_wanted_by_thirty_is_had_by_one() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conns: Vec<_> = (0..30).map(|_| daemon.conn()).collect();
    conns.iter_mut().for_each(|conn| conn.send("run busybox name=one -- sleep 1000"));
    let replies: Vec<_> = conns.iter_mut().map(|conn| conn.reply()).collect();
    let had = replies.iter().filter(|reply| reply.end.head == "OK").count();
    let refused = replies.iter().filter(|reply| reply.code() == "exists").count();
    assert_eq!((had, refused), (1, 29), "{replies:?}");
    daemon.ok("rm one force=yes");
}
