//! What a container's state machine asks for, done: directories, network, mount, process, and their ends. Each effect is
//! a future that ends in what the state machine hears next; none touches the actor.

use std::cell::RefCell;
use std::os::unix::fs::FileTypeExt;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use tokio::sync::oneshot;

use super::console::Console;
use super::estate::Estate;
use super::log_files::LogFiles;
use super::plan::Plan;
use super::userns::Ids;
use super::{copy, devices, etc, program, rootfs, rotation, spec, volumes};
use crate::cgroup::limits::Limits;
use crate::fault;
use crate::journal::{Journal, Step};
use crate::network::{self, Attach, Attachment, Before, Identity};
use crate::refusal::Refusal;
use crate::tools::conmon::{self, Monitor, Watch};
use crate::tools::crun::Crun;
use crate::tools::process::{self, Held};
use crate::undo::{self, Ground};
use crate::worker::{apart, beside, look};

/// How long conmon may take to end when its container has: it writes out what is left of the log.
const CONMON_PATIENCE: Duration = Duration::from_secs(10);

/// The stack in bytes of the thread that mounts for a container with ids of its own.
const MOUNT_STACK: usize = 256 << 10;

/// A container's journal, shared by its actor and the effect under way. Never borrowed across an await.
pub type SharedJournal = Rc<RefCell<Journal>>;

/// A run that has begun.
pub struct Run {
    /// Its place on the network.
    pub attachment: Attachment,
    /// Its first process.
    pub init: Init,
    monitor: Monitor,
    /// The ids that are its own, where it has some.
    _ids: Option<Arc<Ids>>,
}

/// A container's first process.
#[derive(Clone)]
pub struct Init {
    /// In the daemon's pid namespace.
    pub pid: i32,
    /// Held, so that a signal never meets another process of the same pid.
    pub held: Rc<Held>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// The exit code, or 128 and the signal.
    pub code: i32,
    /// The OOM killer ended a process of it.
    pub oom: bool,
}

/// What could not be undone of the last run is tried again: two of them would be in each other's way.
async fn finish_last(journal: &SharedJournal, mark: usize, ground: &Ground) -> Result<(), Refusal> {
    if journal.borrow().mark() <= mark {
        return Ok(());
    }
    let left = journal.borrow_mut().take_back(mark);
    let failed = undo::all(left, ground).await;
    let is_undone = failed.is_empty();
    journal.borrow_mut().settle(failed);
    if is_undone { Ok(()) } else { Err(Refusal::tool_failed("what its last run has left cannot be undone yet")) }
}

/// The end of a run of which nothing more is known.
pub const LOST: Exit = Exit { code: 255, oom: false };

/// Makes the run, with what the last one had of the network where that can be. What fails is undone before it is told.
pub async fn launch(estate: &Estate, before: Option<Before>, ground: &Ground) -> Result<Run, Refusal> {
    let _files = copy::hold_off(&estate.files).await?;
    let (console, journal) = (&estate.console, &estate.journal);
    let mark = estate.mark.get();
    finish_last(journal, mark, ground).await?;
    let tried = AssertUnwindSafe(try_launch(estate.plan(), before, console, journal, ground)).catch_unwind().await;
    let launched = tried.unwrap_or_else(|_| Err(Refusal::internal("a defect ended the start; try again")));
    if launched.is_err() {
        console.hang_up();
        let steps = journal.borrow_mut().take_back(mark);
        // What could not be undone was logged and stays on record; the asker hears of the first failure.
        let failed = undo::all(steps, ground).await;
        journal.borrow_mut().settle(failed);
    }
    launched
}

