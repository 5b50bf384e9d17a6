//! The parts of the comparison. In each the engines take turns, so that what disturbs the machine disturbs all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::arena::{Arena, CGROUP, done};
use super::engine::{Engine, IMAGE};
use super::numbers::median;
use super::processes::Taken;
use super::registry::Registry;
use super::results::Results;
use super::settings::Settings;
use super::wrk::{self, Wrk};

/// What a part is given.
pub struct Stage<'a> {
    /// The bounds.
    pub settings: &'a Settings,
    /// The place.
    pub arena: &'a Arena,
    /// The engines, which run.
    pub engines: &'a mut [Box<dyn Engine>],
    /// Where samples go.
    pub results: &'a mut Results,
}

/// A part of the comparison.
type Part = fn(&mut Stage<'_>);

/// All parts in their order: `idle` is before anything ran.
pub const ALL: [(&str, Part); 6] =
    [("idle", idle), ("run", run), ("fifty", fifty), ("many", many), ("traffic", traffic), ("pull", pull)];

/// How many containers are started by one client, and by four.
const FIFTY: usize = 50;
/// The port of the host that traffic goes to.
const PORT: u16 = 18080;
/// What lets a machine come to rest: what is done behind a reply is over by then.
const REST: Duration = Duration::from_millis(100);
/// The same for memory: threads and caches without work go.
const LONG_REST: Duration = Duration::from_secs(12);

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// The memory of engines that have nothing to do.
fn idle(stage: &mut Stage<'_>) {
    for engine in stage.engines.iter_mut() {
        engine.spare_daemon();
    }
    std::thread::sleep(LONG_REST);
    for engine in stage.engines.iter() {
        let taken = Taken::now(engine.network());
        stage.results.add(engine.name(), "idle, PSS of its processes", "MiB", mib(taken.overhead()));
    }
    if let Some(podman) = stage.engines.iter_mut().find(|engine| engine.name() == "podman") {
        // The service was there for this alone.
        podman.stop();
    }
}

/// One container at a time, by the client: a whole run, and its steps apart.
fn run(stage: &mut Stage<'_>) {
    let crun = Crun::prepare(stage.arena);
    for _ in 0..stage.settings.runs {
        for engine in stage.engines.iter() {
            std::thread::sleep(REST);
            let took = engine.timed(&engine.run_true());
            stage.results.add(engine.name(), "run --rm true", "ms", ms(took));
        }
        std::thread::sleep(REST);
        stage.results.add("crun", "run --rm true", "ms", ms(crun.run()));
    }
    let steps: [(&str, &[&str]); 3] = [("start", &["start"]), ("stop -t 0", &["stop", "-t", "0"]), ("rm", &["rm"])];
    for _ in 0..stage.settings.runs {
        for engine in stage.engines.iter() {
            std::thread::sleep(REST);
            stage.results.add(engine.name(), "create", "ms", ms(engine.timed(&engine.sleeper("job"))));
            for (what, words) in steps {
                let words = words.iter().chain(&["job"]).map(|word| (*word).to_owned()).collect::<Vec<_>>();
                stage.results.add(engine.name(), what, "ms", ms(engine.timed(&words)));
            }
        }
    }
}

/// Fifty servers in the background, by one client after another and by four beside each other.
fn fifty(stage: &mut Stage<'_>) {
    for _ in 0..stage.settings.batches {
        for clients in [1, 4] {
            for engine in stage.engines.iter() {
                let names = names(FIFTY);
                std::thread::sleep(REST);
                let began = Instant::now();
                start_all(&**engine, &names, clients);
                let took = began.elapsed().as_secs_f64();
                let beside = if clients == 1 { "by one client" } else { "by four clients" };
                stage.results.add(engine.name(), &format!("50 httpd {beside}"), "s", took);
                engine.remove(&names);
            }
        }
    }
}

/// Very many servers: how long each takes to start as they become more, and what each costs in memory.
fn many(stage: &mut Stage<'_>) {
    let count = stage.settings.containers;
    for engine in stage.engines.iter() {
        std::thread::sleep(LONG_REST);
        let before = Taken::now(engine.network());
        let names = names(count);
        let (first, rest) = names.split_at(names.len().min(10));
        let (most, last) = rest.split_at(rest.len().saturating_sub(10));
        let early = start_all(&**engine, first, 1);
        let mut times = early.clone();
        times.extend(start_all(&**engine, most, 4));
        let late = start_all(&**engine, last, 1);
        times.extend(&late);
        let name = engine.name();
        stage.results.add(name, "start of the first of many", "ms", median(&early));
        stage.results.add(name, "start of the last of many", "ms", median(&late));
        stage.results.add(name, "its ratio to the first", "", median(&late) / median(&early));
        std::thread::sleep(LONG_REST);
        let taken = Taken::now(engine.network());
        let each = |kib: u64| kib as f64 / count as f64;
        let grown = taken.overhead().saturating_sub(before.overhead());
        stage.results.add(name, "memory for each running container", "KiB", each(grown));
        let monitors = taken.monitors.pss.saturating_sub(before.monitors.pss);
        stage.results.add(name, "of that in conmon, shims and proxies", "KiB", each(monitors));
        for _ in 0..stage.settings.batches {
            let took = engine.timed(&["ps".to_owned()]);
            stage.results.add(name, "ps of all", "ms", ms(took));
        }
        std::fs::write(stage.settings.out.join(format!("many-{name}.json")), serde_json::to_vec(&times).unwrap())
            .unwrap();
        engine.remove(&names);
    }
}

/// Requests through a published port of 127.0.0.1.
fn traffic(stage: &mut Stage<'_>) {
    let web = ["web".to_owned()];
    for engine in stage.engines.iter() {
        engine.timed(&engine.httpd("web", Some(PORT)));
        engine.network().inside(|| wrk::await_page(PORT));
    }
    for _ in 0..stage.settings.batches {
        for engine in stage.engines.iter() {
            std::thread::sleep(REST);
            let seen = engine.network().inside(|| Wrk::new(1, 8, stage.settings.traffic).against(PORT, 1));
            stage.results.add_more(engine.name(), "requests through a published port", "a second", seen.rate);
            stage.results.add(engine.name(), "their latency, median", "ms", seen.p50);
            stage.results.add(engine.name(), "their latency, 99 of 100", "ms", seen.p99);
        }
    }
    for engine in stage.engines.iter() {
        engine.remove(&web);
    }
}

/// A large image from a registry on loopback.
fn pull(stage: &mut Stage<'_>) {
    let store = Registry::fill(stage.arena, stage.settings.pull);
    for _ in 0..stage.settings.batches {
        for engine in stage.engines.iter() {
            let registry = engine.network().inside(|| Registry::start(stage.arena, &store));
            let reference = registry.reference();
            let took = engine.timed(&engine.pull(&reference));
            let what = format!("pull of {} MiB", stage.settings.pull);
            stage.results.add(engine.name(), &what, "s", took.as_secs_f64());
            engine.done(&["rmi".to_owned(), reference]);
        }
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("web{number}")).collect()
}

/// Starts a server for each name, by so many clients beside each other; what each took, in milliseconds.
pub fn start_all(engine: &dyn Engine, names: &[String], clients: usize) -> Vec<f64> {
    let next = AtomicUsize::new(0);
    let client = || {
        let mut times = Vec::new();
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            times.push(ms(engine.timed_here(&engine.httpd(name, None))));
        }
        times
    };
    std::thread::scope(|scope| {
        let playing: Vec<_> = (0..clients).map(|_| scope.spawn(|| engine.network().inside(client))).collect();
        playing.into_iter().flat_map(|one| one.join().unwrap()).collect()
    })
}

/// crun by itself: what every engine stands on, or would.
struct Crun(std::path::PathBuf);

impl Crun {
    fn prepare(arena: &Arena) -> Self {
        let bundle = arena.disk("crun");
        let _ = std::fs::remove_file(bundle.join("config.json"));
        done(std::process::Command::new("crun").arg("spec").current_dir(&bundle));
        let file = bundle.join("config.json");
        let mut spec: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        spec["root"]["path"] = serde_json::json!(arena.rootfs());
        spec["process"]["terminal"] = serde_json::json!(false);
        spec["process"]["args"] = serde_json::json!(["true"]);
        spec["linux"]["cgroupsPath"] = serde_json::json!(format!("/{CGROUP}-crun/{IMAGE}"));
        std::fs::write(file, spec.to_string()).unwrap();
        Self(bundle)
    }

    fn run(&self) -> Duration {
        let mut command = std::process::Command::new("crun");
        command.args(["--root", "/run/versus/crun", "run", "--bundle"]).arg(&self.0).arg("alone");
        let began = Instant::now();
        done(&mut command);
        began.elapsed()
    }
}
