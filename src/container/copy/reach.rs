//! Where the files of a container are at this moment, as its actor knows it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use actix::prelude::*;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use tokio::sync::Mutex;

use crate::container::plan::Plan;
use crate::container::state::{Phase, failed};
use crate::container::{Container, userns};
use crate::refusal::Refusal;

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
