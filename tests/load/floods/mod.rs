//! Floods: clients by the thousand that take all they can, each a task of one thread beside those who measure. Used by
//! `make floods` in full, and by the suite.

mod clients;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;

use futures::FutureExt;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local, yield_now};

use clients::{Client, Kind};

/// Descriptors that this process may need beside those of its floods.
const DESCRIPTORS: u64 = 2000;

/// Clients that all do the same.
pub struct Flood {
    /// What it is called.
    pub name: &'static str,
    /// What they do, for whoever reads the table.
    pub about: &'static str,
    /// How many there are of them.
    pub clients: usize,
    kind: Kind,
}

/// Every flood. Those that need a container find one that runs, called `box`.
pub const FLOODS: &[Flood] = &[
    flood("crowd", 5000, Kind::Crowd, "connected, every fifth has a ping under way all the time"),
    flood("listers", 1000, Kind::Lister, "each with a ps under way all the time"),
    flood("stampede", 100, Kind::Visitor, "connect, ping, hang up, again and again"),
    flood("pipeline", 4, Kind::Pipeline, "ping without waiting for any reply"),
    flood("deaf", 500, Kind::Deaf, "ask without end and never read"),
    flood("slow", 500, Kind::Slow, "ask without end and read 4 KiB at times"),
    flood("torn", 2000, Kind::Torn, "have sent 60 kB of a line and no more"),
    flood("half-closed", 2000, Kind::HalfClosed, "have ended their input while what they asked goes on"),
    flood("long-lines", 50, Kind::LongLines, "send lines of 1 MB"),
    flood("events", 104, Kind::Events, "a hundred hear of what four do 10,000 times a second"),
];

const fn flood(name: &'static str, clients: usize, kind: Kind, about: &'static str) -> Flood {
    Flood { name, about, clients, kind }
}

/// What has come of a flood so far.
#[derive(Default)]
pub struct Tally {
    /// How many clients were let in.
    pub connected: AtomicUsize,
    /// How many lines were answered or told; of those who hear nothing, how many they sent.
    pub lines: AtomicU64,
    /// How many clients were hung up on.
    pub ended: AtomicUsize,
}

/// A flood under way. Dropped, all its clients hang up at once.
pub struct Running {
    /// What has come of it so far.
    pub tally: Arc<Tally>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Flood {
    /// Has so many of its clients begin, all of which are connected then.
    pub fn begin(&self, socket: &Path, clients: usize) -> io::Result<Running> {
        allow_descriptors(clients as u64)?;
        let (socket, kind) = (socket.to_owned(), self.kind);
        let tally = Arc::<Tally>::default();
        let (stop, stopped) = oneshot::channel();
        let (all, all_in) = std::sync::mpsc::sync_channel(1);
        let shared = tally.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let flood = async {
                let connected = connect(socket, kind, clients, &shared).await;
                let _ = all.send(connected);
                let _ = stopped.await;
            };
            LocalSet::new().block_on(&runtime, flood);
            Ok(())
        });
        let running = Running { tally, stop: Some(stop), thread: Some(thread) };
        all_in.recv().map_err(|_| io::Error::other("no flood"))??;
        Ok(running)
    }
}

async fn connect(socket: PathBuf, kind: Kind, clients: usize, tally: &Arc<Tally>) -> io::Result<()> {
    for number in 0..clients {
        let client = Client::connect(&socket, number, tally)?;
        let tally = tally.clone();
        tally.connected.fetch_add(1, Relaxed);
        spawn_local(kind.play(client).map(move |_| tally.ended.fetch_add(1, Relaxed)));
        yield_now().await;
    }
    Ok(())
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Raises this process's limit of open descriptors as far as it goes, which must be as far as `clients` more need. No
/// further would take away what another test has raised meanwhile.
fn allow_descriptors(clients: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = clients + DESCRIPTORS;
    if wanted > hard {
        return Err(io::Error::other(format!(
            "{clients} clients need a hard limit of {wanted} descriptors, not {hard}"
        )));
    }
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
