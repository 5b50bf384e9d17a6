//! Leaving: containers stopped and removed, network and cgroups taken down, directories cleared.

use std::time::Duration;

use super::{Dirs, Signals};
use crate::engine::Engine;
use crate::images;
use crate::network;
use crate::tools::crun;

/// Stops and removes every container, each within its own stop timeout; a further signal makes it at once.
pub async fn stop_containers(engine: &Engine, signals: &mut Signals) {
    let patient = engine.shut_down(None);
    tokio::select! {
        () = patient => return,
        () = signals.next() => log::info!("asked again: killing what still runs"),
    }
    engine.shut_down(Some(Duration::ZERO)).await;
}

/// Gives up what is on its way into the image store; those who wait for it are told.
pub async fn close_images(engine: &Engine) {
    if let Err(e) = engine.images.send_surely(images::Close).await {
        log::error!("the image store could not be closed: {e:?}");
    }
}

/// Puts the host back as it was found. Goes on past errors.
pub async fn restore(engine: &Engine, dirs: &Dirs) {
    if let Err(e) = engine.ground.network.send_surely(network::Close).await {
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
