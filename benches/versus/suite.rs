//! `make suite`: many httpd containers in each engine in turn, under requests all the time; memory, requests and processor
//! time as they go.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::arena::Arena;
use super::engine::Engine;
use super::numbers::{median, short, slope};
use super::plots::{self, Line};
use super::processes::Taken;
use super::results::{load, machine};
use super::settings::Settings;
use super::wrk::{self, Seen, Wrk};

/// The port of the first container; the others' follow.
const BASE: u16 = 18100;
/// Connections to each container.
const CONNECTIONS: usize = 2;
/// How long one round of requests is at most: what is measured of requests has this grain.
const ROUND: Duration = Duration::from_secs(30);
/// Memory is told to have a slope from here on: what grows at first is caches that fill.
const SETTLED: f64 = 0.25;

/// What was seen of one engine.
struct Course {
    engine: &'static str,
    memory: Vec<(f64, Taken)>,
    rounds: Vec<(f64, Seen)>,
    /// Processor time of the engine with its monitors, and of the containers.
    cpu: (Duration, Duration),
}

/// Plays the suite, prints what came of it, writes JSON and a plot.
pub fn run(settings: &Settings, arena: &Arena, engines: &mut [Box<dyn Engine>]) {
    let each = settings.suite / engines.len().max(1) as u32;
    let began = load();
    let mut courses = Vec::new();
    for engine in engines.iter_mut() {
        println!("{} with {} containers for {} s …", engine.name(), settings.suite_containers, each.as_secs());
        engine.start();
        engine.import(&arena.image_tar());
        courses.push(course(&**engine, settings.suite_containers, each));
        engine.stop();
    }
    let text = report(&courses, &began);
    print!("{text}");
    std::fs::write(settings.out.join("suite.txt"), text).unwrap();
    let document =
        json!({"machine": machine(), "load": began, "courses": courses.iter().map(Course::json).collect::<Vec<_>>()});
    std::fs::write(settings.out.join("suite.json"), document.to_string()).unwrap();
    plot(&courses, settings);
    println!("{} has it as JSON, with a plot", settings.out.display());
}

fn course(engine: &dyn Engine, count: usize, time: Duration) -> Course {
    let names: Vec<String> = (0..count).map(|number| format!("web{number}")).collect();
    for (name, port) in names.iter().zip(BASE..) {
        engine.timed(&engine.httpd(name, Some(port)));
        engine.network().inside(|| wrk::await_page(port));
    }
    let (over, before, began) = (AtomicBool::new(false), Taken::now(engine.network()), Instant::now());
    let sample = || {
        let mut memory = Vec::new();
        while !over.load(Ordering::Relaxed) {
            memory.push((began.elapsed().as_secs_f64(), Taken::now(engine.network())));
            std::thread::sleep(Duration::from_secs(1));
        }
        memory
    };
    let ask = || {
        let mut rounds = Vec::new();
        while began.elapsed() < time {
            let round = ROUND.min(time - began.elapsed().min(time)).max(Duration::from_secs(1));
            rounds.push((
                began.elapsed().as_secs_f64(),
                Wrk::new(count, count * CONNECTIONS, round).against(BASE, count),
            ));
        }
        rounds
    };
    let (memory, rounds) = std::thread::scope(|scope| {
        let sampling = scope.spawn(sample);
        let rounds = engine.network().inside(ask);
        over.store(true, Ordering::Relaxed);
        (sampling.join().unwrap(), rounds)
    });
    let after = Taken::now(engine.network());
    engine.remove(&names);
    let own = |taken: &Taken| taken.engine.cpu + taken.monitors.cpu;
    let cpu = (own(&after).saturating_sub(own(&before)), after.containers.cpu.saturating_sub(before.containers.cpu));
    Course { engine: engine.name(), memory, rounds, cpu }
}

impl Course {
    fn requests(&self) -> f64 {
        self.rounds.iter().map(|(_, seen)| seen.requests).sum()
    }

