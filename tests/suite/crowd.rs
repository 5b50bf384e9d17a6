//! Many at once: thirty runs from thirty connections, and their ends.

use std::collections::BTreeSet;

use super::harness::Daemon;
use super::host;
use super::shell::{patience, until};

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

/// More than `fs.inotify.max_user_instances` lets a user have, of which conmon takes one for each container on cgroup v2
/// and then stops telling of OOM kills without a word. The daemon reads them itself.
#[test]
fn the_oom_kill_of_the_last_of_many_is_told() {
    const MANY: usize = 140;
    const HOG: &str = "run busybox name=hog memory=16m attach=yes -- sh -c 'x=x; while :; do x=$x$x; done'";
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conns: Vec<_> = (0..10).map(|_| daemon.conn()).collect();
    for n in 0..MANY {
        conns[n % 10].send(&format!("run busybox name=n{n} -- sleep 100000"));
    }
    for n in 0..MANY {
        assert_eq!(conns[n % 10].reply().end.head, "OK");
    }
    assert_eq!(daemon.ok("ps state=running").get("count"), MANY.to_string());
    assert_eq!(daemon.ok(HOG).get("exit"), "137");
    assert_eq!(daemon.ok("wait hog").get("oom"), "yes");
    // Every log of them followed at once costs the daemon no more than one instance.
    let followers: Vec<_> = (0..50)
        .map(|n| {
            let mut conn = daemon.conn();
            conn.send(&format!("logs n{n} follow=yes"));
            conn
        })
        .collect();
    let followed = || host::watched(daemon.pid()).iter().sum::<usize>() >= followers.len();
    until(patience(60), "every log is watched", followed);
    assert_eq!(host::watched(daemon.pid()).len(), 1, "one instance serves all");
    drop(followers);
    for n in 0..MANY {
        conns[n % 10].send(&format!("rm n{n} force=yes"));
    }
    for n in 0..MANY {
        assert_eq!(conns[n % 10].reply().end.head, "OK");
    }
    daemon.ok("rm hog");
}
