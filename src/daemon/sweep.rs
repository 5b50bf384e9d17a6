//! The sweep: what a run that died left behind is undone, by its journals and by its names.

use std::fs;
use std::path::{Path, PathBuf};

use futures::StreamExt;

use super::Dirs;
use crate::cgroup::helpers;
use crate::config::Config;
use crate::journal::{Journal, Step};
use crate::network;
use crate::refusal::Refusal;
use crate::undo::{self, Ground};

/// How many containers are swept at once.
const AT_ONCE: usize = 8;
/// Drawn anew at each boot (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Forgets journals of another boot: the run directory need not be on a tmpfs, and their pids, links and sysctls are now
/// somebody else's. The trees they name are found as strays.
pub fn discard_other_boots(dirs: &Dirs) -> Result<(), Refusal> {
    let this = fs::read_to_string(BOOT_ID).map_err(|e| Refusal::io(BOOT_ID, &e))?;
    if fs::read_to_string(dirs.boot()).is_ok_and(|boot| boot != this) {
        log::info!("the journals here are of another boot of this machine; forgotten");
        for journal in entries(&dirs.journals()).into_iter().chain([dirs.run.join(network::JOURNAL)]) {
            let _ = fs::remove_file(journal);
        }
    }
    fs::write(dirs.boot(), this).map_err(|e| Refusal::io(dirs.boot().display(), &e))
}

/// Undoes what containers of a dead run left, and says so. Goes on past errors.
pub async fn containers(dirs: &Dirs, ground: &Ground, config: &Config) {
    let journals = futures::stream::iter(entries(&dirs.journals()));
    journals.for_each_concurrent(AT_ONCE, |journal| one(journal, ground)).await;
    strays(dirs, ground, config).await;
}

async fn one(journal: PathBuf, ground: &Ground) {
    let steps = match Journal::read(&journal) {
        Ok(steps) => steps,
        // It may tell of much: it stays for the next start.
        Err(refusal) => return log::warn!("{refusal}"),
    };
    log::info!("sweeping container {} of a dead run: {} steps to undo", name_of(&journal), steps.len());
    if undo::all(steps.into_iter().rev().collect(), ground).await.is_empty() {
        let _ = fs::remove_file(&journal);
    }
}

/// What no journal tells of: the run directory may have been lost with a reboot, and the root was not.
async fn strays(dirs: &Dirs, ground: &Ground, config: &Config) {
    let parent = config.cgroup_parent();
    let cgroups = ground.cgroups.children(&parent).into_iter().filter(|name| name != helpers::NAME);
    let cgroups = cgroups.map(|name| Step::Cgroup { path: format!("{parent}/{name}") });
    let places = [dirs.bundles(), dirs.crun(), dirs.containers()];
    let trees = places.iter().flat_map(|dir| entries(dir)).map(|path| Step::Tree { path });
    let steps: Vec<Step> = cgroups.chain(trees).collect();
    if !steps.is_empty() {
        log::info!("sweeping {} strays of a dead run", steps.len());
        // Each failure was logged.
        let _ = undo::all(steps, ground).await;
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().chars().take(12).collect()).unwrap_or_default()
}