async fn try_launch(
    plan: Arc<Plan>,
    before: Option<Before>,
    console: &Console,
    journal: &SharedJournal,
    ground: &Ground,
) -> Result<Run, Refusal> {
    let places = &plan.places;
    ready_cgroups(ground);
    let record = |step| journal.borrow_mut().record(step);
    record(Step::Attachment { id: plan.id.to_string() })?;
    record(Step::Mount { path: places.rootfs() })?;
    let (stdin, terminal) = (plan.wishes.takes_input(), plan.wishes.tty);
    let watch = Watch { id: plan.id.as_str(), bundle: &places.bundle, log: &places.log(), stdin, terminal };
    // Started ahead: it has set itself up by the time there is something for it to watch.
    let starting = async {
        let waiting = conmon::start(&ground.tools, &ground.crun, &watch).await?;
        let known = waiting.pid().and_then(|pid| Some((pid, process::start_time(pid)?)));
        match known.map_or(Ok(()), |(pid, start)| record(Step::Process { pid, start })) {
            Ok(()) => Ok(waiting),
            Err(refusal) => {
                waiting.dismiss().await;
                Err(refusal)
            }
        }
    };
    let (waiting, (attachment, ids)) = match futures::join!(starting, furnish(&plan, before, ground)) {
        (Ok(waiting), Ok(furnished)) => (waiting, furnished),
        (Ok(waiting), Err(refusal)) => {
            waiting.dismiss().await;
            return Err(refusal);
        }
        (Err(refusal), _) => return Err(refusal),
    };
    record(Step::Cgroup { path: places.cgroup.clone() })?;
    record(Step::Runtime { id: plan.id.to_string() })?;
    fault::panic_at("work-launch");
    // Once more, lest it be over too soon.
    ready_cgroups(ground);
    let monitor = waiting.create().await?;
    let is_new = |digest: &[u8; 32]| ground.crun.filters().get(digest).is_none();
    if plan.seccomp.as_ref().is_some_and(|filter| is_new(&filter.digest)) {
        keep_filter(plan.clone(), ground.crun.clone()).await;
    }
    // Held before it may run: until then it cannot end, so that the pid is surely its own.
    let held = process::start_time(monitor.init).and_then(|start| Held::take(monitor.init, start));
    let held = held.ok_or_else(|| Refusal::tool_failed("the container's process was gone before it was started"))?;
    if let Some(ids) = &ids {
        give_streams(monitor.init, ids.first, plan.clone()).await?;
    }
    // Before it can write anything: who waits for that loses nothing.
    console.connect(&places.bundle).await?;
    ground.crun.start(plan.id.as_str()).await?;
    // Who came meanwhile was told to wait.
    if let Err(refusal) = console.connect(&places.bundle).await {
        log::debug!("{}: {refusal}", plan.name);
    }
    Ok(Run { attachment, init: Init { pid: monitor.init, held: Rc::new(held) }, monitor, _ids: ids })
}

/// crun is about to move a process into a cgroup: the wait that this may mean is begun here, beside everything else.
fn ready_cgroups(ground: &Ground) {
    let cgroups = (*ground.cgroups).clone();
    actix_rt::spawn(async move {
        let made = look(move || cgroups.make_ready()).await;
        if !matches!(made, Ok(Ok(()))) {
            log::debug!("cgroups are not ready for a move: {made:?}");
        }
    });
}

/// Makes what the container's process is to find: its network, its rootfs and its bundle.
async fn furnish(
    plan: &Arc<Plan>,
    before: Option<Before>,
    ground: &Ground,
) -> Result<(Attachment, Option<Arc<Ids>>), Refusal> {
    let ids = match plan.wishes.security.own_ids {
        true => Some(Arc::new(beside(Ids::take).await?)),
        false => None,
    };
    let (attachment, mounted) =
        futures::join!(attach(plan, before, ids.as_deref(), ground), mount(plan.clone(), ids.clone()));
    let attachment = attachment?;
    mounted?;
    let compiled = plan.seccomp.as_ref().and_then(|filter| ground.crun.filters().get(&filter.digest));
    let config = spec::make(plan, &attachment, ids.as_deref(), compiled.as_deref())?;
    write_bundle(plan.clone(), attachment.clone(), &config).await?;
    Ok((attachment, ids))
}

