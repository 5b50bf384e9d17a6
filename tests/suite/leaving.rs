//! The daemon's end in the middle of things: it comes, whatever a container does or is about to do.

use super::harness::Daemon;
use super::shell;

/// Told where the end came by the last resort rather than by itself.
const STANDSTILL: &str = "containers do not end";

/// Behind as many events as that TERM comes. With fifteen made at once, and one again and again, some container is at each step
/// of its life at any of them.
const MOMENTS: [usize; 14] = [0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 14, 18, 25, 40];

#[test]
fn term_amid_runs_is_the_end_at_any_moment() {
    let mut daemon = Daemon::start();
    daemon.import_busybox();
    for moment in MOMENTS {
        let mut watcher = daemon.conn();
        watcher.send("events type=container");
        assert_eq!(watcher.parsed().get("type").as_deref(), Some("subscribed"));
        let (mut many, mut one) = (daemon.conn(), daemon.conn());
        for nth in 0..15 {
            // As the first process of a container it does not heed TERM.
            many.send(&format!("@{nth} run busybox name=n{nth} stop-timeout=200ms -- sleep 1000"));
            for line in
                ["run busybox name=one stop-timeout=200ms -- sleep 1000", "restart one timeout=0", "rm one force=yes"]
            {
                one.send(line);
            }
        }
        for _ in 0..moment {
            watcher.parsed();
        }
        assert!(daemon.term().success(), "{moment}: {}", daemon.log());
        assert!(!daemon.log().contains(STANDSTILL), "{moment}: {}", daemon.log());
        daemon.assert_clean();
        drop((watcher, many, one));
        daemon.restart();
    }
}

/// Somebody else has frozen it: on cgroup v1 not even KILL ends it then (on v2 it does).
#[cfg(debug_assertions)]
#[test]
fn a_container_that_nothing_ends_does_not_keep_the_daemon() {
    use std::path::Path;

    // A standstill is half as long again, and comes twice; any tool that is called has as much time.
    let deadline = shell::patience(8).as_secs().to_string();
    let env = vec![("GANTRY_DEADLINE".to_owned(), deadline)];
    let mut daemon = super::harness::Setup { env, ..Default::default() }.start();
    daemon.import_busybox();
    daemon.ok("run busybox name=ice stop-timeout=200ms -- sleep 1000");
    daemon.ok("run busybox name=other stop-timeout=200ms -- sleep 1000");
    let cgroup = daemon.ok("inspect ice").json()["paths"]["cgroup"].as_str().unwrap().to_owned();
    let state = Path::new("/sys/fs/cgroup/freezer").join(cgroup.trim_start_matches('/')).join("freezer.state");
    let is_v1 = state.exists();
    if is_v1 {
        std::fs::write(&state, "FROZEN").unwrap();
    }
    assert!(daemon.term().success(), "{}", daemon.log());
    assert_eq!(daemon.log().contains(STANDSTILL), is_v1, "{}", daemon.log());
    // Where the runtime has not thawed it to delete it; what could not be undone is undone by the next daemon.
    let _ = std::fs::write(&state, "THAWED");
    daemon.restart();
    assert_eq!(daemon.ok("ps").get("count"), "0");
    assert!(daemon.term().success(), "{}", daemon.log());
    daemon.assert_clean();
}

/// An actor that panics meanwhile, or what works for it, does not keep it either.
#[cfg(debug_assertions)]
#[test]
fn a_defect_does_not_keep_the_daemon() {
    use gantry::fault;

    let told = std::env::temp_dir().join(format!("gantry-leaving-{}", std::process::id()));
    let env = vec![("GANTRY_PANIC".to_owned(), told.display().to_string())];
    let mut daemon = super::harness::Setup { env, ..Default::default() }.start();
    daemon.import_busybox();
    for place in fault::CONTAINER.iter().chain(&fault::WORK).chain(&fault::SINGLE) {
        let mut conn = daemon.conn();
        conn.ok("run busybox name=web stop-timeout=200ms -- sleep 1000");
        std::fs::write(&told, place).unwrap();
        for nth in 0..4 {
            conn.send(&format!("@{nth} run busybox name=n{nth} stop-timeout=200ms -- sleep 1000"));
        }
        conn.send("@r restart web timeout=0");
        conn.send("@p ps");
        assert!(conn.line().is_some(), "{place}");
        assert!(daemon.term().success(), "{place}: {}", daemon.log());
        assert!(!daemon.log().contains(STANDSTILL), "{place}: {}", daemon.log());
        let is_missed = std::fs::remove_file(&told).is_ok();
        assert!(!is_missed || !place.ends_with("close"), "{place}: each end comes by there");
        // A step whose undoing showed the defect is on record for the next one.
        daemon.restart();
        assert_eq!(daemon.ok("ps").get("count"), "0", "{place}");
    }
    assert!(daemon.term().success(), "{}", daemon.log());
    daemon.assert_clean();
}
