//! The daemon killed in the middle of pulls: at every change that a pull makes to the store, one after the other.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::harness::Daemon;
use super::registry::{Registry, busybox_layout, run};
use super::shell;

/// How many moments are tried at most, so that a store that never comes to rest is noticed.
const MOMENTS_MAX: usize = 200;

/// What is told of the directories of the store, in the order in which it happens.
struct Watch(Inotify);

impl Watch {
    fn new(daemon: &Daemon) -> Self {
        let mut made = Err(Errno::EMFILE);
        // On a host of cgroup v2 each conmon takes one, and other tests have many containers.
        shell::until(shell::patience(60), "an inotify instance is left", || {
            made = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC);
            !matches!(made, Err(Errno::EMFILE))
        });
        let inotify = made.unwrap();
        let changes = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE;
        for dir in ["tmp", "blobs/sha256", "rootfs", "names"] {
            inotify.add_watch(&daemon.place().root().join("images").join(dir), changes).unwrap();
        }
        Self(inotify)
    }

    /// Waits for `count` changes in the store itself and in what is made in its `tmp`; whether there were so many before
    /// `done` came true, those counted that were told while it was asked.
    fn saw(&self, daemon: &Daemon, count: usize, done: &mut dyn FnMut() -> bool) -> bool {
        let tmp = daemon.place().root().join("images/tmp");
        let mut seen = 0;
        while seen < count {
            let mut ready = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            let over = poll(&mut ready, PollTimeout::from(50_u8)).unwrap() == 0 && done();
            let events = self.0.read_events().unwrap_or_default();
            if over && events.is_empty() {
                return false;
            }
            for event in events {
                let name = event.name.unwrap_or_default();
                seen += 1 + self.deepen(&tmp.join(name));
            }
        }
        true
    }

    /// Has what is done in a new piece of work told too; how much of it was there already.
    fn deepen(&self, work: &Path) -> usize {
        if !work.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pull-")) {
            return 0;
        }
        let changes = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        let mut there = 0;
        for dir in ["", "layout", "layout/blobs/sha256"].map(|below| work.join(below)) {
            if self.0.add_watch(&dir, changes).is_ok() {
                there += std::fs::read_dir(&dir).map_or(0, Iterator::count);
            }
        }
        there
    }
}

/// An image of several layers.
fn layers(dir: &Path) -> PathBuf {
    let (layout, extra) = (dir.join("layered"), dir.join("extra"));
    run(Command::new("cp").arg("-r").arg(busybox_layout()).arg(&layout));
    for n in 0..3 {
        std::fs::create_dir_all(&extra).unwrap();
        std::fs::write(extra.join(format!("file-{n}")), vec![n; 300_000]).unwrap();
        let image = format!("{}:image", layout.display());
        run(Command::new("umoci").args(["insert", "--image", &image]).arg(&extra).arg(format!("/extra-{n}")));
        std::fs::remove_dir_all(&extra).unwrap();
    }
    layout
}

#[test]
fn a_kill_at_any_moment_of_a_pull_leaves_a_whole_store() {
    let registry = Registry::start();
    let mut daemon = Daemon::start();
    let layout = layers(&daemon.place().dir());
    let name = registry.push(&format!("oci:{}:image", layout.display()), "layered:1", &[]);
    let other = registry.push_busybox("other:1");
    daemon.ok(&format!("image pull {other} tls-verify=no"));
    let images = daemon.place().root().join("images");
    let mut moments = 0;
    for moment in 1.. {
        assert!(moment < MOMENTS_MAX, "a pull never ends");
        let watch = Watch::new(&daemon);
        let mut conn = daemon.conn();
        conn.send(&format!("image pull {name} tls-verify=no"));
        let mut done = || daemon.ok("image ls").lines.len() == 2;
        let killed = watch.saw(&daemon, moment, &mut done);
        daemon.kill();
        daemon.restart();
        let names = daemon.ok("image ls").column("name");
        assert!(names.contains(&other), "{moment}: what was there stays: {names:?}");
        let verified = daemon.ok("image verify");
        assert_eq!(verified.get("failed"), "0", "{moment}: {verified:?}");
        // What is left besides is whole blobs for the next pull; all else is gone.
        let empty = |dir: &str| std::fs::read_dir(images.join(dir)).unwrap().count() == 0;
        shell::until(shell::patience(30), "no work is left", || empty("tmp"));
        let count = |dir: &str| std::fs::read_dir(images.join(dir)).unwrap().count();
        assert_eq!((count("rootfs"), count("names")), (names.len(), names.len()), "{moment}");
        if names.len() == 1 {
            assert_eq!(count("blobs/sha256"), 3, "{moment}");
        } else {
            daemon.ok(&format!("image rm {name}"));
        }
        if !killed {
            break;
        }
        moments = moment;
    }
    assert!(moments >= 10, "a pull makes more changes than {moments}");
    let pulled = daemon.ok(&format!("image pull {name} tls-verify=no"));
    assert!(!pulled.get("digest").is_empty());
    assert_eq!(daemon.ok(&format!("image verify {name}")).get("failed"), "0");
    daemon.ok("image prune all=yes");
}
