//! What was measured: every sample, by measure and engine; kept as JSON, so that parts can be measured at another time.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::parts::ALL;
use super::settings::Settings;

/// All that was measured, and where.
#[derive(Default, Serialize, Deserialize)]
pub struct Results {
    /// The machine: processor, kernel, memory.
    pub machine: String,
    /// Engines, and what they run containers with.
    pub versions: BTreeMap<String, String>,
    /// For each part, the load of the machine when it began, and the date.
    pub loads: BTreeMap<String, String>,
    /// The measures, in their order.
    pub measures: Vec<Measure>,
    #[serde(skip)]
    file: PathBuf,
    #[serde(skip)]
    part: String,
}

/// One thing measured.
#[derive(Serialize, Deserialize)]
pub struct Measure {
    /// Of which part.
    pub part: String,
    /// What it is.
    pub what: String,
    /// In what.
    pub unit: String,
    /// Whether more is better.
    pub more: bool,
    /// The samples of each engine.
    pub samples: BTreeMap<String, Vec<f64>>,
}

impl Results {
    /// With what an earlier run saw, where only some parts are measured now.
    pub fn begin(settings: &Settings) -> Self {
        let file = settings.out.join("versus.json");
        let known = fs::read(&file).ok().filter(|_| !settings.parts.is_empty());
        let mut results: Self = known.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        results.file = file;
        results.machine = machine();
        results
    }

    /// Tells an engine's version.
    pub fn version(&mut self, engine: &str, version: &str) {
        self.versions.insert(engine.to_owned(), version.to_owned());
    }

    /// What follows is of this part, in place of what was known of it.
    pub fn begin_part(&mut self, part: &str) {
        self.part = part.to_owned();
        self.measures.retain(|measure| measure.part != part);
        self.loads.insert(part.to_owned(), load());
    }

    /// A sample more. Less is better.
    pub fn add(&mut self, engine: &str, what: &str, unit: &str, sample: f64) {
        self.measure(what, unit, false).entry(engine.to_owned()).or_default().push(sample);
    }

    /// A sample more. More is better.
    pub fn add_more(&mut self, engine: &str, what: &str, unit: &str, sample: f64) {
        self.measure(what, unit, true).entry(engine.to_owned()).or_default().push(sample);
    }

    fn measure(&mut self, what: &str, unit: &str, more: bool) -> &mut BTreeMap<String, Vec<f64>> {
        let at = |measures: &[Measure]| measures.iter().position(|measure| measure.what == what);
        if at(&self.measures).is_none() {
            let (part, what, unit) = (self.part.clone(), what.to_owned(), unit.to_owned());
            self.measures.push(Measure { part, what, unit, more, samples: BTreeMap::new() });
            // Parts have their order, whichever was measured last.
            self.measures.sort_by_key(|measure| ALL.iter().position(|(part, _)| *part == measure.part));
        }
        let at = at(&self.measures).unwrap();
        &mut self.measures[at].samples
    }

    /// Writes everything.
    pub fn save(&self) {
        fs::write(&self.file, serde_json::to_vec_pretty(self).unwrap()).unwrap();
    }
}

/// The load of the machine now, and the time.
pub fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now());
    format!("{} at {now}", load.split(' ').next().unwrap_or_default())
}

/// What this machine is.
pub fn machine() -> String {
    let field = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.split_once(':'))
            .map(|(_, value)| value.trim().to_owned());
        line.unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory: f64 = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let model = field("/proc/cpuinfo", "model name");
    format!("{cores} cores of {model}, {:.0} GiB, Linux {}", memory / (1024.0 * 1024.0), kernel.trim())
}
