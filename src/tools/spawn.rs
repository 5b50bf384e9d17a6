//! The thread that starts processes. Forking takes a daemon a millisecond or more, and whoever forks waits until the
//! program is executed: not the thread that serves everyone.
//!
//! The kernel takes the end of the *thread* that forked for the parent's (prctl(2), `PR_SET_PDEATHSIG`), so that this one
//! ends with the daemon's only.
//!
//! A command without `pre_exec` is started by posix_spawn(3), which copies no page tables, and holds up no other thread: a
//! fork has every thread that allocates wait until it is done. Descriptors for the child are therefore left to it by
//! number rather than moved.

use std::cell::OnceCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use rustix::io::{FdFlags, fcntl_setfd};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::process::start_time;
use crate::cgroup::helpers::Helpers;
use crate::oom;

/// How many starts wait for the thread; who comes then waits to be let in.
const QUEUE: usize = 16;
/// The thread's stack in bytes: it does little.
const STACK: usize = 256 << 10;

/// A start that somebody waits for.
struct Job {
    command: Command,
    inherited: Vec<OwnedFd>,
    runtime: Handle,
    asker: oneshot::Sender<io::Result<Child>>,
}

/// Starts `command`. What it held for the child, such as descriptors, is dropped by the time this is answered.
pub async fn spawn(command: Command) -> io::Result<Child> {
    spawn_inheriting(command, Vec::new()).await
}

/// The same, with descriptors that the child has under the numbers that they have here.
pub async fn spawn_inheriting(command: Command, inherited: Vec<OwnedFd>) -> io::Result<Child> {
    let (asker, answer) = oneshot::channel();
    let job = Job { command, inherited, runtime: Handle::current(), asker };
    queue()?.send(job).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

fn gone() -> io::Error {
    io::Error::other("the thread that starts processes is gone")
}

/// The way to the thread, which is begun with the first start. Each thread that asks has one of its own, in the same
/// namespaces and ending with it; a daemon has one that asks.
fn queue() -> io::Result<mpsc::Sender<Job>> {
    thread_local! {
        static WAY: OnceCell<mpsc::Sender<Job>> = const { OnceCell::new() };
    }
    WAY.with(|known| {
        if let Some(way) = known.get() {
            return Ok(way.clone());
        }
        let (way, jobs) = mpsc::channel(QUEUE);
        std::thread::Builder::new().name("spawn".into()).stack_size(STACK).spawn(|| serve(jobs))?;
        Ok(known.get_or_init(|| way).clone())
    })
}

fn serve(mut jobs: mpsc::Receiver<Job>) {
    while let Some(Job { mut command, inherited, runtime, asker }) = jobs.blocking_recv() {
        let _inside = runtime.enter();
        let started = start(&mut command, inherited);
        drop(command);
        // Nobody waits for it any more, and nobody would end it.
        if let Err(Ok(mut child)) = asker.send(started) {
            let _ = child.start_kill();
        }
    }
}

/// A process that was started here, told from a later one of the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its pid.
    pub pid: i32,
    /// When it was started: field 22 of `/proc/PID/stat`.
    pub since: u64,
}

/// Every process that was started here and may be there yet. Held while one is being started: a descriptor is open then
/// to whatever is started, and no other start may come in between.
static STARTED: Mutex<Vec<Started>> = Mutex::new(Vec::new());

/// What was started here, and perhaps more that has gone, which whoever asks may strike out. None while a start is under
/// way.
pub fn started() -> Option<MutexGuard<'static, Vec<Started>>> {
    match STARTED.try_lock() {
        Ok(started) => Some(started),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Registers the child that `fork` makes, as what is started here is: whoever made it may wait for it.
pub fn registered(fork: impl FnOnce() -> io::Result<Pid>) -> io::Result<Pid> {
    let mut all = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    let child = fork()?;
    // Not reaped yet by anybody, so that its times are there to be read.
    all.extend(start_time(child.as_raw()).map(|since| Started { pid: child.as_raw(), since }));
    Ok(child)
}

/// Where what is started here is put, if not where the daemon is.
static HELPERS: OnceLock<Helpers> = OnceLock::new();

/// Has what is started from now on live in a cgroup of its own.
pub fn keep_apart(helpers: Helpers) {
    // A process has one daemon.
    let _ = HELPERS.set(helpers);
}

/// What is the daemon's own is not for what it has started: its cgroup, and its protection from the OOM killer.
fn set_apart(pid: i32) {
    let moved = HELPERS.get().map_or(Ok(()), |helpers| helpers.take(pid));
    let exposed = oom::expose(pid);
    for (what, done) in [("its cgroup", moved), ("its oom_score_adj", exposed)] {
        match done {
            Err(e) if !has_ended(&e) => log::warn!("process {pid}: {what}: {e}"),
            _ => {}
        }
    }
}

/// Whether an error says that the process has ended already: a short one may, before it is set apart.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ESRCH)
}

/// A limit of address space that was set on the daemon is not meant for what it starts: tools written in Go map a great
/// deal that they never touch. As far as that goes: nobody may have more than the hard limit.
#[expect(unsafe_code, reason = "nothing else is run between fork and exec")]
fn unlimited(command: &mut Command) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_AS) else { return };
    if soft != hard {
        // SAFETY: setrlimit(2) is async-signal-safe, and nothing is allocated.
        unsafe { command.pre_exec(move || Ok(setrlimit(Resource::RLIMIT_AS, hard, hard)?)) };
    }
}

fn start(command: &mut Command, inherited: Vec<OwnedFd>) -> io::Result<Child> {
    let mut all = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    for fd in &inherited {
        fcntl_setfd(fd, FdFlags::empty())?;
    }
    unlimited(command);
    let started = command.spawn();
    drop(inherited);
    // Not reaped yet by anybody, so that its times are there to be read.
    let pid = started.as_ref().ok().and_then(Child::id).and_then(|pid| i32::try_from(pid).ok());
    all.extend(pid.and_then(|pid| Some(Started { pid, since: start_time(pid)? })));
    drop(all);
    pid.into_iter().for_each(set_apart);
    started
}
