//! Leaving: containers stopped and removed, network and cgroups taken down, directories cleared. Each part of it has a
//! bound, whatever state a container or the host is in: what could not be put back is the next start's to sweep.

use std::time::Duration;

use super::{Dirs, Signals, sweep};
use crate::engine::Engine;
use crate::images;
use crate::network;
use crate::tools::crun;

/// How long a part of the leaving may take beside the end of the containers. What each consists of has shorter bounds.
const PART: Duration = Duration::from_secs(120);
/// How long workers that are at it still are waited for, in the end.
const WORKERS_END: Duration = Duration::from_secs(10);

/// Stops and removes every container, each within its own stop timeout; a further signal makes it at once. Where they come to
/// a standstill they are killed, and where that does not help, what they have on the host is undone under them.
pub async fn stop_containers(engine: &Engine, dirs: &Dirs, signals: &mut Signals) {
    tokio::select! {
        done = engine.shut_down(None) => match done {
            true => return,
            false => log::error!("containers do not end; killing what still runs"),
        },
        () = signals.next() => log::info!("asked again: killing what still runs"),
    }
    if !engine.shut_down(Some(Duration::ZERO)).await {
        log::error!("containers do not end, even killed; what they have on the host is undone");
        within("the sweep", sweep::containers(dirs, &engine.ground, &engine.config)).await;
    }
}

/// Gives up what is on its way into the image store; those who wait for it are told.
pub async fn close_images(engine: &Engine) {
    if let Some(Err(e)) = within("the image store", engine.images.send_surely(images::Close)).await {
        log::error!("the image store could not be closed: {e:?}");
    }
}

/// Puts the host back as it was found. Goes on past errors.
pub async fn restore(engine: &Engine, dirs: &Dirs) {
    if let Some(Err(e)) = within("the network", engine.ground.network.send_surely(network::Close)).await {
        log::error!("the network could not be taken down: {e:?}");
    }
    if let Err(e) = engine.ground.cgroups.remove(&engine.config.cgroup_parent()) {
        log::warn!("cgroup {}: {e}", engine.config.cgroup_parent());
    }
    let _ = std::fs::remove_file(dirs.boot());
    let _ = std::fs::remove_dir_all(dirs.crun().join(crun::CACHE));
    for dir in [dirs.journals(), dirs.bundles(), dirs.crun(), dirs.containers(), dirs.volumes()] {
        // Empty by now, but for volumes; what could not be removed was logged, and is the next run's to sweep.
        let _ = std::fs::remove_dir(dir);
    }
}

/// A part of the leaving, given up where it takes too long.
async fn within<T>(what: &str, part: impl Future<Output = T>) -> Option<T> {
    let done = tokio::time::timeout(PART, part).await;
    done.inspect_err(|_| log::error!("{what}: this took more than {PART:?}, and is left as it is")).ok()
}

/// Ends the process though a worker should wait for something that never comes: a disk, perhaps. To be called last.
pub fn end_without_workers() {
    #[expect(clippy::disallowed_methods, reason = "a thread of its own, which has nothing else to do")]
    let late = || {
        std::thread::sleep(WORKERS_END);
        log::error!("a worker does not come to its end; leaving without it");
        std::process::exit(1);
    };
    // Without it they are waited for.
    let _ = std::thread::Builder::new().name("leave".to_owned()).spawn(late);
}
