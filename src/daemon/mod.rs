//! The daemon's life: lock what is ours, sweep what a dead run left, start the actors, serve, drain, leave the host as it
//! was found.

mod admit;
mod doors;
mod leave;
mod locks;
mod manager;
mod namespace;
mod scrape;
mod sweep;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::stat::{Mode, umask};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, Semaphore};

use crate::cgroup::Cgroups;
use crate::changes::Changes;
use crate::config::Config;
use crate::container::mount_points;
use crate::engine::{Engine, Sampler};
use crate::events::{Bus, Kind};
use crate::images::ImageStore;
use crate::link::Post;
use crate::memory;
use crate::network::{self, Network};
use crate::oom;
use crate::outbox::Postage;
use crate::refusal::Refusal;
use crate::supervisor::{Grounds, Supervisor};
use crate::tools::crun::Crun;
use crate::tools::{Tools, orphans, spawn};
use crate::undo::Ground;
use crate::verbs;
use crate::volumes::Volumes;
use crate::worker;

/// The stacks of workers, in bytes: they make system calls, and nothing deep.
const WORKER_STACK: usize = 256 << 10;
/// How many tasks have their turn before the kernel is asked what else has happened: a new client waits for no more.
const TASKS_A_LOOK: u32 = 16;
/// How many threads may copy containers' files at once, and how many look through them, beside those.
const WALKERS: usize = 16;

/// Where things of this run lie.
struct Dirs {
    run: PathBuf,
    root: PathBuf,
}

impl Dirs {
    fn of(config: &Config) -> Self {
        Self { run: config.run.clone(), root: config.root.clone() }
    }

    /// Journals of containers.
    fn journals(&self) -> PathBuf {
        self.run.join("journals")
    }

    /// Bundles of containers.
    fn bundles(&self) -> PathBuf {
        self.run.join("bundles")
    }

    /// Which boot of the machine the journals are of.
    fn boot(&self) -> PathBuf {
        self.run.join("boot")
    }

    /// crun's state.
    fn crun(&self) -> PathBuf {
        self.run.join("crun")
    }

    /// Writable layers and logs of containers.
    fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// What lies below every container's files.
    fn mount_points(&self) -> PathBuf {
        self.root.join("mount-points")
    }

    /// Named volumes, which outlive us.
    fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }
}

/// Runs the daemon to its end. To be called before any thread is made, as it changes the process's mount namespace.
pub fn run(config: Config) -> Result<(), Refusal> {
    let began = Instant::now();
    let given = manager::Given::take(&config)?;
    prepare_process()?;
    oom::protect();
    memory::guard(Cgroups::discover().ok().and_then(|cgroups| cgroups.own_memory_limit()));
    let runtime = runtime()?;
    let lived = runtime.block_on(live(config, given, began));
    leave::end_without_workers();
    lived
}

/// Prints what the verb `check` prints. True where this host is fit.
pub fn check(config: &Config) -> Result<bool, Refusal> {
    prepare_process()?;
    let cgroups = Cgroups::discover().map_err(|e| Refusal::io("the mount table", &e))?;
    let tools = Tools::new(config.tools.clone());
    let findings = runtime()?.block_on(verbs::findings(config, &tools, &cgroups));
    print!("{}", verbs::report(&findings));
    Ok(findings.iter().all(|finding| finding.ok))
}

/// What must be so of the process before it has threads.
fn prepare_process() -> Result<(), Refusal> {
    namespace::enter()?;
    // A container whose conmon was killed becomes our child, so that its exit status is not lost.
    nix::sys::prctl::set_child_subreaper(true).map_err(|e| Refusal::errno("becoming the subreaper", e))?;
    raise_descriptor_limit();
    // Whoever started us may have had another; files in containers' directories have the modes that are asked for.
    umask(Mode::from_bits_truncate(0o022));
    Ok(())
}

/// As many descriptors as we may have: each client and each published port takes one.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(e) = raised {
        log::warn!("the limit of open descriptors stays as it is: {e}");
    }
}

fn runtime() -> Result<actix_rt::SystemRunner, Refusal> {
    let made = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(TASKS_A_LOOK)
        .max_blocking_threads(worker::WORKERS)
        .thread_stack_size(WORKER_STACK)
        .build();
    let runtime = made.map_err(|e| Refusal::io("the runtime", &e))?;
    let mut runtime = Some(runtime);
    // Called once, on this thread.
    Ok(actix_rt::System::with_tokio_rt(move || {
        runtime.take().unwrap_or_else(|| unreachable!("one system, one runtime"))
    }))
}