    /// Memory over time, in KiB, of a kind of its processes.
    fn line(&self, kind: impl Fn(&Taken) -> u64) -> Vec<(f64, f64)> {
        self.memory.iter().map(|(at, taken)| (*at, kind(taken) as f64)).collect()
    }

    /// How much of a kind's memory is gained in an hour once it has settled, in KiB.
    fn growth(&self, kind: impl Fn(&Taken) -> u64) -> f64 {
        let line = self.line(kind);
        let from = (line.len() as f64 * SETTLED) as usize;
        slope(&line[from..]) * 3600.0
    }

    fn json(&self) -> Value {
        let sample =
            |(at, taken): &(f64, Taken)| json!([at, taken.engine.pss, taken.monitors.pss, taken.containers.pss]);
        let round = |(at, seen): &(f64, Seen)| json!([at, seen.requests, seen.rate, seen.p50, seen.p99, seen.errors]);
        json!({
            "engine": self.engine,
            "memory: s, KiB PSS of engine, monitors, containers": self.memory.iter().map(sample).collect::<Vec<_>>(),
            "rounds: s, requests, a second, ms p50, ms p99, errors": self.rounds.iter().map(round).collect::<Vec<_>>(),
            "cpu s: engine with monitors, containers": [self.cpu.0.as_secs_f64(), self.cpu.1.as_secs_f64()],
        })
    }
}

fn report(courses: &[Course], load: &str) -> String {
    let mut text = format!("\n{:<46}", "");
    for course in courses {
        let _ = write!(text, "{:>14}", course.engine);
    }
    let mut row = |what: &str, value: &dyn Fn(&Course) -> f64| {
        let _ = write!(text, "\n{what:<46}");
        for course in courses {
            let _ = write!(text, "{:>14}", short(value(course)));
        }
    };
    let middle = |points: Vec<(f64, f64)>| median(&points.iter().map(|point| point.1).collect::<Vec<_>>());
    row("requests", &|course| course.requests());
    row("requests a second, median of rounds", &|course| {
        middle(course.rounds.iter().map(|(at, seen)| (*at, seen.rate)).collect())
    });
    row("latency p99, median of rounds, ms", &|course| {
        middle(course.rounds.iter().map(|(at, seen)| (*at, seen.p99)).collect())
    });
    row("errors", &|course| course.rounds.iter().map(|(_, seen)| seen.errors).sum());
    row("engine, KiB PSS, median", &|course| middle(course.line(|taken| taken.engine.pss)));
    row("conmon, shims and proxies, KiB PSS, median", &|course| middle(course.line(|taken| taken.monitors.pss)));
    row("containers, KiB PSS, median", &|course| middle(course.line(|taken| taken.containers.pss)));
    row("engine's growth, KiB an hour", &|course| course.growth(|taken| taken.engine.pss));
    row("growth of conmon, shims and proxies", &|course| course.growth(|taken| taken.monitors.pss));
    let million = |cpu: Duration, course: &Course| cpu.as_secs_f64() / course.requests().max(1.0) * 1e6;
    row("engine's CPU s for a million requests", &|course| million(course.cpu.0, course));
    row("containers' CPU s for a million requests", &|course| million(course.cpu.1, course));
    let _ = writeln!(text, "\n\nOn {}; load at the start {load}.", machine());
    text
}

fn plot(courses: &[Course], settings: &Settings) {
    let mib = |line: Vec<(f64, f64)>| line.into_iter().map(|(at, kib)| (at, kib / 1024.0)).collect::<Vec<_>>();
    let engine = |course: &Course| (format!("{} engine", course.engine), mib(course.line(|taken| taken.engine.pss)));
    let all = |course: &Course| (format!("{} with monitors", course.engine), mib(course.line(Taken::overhead)));
    let lines: Vec<Line> = courses.iter().flat_map(|course| [engine(course), all(course)]).collect();
    plots::lines(&settings.out.join("suite.svg"), "memory under requests", ("s", "MiB PSS"), &lines);
}
