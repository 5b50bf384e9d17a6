//! Where the files of a container are at this moment, as its actor knows it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use crate::container::plan::Plan;
use crate::container::state::{Phase, failed};
use crate::container::{Container, userns};
use crate::refusal::Refusal;

/// How long a start waits for a copy, which may take any time, or stand still.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps copies from the files of a container that starts, behind the one that has them mounted: they are not to be
/// mounted twice.
pub async fn hold_off(files: &Mutex<()>) -> Result<MutexGuard<'_, ()>, Refusal> {
    hold_off_within(PATIENCE, files).await
}

async fn hold_off_within(patience: Duration, files: &Mutex<()>) -> Result<MutexGuard<'_, ()>, Refusal> {
    let busy = |_| Refusal::busy("its files are being copied; try again when that is done");
    timeout(patience, files.lock()).await.map_err(busy)
}

/// Asks where a container's files are reached.
#[derive(Message)]
#[rtype(result = "Result<RootNow, Refusal>")]
pub struct Root;

/// Where they are.
pub enum RootNow {
    /// Where its first process has its root, and what that is outside where it has ids of its own.
    Running(OwnedFd, Option<u32>),
    /// Not mounted. Whoever mounts them holds the lock.
    Still(Arc<Plan>, Arc<Mutex<()>>),
    /// About to be mounted or taken down.
    Changing,
}

impl Handler<Root> for Container {
    type Result = Result<RootNow, Refusal>;

    fn handle(&mut self, _: Root, _: &mut Context<Self>) -> Self::Result {
        let run = self.estate.run.borrow();
        match (self.state.phase, run.as_ref().map(|run| &run.init)) {
            (Phase::Created | Phase::Exited, _) => Ok(RootNow::Still(self.plan.clone(), self.estate.files.clone())),
            (Phase::Failed, _) => Err(failed().within(&self.plan.name)),
            (Phase::Removing, _) => Err(Refusal::not_found("it is being removed").within(&self.plan.name)),
            (Phase::Running | Phase::Paused | Phase::Stopping, Some(init)) => {
                let path = format!("/proc/{}/root", init.pid);
                let first = userns::first_of(init.pid);
                let root = open(path.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
                // Asked behind that: as long as it is there, the pid has been its own.
                match root {
                    Ok(root) if init.held.is_there() => Ok(RootNow::Running(root, first)),
                    _ => Ok(RootNow::Changing),
                }
            }
            _ => Ok(RootNow::Changing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_does_not_wait_for_ever_for_a_copy() {
        let files = Mutex::new(());
        let refused = actix_rt::System::new().block_on(async {
            let _copying = hold_off(&files).await.unwrap();
            hold_off_within(Duration::from_millis(1), &files).await.map(drop).unwrap_err()
        });
        assert_eq!(refused.code(), crate::refusal::Code::Busy);
    }
}
