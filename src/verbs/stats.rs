//! `stats`: what containers use.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Access, Action, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::cgroup::Usage;
use crate::container::View;
use crate::engine::Engine;
use crate::id::ContainerId;
use crate::network::{self, Counters};

const ROW: [&str; 11] = [
    "name",
    "cpu-ns",
    "cpu-percent",
    "memory",
    "cache",
    "memory-limit",
    "pids",
    "net-rx",
    "net-tx",
    "block-read",
    "block-write",
];
/// How often `follow=yes` samples.
const EVERY: Duration = Duration::from_secs(1);

/// `stats [NAME] [follow=yes]` → `ROW`…, `OK`
pub const VERB: Verb = Verb {
    form: Form {
        name: "stats",
        required: &[],
        optional: &["NAME"],
        options: &[&Opt::once("follow", "yes|no", "a sample of each every second")],
        argv: Argv::No,
    },
    about: "tell what containers use",
    access: Access::Open,
    reply_keys: &[&ROW],
    action: Action::Run(|mut args, call| {
        let (name, follow) = (args.positional(), args.flag("follow")?);
        Ok(Box::pin(run(name, follow, call)))
    }),
};

/// A sample of one container.
pub struct Sample {
    at: Instant,
    /// What its control group says; nothing where it does not run.
    pub usage: Usage,
    /// What went over its links; nothing where it has none.
    pub net: Option<Counters>,
}

impl Sample {
    /// A few small reads from kernel filesystems, which never wait for a disk, and one question to the kernel.
    pub async fn take(view: &View, engine: &Engine) -> Self {
        let usage = match view.is_up() {
            true => engine.ground.cgroups.usage(&engine.cgroup_of(view)),
            false => Usage::default(),
        };
        let links = view.links();
        let net = match links.is_empty() {
            true => None,
            // The links of a container that just ended are gone, which is no failure.
            false => network::counters(links).await.ok(),
        };
        Self { at: Instant::now(), usage, net }
    }
}

async fn run(name: Option<String>, follow: bool, call: Call) -> Result<Line, Refusal> {
    let id = match name {
        Some(name) => Some(call.engine.child(&name).await?.view.borrow().id.clone()),
        None => None,
    };
    let mut before = HashMap::new();
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        let views = call.engine.list().await?;
        let chosen: Vec<_> = views.into_iter().filter(|v| id.as_ref().is_none_or(|id| v.id == *id)).collect();
        if chosen.is_empty() && id.is_some() {
            return Ok(Line::done());
        }
        before = tell(chosen, &before, &call).await;
        if !follow {
            return Ok(Line::done());
        }
    }
}

/// Samples and tells each, and gives back the samples to compare the next ones with.
async fn tell(
    views: Vec<Arc<View>>,
    before: &HashMap<ContainerId, Sample>,
    call: &Call,
) -> HashMap<ContainerId, Sample> {
    let mut samples = HashMap::new();
    for view in views {
        let sample = Sample::take(&view, &call.engine).await;
        call.line(&row(&view, &sample, before.get(&view.id))).await;
        samples.insert(view.id.clone(), sample);
    }
    samples
}

fn row(view: &View, sample: &Sample, before: Option<&Sample>) -> Line {
    let text = |value: Option<u64>| value.map_or_else(String::new, |n| n.to_string());
    let usage = &sample.usage;
    Line::row(
        &ROW,
        &[
            &view.name,
            &text(usage.cpu_ns),
            &cpu_percent(view, sample, before),
            &text(usage.memory),
            &text(usage.cache),
            &text(usage.memory_limit),
            &text(usage.pids),
            &text(sample.net.as_ref().map(|net| net.rx_bytes)),
            &text(sample.net.as_ref().map(|net| net.tx_bytes)),
            &text(usage.block_read),
            &text(usage.block_write),
        ],
    )
}

/// Percent of one CPU: since the last sample, or for the first since the container was started.
fn cpu_percent(view: &View, sample: &Sample, before: Option<&Sample>) -> String {
    let Some(now) = sample.usage.cpu_ns else { return String::new() };
    let (used, passed) = match before.and_then(|b| Some((b.usage.cpu_ns?, b.at))) {
        Some((then, at)) => (now.saturating_sub(then), sample.at - at),
        None => (now, view.started.and_then(|t| t.elapsed().ok()).unwrap_or_default()),
    };
    let passed = passed.as_nanos().max(1) as f64;
    format!("{:.2}", used as f64 / passed * 100.0)
}