async fn live(config: Config, given: manager::Given, began: Instant) -> Result<(), Refusal> {
    let dirs = Dirs::of(&config);
    let _locks = locks::take(&config)?;
    let doors = doors::Doors::claim(&config, given)?;
    make_dirs(&dirs)?;
    sweep::discard_other_boots(&dirs)?;
    // Heard from here on, so that none ends us half-way.
    let signals = Signals::listen()?;
    orphans::keep_reaping().map_err(|e| Refusal::io("signals of ended processes", &e))?;
    let (bus, tools) = (Bus::default(), Tools::new(config.tools.clone()));
    let network = Network::start(&config, &tools, bus.clone()).await?;
    let basis = Basis { bus, tools, network: network.clone() };
    let served = serve(config, &dirs, began, basis, doors, signals).await;
    if served.is_err() {
        // What was brought up comes down, whatever failed behind it.
        if let Err(e) = network.send_surely(network::Close).await {
            log::error!("the network could not be taken down: {e:?}");
        }
    }
    served
}

/// What everything else stands on.
struct Basis {
    bus: Bus,
    tools: Tools,
    network: Post<Network>,
}

/// Sweeps, serves and leaves.
async fn serve(
    config: Config,
    dirs: &Dirs,
    began: Instant,
    basis: Basis,
    doors: doors::Doors,
    mut signals: Signals,
) -> Result<(), Refusal> {
    Volumes::sweep(&dirs.volumes());
    let engine = Rc::new(start(config, dirs, began, basis).await?);
    sweep::containers(dirs, &engine.ground, &engine.config).await;
    let scrapes = match engine.config.metrics_listen {
        Some(address) => Some(scrape::serve(address, &engine).await?),
        None => None,
    };
    let closing = doors.open(&engine)?;
    log::info!("gantryd {} listens on {}", env!("CARGO_PKG_VERSION"), engine.config.socket.display());
    engine.bus.publish(Kind::Daemon, "gantryd", "start", Vec::new());
    manager::ready(&engine.config);
    // What a start takes, most of it for the command line and the sweep, is not needed again.
    memory::trim();
    tokio::select! {
        () = signals.next() => log::info!("asked to end; stopping the containers (again: at once)"),
        () = engine.leave.notified() => log::info!("shut down by a client"),
    }
    manager::stopping();
    closing.stop_accepting();
    if let Some(scrapes) = scrapes {
        scrapes.abort();
    }
    leave::stop_containers(&engine, dirs, &mut signals).await;
    leave::close_images(&engine).await;
    closing.end_sessions().await;
    leave::restore(&engine, dirs).await;
    Ok(())
}

/// Has the tools live elsewhere, where the daemon has a limit of memory: they would use up what is its own.
fn keep_tools_apart(cgroups: &Cgroups, config: &Config) {
    if cgroups.own_memory_limit().is_some() {
        match cgroups.helpers(&config.cgroup_parent()) {
            Ok(helpers) => spawn::keep_apart(helpers),
            Err(e) => log::warn!("tools are counted against the daemon's own limit of memory: {e}"),
        }
    }
}

/// Starts the actors above the network, those below first.
async fn start(config: Config, dirs: &Dirs, began: Instant, basis: Basis) -> Result<Engine, Refusal> {
    let Basis { bus, tools, network } = basis;
    let cgroups = Cgroups::discover().map_err(|e| Refusal::io("the mount table", &e))?;
    let images = ImageStore::start(&config, &tools, bus.clone()).await?;
    keep_tools_apart(&cgroups, &config);
    let crun = Crun::new(tools.clone(), dirs.crun());
    let ground = Ground { tools, crun, network, cgroups: Rc::new(cgroups), changes: Changes::start() };
    let grounds = Grounds {
        data: dirs.containers(),
        bundles: dirs.bundles(),
        mount_points: dirs.mount_points(),
        journals: dirs.journals(),
        volumes: dirs.volumes(),
        cgroup: config.cgroup_parent(),
        stop_timeout: config.stop_timeout,
        log_bounds: config.log_bounds,
    };
    let volumes = Volumes::new(&dirs.volumes(), bus.clone());
    let supervisor = Supervisor::begin(grounds, ground.clone(), bus.clone());
    Ok(Engine {
        config,
        bus,
        supervisor,
        images,
        volumes,
        ground,
        execs: Rc::default(),
        sampler: Sampler::default(),
        postage: Rc::new(Postage::new(doors::WAITING_MAX)),
        measuring: Arc::default(),
        walkers: Arc::new(Semaphore::new(WALKERS)),
        lookers: Arc::new(Semaphore::new(WALKERS)),
        began,
        leave: Notify::new(),
    })
}

fn make_dirs(dirs: &Dirs) -> Result<(), Refusal> {
    for dir in [dirs.journals(), dirs.bundles(), dirs.crun(), dirs.containers(), dirs.volumes()] {
        make_dir(&dir, 0o700)?;
    }
    mount_points::make(&dirs.mount_points())
}

fn make_dir(dir: &Path, mode: u32) -> Result<(), Refusal> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(|e| Refusal::io(dir.display(), &e))
}

/// The signals that ask the daemon to end; a hang-up is that of the terminal it was started from.
struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self, Refusal> {
        let listen = |kind| signal(kind).map_err(|e| Refusal::io("listening to signals", &e));
        Ok(Self {
            term: listen(SignalKind::terminate())?,
            int: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
