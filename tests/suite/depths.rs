//! Trees that are deeper than a thread's stack: whoever may write files may make them, and they go as any other.

use super::harness::Daemon;

/// Makes directories within each other at `/work`, as many as a path can name; std's way to remove them ends the process.
const DIG: &str = "cd /work && mkdir -p $(yes d/ | head -n 2030 | tr -d '\\n') && echo dug";

#[test]
fn what_a_container_dug_goes_with_it_and_with_the_daemon_killed() {
    let mut daemon = Daemon::start();
    daemon.import_busybox();
    let dig = |name: &str| {
        let dug = daemon.ok(&format!("run busybox name={name} attach=yes -- sh -c \"mkdir /work; {DIG}\""));
        assert_eq!(dug.written("stdout"), "dug\n");
    };
    dig("first");
    dig("second");
    daemon.ok("rm first");
    daemon.ok("ping");
    daemon.kill();
    daemon.restart();
    daemon.ok("ping");
    assert!(daemon.term().success(), "{}", daemon.log());
    daemon.assert_clean();
}

#[test]
fn a_deep_volume_is_removed_and_its_name_is_free_at_once() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    for _ in 0..2 {
        let dug = daemon.ok(&format!("run busybox name=digger rm=yes attach=yes volume=mine:/work -- sh -c \"{DIG}\""));
        assert_eq!(dug.written("stdout"), "dug\n");
        daemon.ok("volume rm mine");
        assert_eq!(daemon.ok("volume ls").column("name").len(), 0);
    }
    let left = std::fs::read_dir(daemon.place().root().join("volumes")).unwrap().count();
    assert_eq!(left, 0, "something of a removed volume is left");
}