/// Lets the container's user open its own standard streams anew (`/dev/stdout`): pipes of the monitor's are root's of
/// the host, whom it does not know.
async fn give_streams(pid: i32, first: u32, plan: Arc<Plan>) -> Result<(), Refusal> {
    let owner = (first.saturating_add(plan.user.uid), first.saturating_add(plan.user.gid));
    beside(move || {
        for stream in 0..3 {
            let path = format!("/proc/{pid}/fd/{stream}");
            let is_pipe = std::fs::metadata(&path).is_ok_and(|found| found.file_type().is_fifo());
            if is_pipe {
                std::os::unix::fs::chown(&path, Some(owner.0), Some(owner.1))
                    .map_err(|e| Refusal::io("a standard stream", &e))?;
            }
        }
        Ok(())
    })
    .await
}

/// The next container with the same filter need not have it compiled.
async fn keep_filter(plan: Arc<Plan>, crun: Crun) {
    let Some(digest) = plan.seccomp.as_ref().map(|filter| filter.digest) else { return };
    let file = crun.filter_file(plan.id.as_str());
    let read = move || std::fs::read(&file).map_err(|e| Refusal::io(file.display(), &e));
    match beside(read).await {
        Ok(program) => crun.filters().keep(digest, &program),
        Err(refusal) => log::debug!("the compiled seccomp filter: {refusal}"),
    }
}

async fn attach(
    plan: &Plan,
    before: Option<Before>,
    ids: Option<&Ids>,
    ground: &Ground,
) -> Result<Attachment, Refusal> {
    let own = ids.map(|ids| ids.namespaces.network.try_clone()).transpose();
    let message = Attach {
        id: plan.id.clone(),
        name: plan.name.clone(),
        networking: plan.wishes.networking.clone(),
        publish: plan.wishes.publish.clone(),
        dns: plan.wishes.dns.clone(),
        identity: Identity { hostname: plan.hostname.clone(), etc: plan.places.etc() },
        namespace: own.map_err(|e| Refusal::io("a network namespace", &e))?,
        before,
    };
    network::ask(&ground.network, message).await?
}

async fn mount(plan: Arc<Plan>, ids: Option<Arc<Ids>>) -> Result<(), Refusal> {
    let Some(ids) = ids else {
        return beside(move || rootfs::mount_overlay(&plan.lower_dir, &plan.places)).await;
    };
    // A thread of its own: it becomes another user.
    apart("mount", MOUNT_STACK, move || {
        ids.open_way(&plan.places)?;
        devices::make_nodes(&plan.devices, &plan.places.devices())?;
        rootfs::mount_mapped(&plan.lower_dir, &plan.places, &ids)
    })
    .await
}

async fn write_bundle(
    plan: Arc<Plan>,
    attachment: Attachment,
    config: &oci_spec::runtime::Spec,
) -> Result<(), Refusal> {
    let json = serde_json::to_vec(config).map_err(|e| Refusal::internal(format_args!("the runtime spec: {e}")))?;
    beside(move || {
        if let Some(first) = plan.argv.first() {
            program::check(first, &plan.env, &plan.workdir, &plan.places.rootfs())?;
        }
        if let Some(raw) = &plan.raw {
            raw.write(&plan)?;
        }
        etc::write(&plan, &attachment)?;
        rootfs::write(&plan.places.bundle.join("config.json"), &json)
    })
    .await
}

/// Waits for the run's end, told by the kernel: conmon is our child, and its status is the container's.
///
/// Its log is kept within bounds meanwhile, and is complete when this ends.
pub async fn watch(mut run: Run, plan: Arc<Plan>, ground: Ground, logs: Arc<LogFiles>) -> Exit {
    let (running, over) = oneshot::channel::<()>();
    let monitored = async {
        let status = monitored_end(&mut run).await;
        drop(running);
        status
    };
    let rotated = rotation::keep(plan.log_bounds, &logs, &plan.places.bundle, &ground.changes, over);
    let (status, ()) = futures::join!(monitored, rotated);
    let code = match status.as_ref().map(std::process::ExitStatus::code) {
        // One that ends while the container runs has ended for a reason of its own: a log that it cannot make anew, say.
        Ok(Some(code)) if !run.init.held.is_there() => code,
        _ => {
            log::warn!("{}: its conmon is gone ({status:?}); waiting for the container itself", plan.name);
            unwatched_end(&run.init).await.code
        }
    };
    // Asked now, before the cgroup is deleted. conmon's own watch cannot be leant on: it takes an inotify instance per
    // container, of which a host has few.
    Exit { code, oom: ground.cgroups.oom_killed(&plan.places.cgroup) }
}

