//! What containers use: sampled when somebody asks, and once a second, by one timer for all, while somebody follows.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::Engine;
use crate::cgroup::Usage;
use crate::container::View;
use crate::id::ContainerId;
use crate::network::{self, Counters};

/// How often it is sampled while somebody follows.
const EVERY: Duration = Duration::from_secs(1);

/// A sample of one container.
#[derive(Clone)]
pub struct Sample {
    at: Instant,
    /// What its control group says; nothing where it does not run.
    pub usage: Usage,
    /// What went over its links; nothing where it has none.
    pub net: Option<Counters>,
    /// Percent of one CPU: since the sample before, or where there is none since the container was started.
    pub cpu_percent: Option<f64>,
}

/// A sample of every container, by name.
pub type Round = Arc<Vec<(Arc<View>, Sample)>>;

impl Sample {
    /// A few small reads from kernel filesystems, which never wait for a disk, and one question to the kernel.
    pub async fn take(view: &View, engine: &Engine, before: Option<&Self>) -> Self {
        let usage = match view.is_up() {
            true => engine.ground.cgroups.usage(&engine.cgroup_of(view)),
            false => Usage::default(),
        };
        let links = view.links();
        let net = match links.is_empty() {
            true => {
                // Nothing else is waited for, and there may be thousands of these.
                tokio::task::yield_now().await;
                None
            }
            // The links of a container that just ended are gone, which is no failure.
            false => network::counters(links).await.ok(),
        };
        let at = Instant::now();
        let cpu_percent = usage.cpu_ns.map(|now| {
            let (used, passed) = before.and_then(|before| before.until(now, at)).unwrap_or_else(|| {
                let since_start = view.started.and_then(|started| started.elapsed().ok());
                (now, since_start.unwrap_or_default())
            });
            used as f64 / passed.as_nanos().max(1) as f64 * 100.0
        });
        Self { at, usage, net, cpu_percent }
    }

    /// CPU time since this sample, and time passed. None where the container was started anew meanwhile.
    fn until(&self, cpu_ns: u64, at: Instant) -> Option<(u64, Duration)> {
        Some((cpu_ns.checked_sub(self.usage.cpu_ns?)?, at.saturating_duration_since(self.at)))
    }
}

/// Samples everything once a second, for as long as somebody follows.
pub struct Sampler {
    rounds: watch::Sender<Option<Round>>,
    runs: Cell<bool>,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { rounds: watch::Sender::new(None), runs: Cell::new(false) }
    }
}

impl Sampler {
    /// Every round from now on, begun by the last where there was one just now. Whoever is slow misses some.
    pub fn follow(engine: &Rc<Engine>) -> watch::Receiver<Option<Round>> {
        let sampler = &engine.sampler;
        let mut rounds = sampler.rounds.subscribe();
        rounds.mark_changed();
        if !sampler.runs.replace(true) {
            actix_rt::spawn(run(engine.clone()));
        }
        rounds
    }
}

async fn run(engine: Rc<Engine>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: HashMap<ContainerId, Sample> = HashMap::new();
    loop {
        ticks.tick().await;
        if engine.sampler.rounds.receiver_count() == 0 {
            break;
        }
        let Ok(views) = engine.list().await else { break };
        let mut round = Vec::new();
        for view in views {
            let sample = Sample::take(&view, &engine, before.get(&view.id)).await;
            round.push((view, sample));
        }
        before = round.iter().map(|(view, sample)| (view.id.clone(), sample.clone())).collect();
        engine.sampler.rounds.send_replace(Some(Arc::new(round)));
    }
    engine.sampler.rounds.send_replace(None);
    engine.sampler.runs.set(false);
}
