//! `make versus` and `make suite`: gantry, docker and podman side by side on one machine, in one run.
//!
//! Everything happens in namespaces of processes, mounts and networks that end with this process, however that ends. What is
//! left is `target/versus/`: a table, JSON and plots. The environment bounds a run:
//!
//! | variable | what | default |
//! | --- | --- | --- |
//! | `VERSUS_PARTS` | which parts: `idle run fifty many traffic pull`; the others keep what an earlier run saw | all |
//! | `VERSUS_ENGINES` | which engines | `gantry docker podman` |
//! | `VERSUS_RUNS` | rounds of `run` | 20 |
//! | `VERSUS_BATCHES` | rounds of `fifty`, `traffic` and `pull` | 3 |
//! | `VERSUS_CONTAINERS` | containers of `many` | 500 |
//! | `VERSUS_SECONDS` | seconds of each round of `traffic` | 10 |
//! | `VERSUS_PULL_MB` | size of the image of `pull` | 200 |
//! | `VERSUS_BIN` | where `gantryd` and `gantry` are | those built beside |
//! | `VERSUS_README` | `yes`: the table is put into README.md | |
//! | `HOURS`, `SUITE_CONTAINERS` | of `suite`: how long in all, and how many containers | 0.5, 20 |
#![allow(
    clippy::disallowed_methods,
    reason = "a comparison starts engines and clients itself, and rests between rounds"
)]
#![allow(clippy::unwrap_used, reason = "a comparison that cannot measure ends there")]

mod arena;
mod docker;
mod engine;
mod gantry_engine;
mod numbers;
mod parts;
mod plots;
mod podman;
mod processes;
mod registry;
mod results;
mod settings;
mod suite;
mod table;
mod wrk;

use engine::Engine;
use results::Results;
use settings::Settings;

fn main() {
    let settings = Settings::read();
    arena::enter(&settings);
    let arena = arena::Arena::new(&settings);
    let mut engines = engines(&settings, &arena);
    if std::env::args().any(|arg| arg == "suite") {
        suite::run(&settings, &arena, &mut engines);
    } else {
        versus(&settings, &arena, &mut engines);
    }
}

/// Those that are compared; none of them runs yet.
fn engines(settings: &Settings, arena: &arena::Arena) -> Vec<Box<dyn Engine>> {
    let engine = |name: &String| -> Box<dyn Engine> {
        match name.as_str() {
            "gantry" => Box::new(gantry_engine::Gantry::new(settings, arena)),
            "docker" => Box::new(docker::Docker::new(arena)),
            "podman" => Box::new(podman::Podman::new(arena)),
            other => panic!("{other}: no such engine"),
        }
    };
    settings.engines.iter().map(engine).collect()
}

fn versus(settings: &Settings, arena: &arena::Arena, engines: &mut [Box<dyn Engine>]) {
    let mut results = Results::begin(settings);
    for engine in engines.iter_mut() {
        engine.start();
        engine.import(&arena.image_tar());
        results.version(engine.name(), &engine.version());
    }
    for (name, part) in parts::ALL {
        if settings.has(name) {
            println!("{name} …");
            results.begin_part(name);
            part(&mut parts::Stage { settings, arena, engines, results: &mut results });
            results.save();
        }
    }
    for engine in engines.iter_mut() {
        engine.stop();
    }
    print!("{}", table::plain(&results));
    plots::all(&results, &settings.out);
    table::write(&results, settings);
    println!("\n{} has the table, the figures as JSON, and plots", settings.out.display());
}
