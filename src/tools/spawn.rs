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
use std::sync::{Mutex, PoisonError};

use rustix::io::{FdFlags, fcntl_setfd};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

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

fn start(command: &mut Command, inherited: Vec<OwnedFd>) -> io::Result<Child> {
    /// Held while a descriptor is open to whatever is started: no other start comes in between.
    static STARTING: Mutex<()> = Mutex::new(());
    let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    for fd in &inherited {
        fcntl_setfd(fd, FdFlags::empty())?;
    }
    let started = command.spawn();
    drop(inherited);
    started
}
