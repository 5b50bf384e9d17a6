//! More processes in a container: started, kept track of until a minute after their end, signalled.
//!
//! An exec belongs to nobody's connection: its output is read for as long as it runs, and dropped where nobody wants it.

mod input;
mod output;
mod process;
mod register;
pub mod split;

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

pub use self::output::{Chunk, Output};
pub use self::process::Wishes;
pub use self::register::Execs;
use super::feed::Feed;
use super::plan::Plan;
use crate::id::{ExecId, Name, Signal};
use crate::refusal::Refusal;
use crate::tools::exec;
pub use crate::tools::exec::Streams;
use crate::tools::process::Held;
use crate::tools::terminal::Size;
use crate::undo::Ground;

/// How an exec ended.
#[derive(Clone, Debug)]
pub struct Exit {
    /// The exit code, or 128 and the signal.
    pub code: i32,
    /// It was killed, and the OOM killer was about in its container meanwhile.
    pub oom: bool,
    at: Instant,
}

/// How an exec ended, once it has; an error where it turned out that it could not be executed.
type End = Option<Result<Exit, Refusal>>;

/// One more process in a container.
pub struct Exec {
    /// Its id.
    pub id: ExecId,
    /// The container it runs in.
    pub container: Name,
    /// Its process in the daemon's pid namespace, until its end.
    pub pid: i32,
    held: RefCell<Option<Rc<Held>>>,
    terminal: RefCell<Option<OwnedFd>>,
    end: watch::Receiver<End>,
}

impl Exec {
    /// Waits for its end.
    pub async fn ended(&self) -> Result<Exit, Refusal> {
        let mut end = self.end.clone();
        let gone = || Refusal::internal("nobody waits for this process any more");
        let ended = end.wait_for(Option::is_some).await.map_err(|_| gone())?;
        ended.clone().unwrap_or_else(|| Err(gone()))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Refusal> {
        match &*self.held.borrow() {
            Some(held) => held.signal(signal).map_err(|e| Refusal::io(format_args!("signal {signal}"), &e)),
            None => Err(Refusal::wrong_state("it is not running")),
        }
    }

    /// Gives its terminal a size.
    pub fn resize(&self, size: Size) -> Result<(), Refusal> {
        if self.held.borrow().is_none() {
            return Err(Refusal::wrong_state("it is not running"));
        }
        match &*self.terminal.borrow() {
            Some(terminal) => size.apply(terminal).map_err(|e| Refusal::io("the terminal's size", &e)),
            None => Err(Refusal::wrong_state("it has no terminal")),
        }
    }

    fn ended_at(&self) -> Option<Instant> {
        self.end.borrow().as_ref().map(|end| end.as_ref().map_or_else(|_| Instant::now(), |exit| exit.at))
    }
}

/// Executes what `wishes` say in the container of `plan`. Answered when the program runs; the last of the three must be
/// driven to its end.
pub async fn start(
    plan: Arc<Plan>,
    wishes: Wishes,
    feed: Option<Feed>,
    ground: Ground,
) -> Result<(Exec, Output, impl Future<Output = ()>), Refusal> {
    let id = ExecId::random()?;
    let asked = process::asked(plan.clone(), wishes, (*ground.cgroups).clone()).await?;
    let oom_kills = ground.cgroups.oom_kills(&plan.places.cgroup);
    let container = (plan.id.as_str(), plan.places.bundle.as_path());
    let mut running = exec::start(&ground.crun, container, asked).await?;
    let pid = running.pid;
    let (sender, end) = watch::channel(None);
    let io = running.take_io().ok_or_else(|| Refusal::internal("its streams are taken already"))?;
    let output = output::read(io.output, &end);
    if let Some(sink) = io.input {
        actix_rt::spawn(input::pour(feed, sink, io.terminal.is_some(), end.clone()));
    }
    let (held, terminal) = (RefCell::new(running.held.clone()), RefCell::new(io.terminal));
    let exec = Exec { id, container: plan.name.clone(), pid, held, terminal, end };
    let watch = async move {
        let ended = running.ended().await.map(|code| {
            let oom = code == 137 && ground.cgroups.oom_kills(&plan.places.cgroup) > oom_kills;
            Exit { code, oom, at: Instant::now() }
        });
        sender.send_replace(Some(ended));
    };
    Ok((exec, output, watch))
}

/// Forgets the process once it has ended.
async fn let_go_at_end(exec: Rc<Exec>, watch: impl Future<Output = ()>) {
    watch.await;
    exec.held.borrow_mut().take();
    exec.terminal.borrow_mut().take();
}
