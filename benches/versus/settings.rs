//! What the environment says of a run.

use std::path::PathBuf;
use std::time::Duration;

/// The bounds of a run, and where its files go.
pub struct Settings {
    /// Which parts; all where empty.
    pub parts: Vec<String>,
    /// Which engines, in the order of their turns.
    pub engines: Vec<String>,
    /// Rounds of what is short.
    pub runs: usize,
    /// Rounds of what is long.
    pub batches: usize,
    /// How many containers are many.
    pub containers: usize,
    /// How long a round of traffic is.
    pub traffic: Duration,
    /// The size of the image that is pulled, in MiB.
    pub pull: usize,
    /// Where gantryd and gantry are.
    pub bin: PathBuf,
    /// Whether the table goes into README.md.
    pub readme: bool,
    /// How long the suite of httpd containers takes in all.
    pub suite: Duration,
    /// How many containers the suite has.
    pub suite_containers: usize,
    /// Where results go.
    pub out: PathBuf,
}

impl Settings {
    /// Reads the environment.
    pub fn read() -> Self {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_gantryd"));
        let hours: f64 = value("HOURS", 0.5);
        Self {
            parts: words("VERSUS_PARTS", ""),
            engines: words("VERSUS_ENGINES", "gantry docker podman"),
            runs: value("VERSUS_RUNS", 20),
            batches: value("VERSUS_BATCHES", 3),
            containers: value("VERSUS_CONTAINERS", 500),
            traffic: Duration::from_secs(value("VERSUS_SECONDS", 10)),
            pull: value("VERSUS_PULL_MB", 200),
            bin: std::env::var_os("VERSUS_BIN").map_or(built.parent().unwrap().to_owned(), PathBuf::from),
            readme: std::env::var("VERSUS_README").is_ok_and(|value| value == "yes"),
            suite: Duration::from_secs_f64(hours * 3600.0),
            suite_containers: value("SUITE_CONTAINERS", 20),
            out: repository().join("target/versus"),
        }
    }

    /// Whether a part is to be measured.
    pub fn has(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|one| one == part)
    }
}

/// The repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn words(name: &str, default: &str) -> Vec<String> {
    let text = std::env::var(name).unwrap_or_else(|_| default.to_owned());
    text.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn value<T: std::str::FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().ok().unwrap_or_else(|| panic!("{name}={text}: not a number")),
        _ => default,
    }
}
