//! Undoing: how each step of a journal is taken back. Failure, `rm`, shutdown and the sweep after a crash all come here.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use crate::cgroup::Cgroups;
use crate::changes::Changes;
use crate::fault;
use crate::journal::Step;
use crate::link::Post;
use crate::network::{self, Network};
use crate::refusal::Refusal;
use crate::removal;
use crate::tools::crun::Crun;
use crate::tools::{Tools, process};
use crate::worker::beside;

/// How long a process is given to go by itself, once what it waits for is gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// What undoing (and doing) works with. Cheap to clone.
#[derive(Clone)]
pub struct Ground {
    /// The tools.
    pub tools: Tools,
    /// crun with our state directory.
    pub crun: Crun,
    /// The network actor.
    pub network: Post<Network>,
    /// The host's control groups.
    pub cgroups: Rc<Cgroups>,
    /// Tells when files change.
    pub changes: Rc<Changes>,
}

/// Undoes `steps` in the order given (newest first), going on past errors. Each error is logged; the steps that failed
/// come back, in the same order.
pub async fn all(steps: Vec<Step>, ground: &Ground) -> Vec<Step> {
    let mut failed = Vec::new();
    for step in steps {
        // A defect is a failure like another: the step stays on record.
        let undone = AssertUnwindSafe(one(&step, ground)).catch_unwind().await;
        if let Err(refusal) = undone.unwrap_or_else(|_| Err(Refusal::internal("a defect ended the undoing"))) {
            log::warn!("undoing {step:?}: {refusal}");
            failed.push(step);
        }
    }
    failed
}

/// Undoes one step. What is not there needs no undoing.
async fn one(step: &Step, ground: &Ground) -> Result<(), Refusal> {
    fault::panic_at("work-undo");
    match step {
        Step::Sysctl { .. } | Step::Link { .. } | Step::Table { .. } => {
            let step = step.clone();
            beside(move || network::undo(&step)).await
        }
        Step::Attachment { id } => detach(id, ground).await,
        Step::Process { pid, start } => end_process(*pid, *start).await,
        Step::Runtime { id } => ground.crun.delete(id).await,
        Step::Cgroup { path } => clear_cgroup(path, ground).await,
        Step::Mount { path } => {
            let path = path.clone();
            beside(move || unmount(&path)).await
        }
        Step::Tree { path } => removal::beside(path.clone()).await,
    }
}

async fn detach(id: &str, ground: &Ground) -> Result<(), Refusal> {
    let message = network::Detach { id: id.parse()? };
    let detached = ground.network.send_surely(message).await;
    detached.map_err(|e| Refusal::unanswered("the network", e))
}

async fn end_process(pid: i32, start: u64) -> Result<(), Refusal> {
    let Some(held) = process::Held::take(pid, start) else { return Ok(()) };
    match held.end(PATIENCE).await {
        true => Ok(()),
        false => Err(Refusal::timeout(format_args!("process {pid} does not end, even killed"))),
    }
}

/// Ends whatever still runs in a cgroup, and removes it: crun does both, but for what it left or never knew.
async fn clear_cgroup(path: &str, ground: &Ground) -> Result<(), Refusal> {
    for pid in ground.cgroups.processes(path) {
        if let Some(start) = process::start_time(pid) {
            // Already abandoned by crun: no patience.
            if let Some(held) = process::Held::take(pid, start) {
                held.end(Duration::ZERO).await;
            }
        }
    }
    ground.cgroups.remove(path).map_err(|e| Refusal::io(format_args!("cgroup {path}"), &e))
}

/// Detached lazily: what still looks at it keeps looking, and it is gone for everyone else.
fn unmount(path: &Path) -> Result<(), Refusal> {
    match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(e) => Err(Refusal::errno(path.display(), e)),
    }
}