/// The end of conmon. One that stays when its container has gone is hung, and is not waited for.
async fn monitored_end(run: &mut Run) -> std::io::Result<std::process::ExitStatus> {
    let held = run.init.held.clone();
    let hung = async {
        held.ended().await;
        tokio::time::sleep(CONMON_PATIENCE).await;
    };
    tokio::select! {
        status = run.monitor.ended() => return status,
        () = hung => log::warn!("a conmon stays though its container has ended; it is killed"),
    }
    run.monitor.kill().await
}

/// The end of a container whose conmon is gone: it then became our child, as we are the subreaper.
pub async fn unwatched_end(init: &Init) -> Exit {
    init.held.ended().await;
    match waitid(Id::Pid(nix::unistd::Pid::from_raw(init.pid)), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
        Ok(WaitStatus::Exited(_, code)) => Exit { code, oom: false },
        Ok(WaitStatus::Signaled(_, signal, _)) => Exit { code: 128 + signal as i32, oom: false },
        other => {
            log::warn!("the exit status of process {} is lost: {other:?}", init.pid);
            LOST
        }
    }
}

/// Changes the limits of a container that runs.
pub async fn limit(limits: Limits, plan: Arc<Plan>, ground: Ground) -> Result<(), Refusal> {
    let cgroups = (*ground.cgroups).clone();
    beside(move || {
        cgroups.set_limits(&plan.places.cgroup, &limits).map_err(|e| match e.raw_os_error() {
            Some(nix::libc::EBUSY) => {
                Refusal::wrong_state("it uses more memory than that, and too little can be freed")
            }
            _ => Refusal::io("the cgroup's limits", &e),
        })
    })
    .await
}

/// Frees what a run held that others may wait for: address, ports, mount. What is left comes back, for [`reap`].
pub async fn release(journal: SharedJournal, mark: usize, ground: Ground) -> Vec<Step> {
    let steps = journal.borrow_mut().take_back(mark);
    let (first, rest): (Vec<_>, Vec<_>) =
        steps.into_iter().partition(|step| matches!(step, Step::Attachment { .. } | Step::Mount { .. }));
    // Side by side: neither needs the other, and every process of the container has ended.
    let undone = first.into_iter().map(|step| undo::all(vec![step], &ground));
    let failed = futures::future::join_all(undone).await.concat();
    [rest, failed].concat()
}

/// Has the runtime forget the run.
pub async fn reap(rest: Vec<Step>, journal: SharedJournal, ground: Ground) {
    // What fails stays on record, for the removal or the sweep of the next start.
    let failed = undo::all(rest, &ground).await;
    journal.borrow_mut().settle(failed);
}

/// Removes everything that is left, the journal last. False where something could not be removed, which stays on record.
pub async fn free(journal: &SharedJournal, ground: &Ground) -> bool {
    let steps = journal.borrow_mut().take_back(0);
    let failed = undo::all(steps, ground).await;
    let is_free = failed.is_empty();
    let mut journal = journal.borrow_mut();
    match is_free {
        true => journal.remove(),
        false => journal.settle(failed),
    }
    is_free
}

/// Makes the container's directories.
pub async fn prepare(plan: Arc<Plan>, journal: SharedJournal) -> Result<(), Refusal> {
    for path in [&plan.places.data, &plan.places.bundle] {
        journal.borrow_mut().record(Step::Tree { path: path.clone() })?;
    }
    fault::panic_at("work-prepare");
    beside(move || {
        rootfs::prepare(&plan.lower_dir, &plan.places)?;
        volumes::prepare(&plan.binds, &plan.lower_dir)
    })
    .await
}
