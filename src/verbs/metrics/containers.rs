//! What containers are and use, each under its name and tag.

use std::sync::Arc;

use super::super::ps::STATES;
use super::exposition::{Exposition, Kind};
use crate::container::View;
use crate::engine::{Engine, Sample};

/// A container, and what it uses now.
pub struct Sampled {
    view: Arc<View>,
    sample: Sample,
    oom: bool,
}

impl Sampled {
    /// Looks at one.
    pub async fn take(view: Arc<View>, engine: &Engine) -> Self {
        let sample = Sample::take(&view, engine, None).await;
        let oom = view.oom || (view.is_up() && engine.ground.cgroups.oom_killed(&engine.cgroup_of(&view)));
        Self { view, sample, oom }
    }
}

/// Adds how many containers there are in each state.
pub fn expose_states(text: &mut Exposition, views: &[Arc<View>]) {
    let count = |state: &str| views.iter().filter(|view| view.state() == state).count();
    let samples = STATES.iter().map(|state| ([("state", (*state).to_owned())], count(state)));
    text.metric("gantry_containers", Kind::Gauge, "Containers by state.", samples);
}

/// Adds what each uses; what the host does not account is left out.
pub fn expose(text: &mut Exposition, sampled: &[Sampled]) {
    let mut each = |name: &str, kind, help: &str, value: &dyn Fn(&Sampled) -> Option<String>| {
        let samples = sampled.iter().filter_map(|one| Some(([("name", one.view.name.to_string())], value(one)?)));
        text.metric(name, kind, help, samples);
    };
    let whole = |n: Option<u64>| n.map(|n| n.to_string());
    each("gantry_container_up", Kind::Gauge, "Whether the container runs.", &|one| {
        Some(u8::from(one.view.is_up()).to_string())
    });
    each(
        "gantry_container_restarts_total",
        Kind::Counter,
        "How often the container was started anew by its policy.",
        &|one| Some(one.view.restarts.to_string()),
    );
    each(
        "gantry_container_healthy",
        Kind::Gauge,
        "Whether the container's health check finds it well, where it has one.",
        &|one| {
            let health = one.view.health_text();
            (!health.is_empty()).then(|| u8::from(health == "healthy").to_string())
        },
    );
    each(
        "gantry_container_oom_killed",
        Kind::Gauge,
        "Whether the kernel killed any process of its last run for want of memory.",
        &|one| Some(u8::from(one.oom).to_string()),
    );
    each("gantry_container_cpu_seconds_total", Kind::Counter, "Processor time used.", &|one| {
        one.sample.usage.cpu_ns.map(|ns| (ns as f64 / 1e9).to_string())
    });
    each("gantry_container_memory_bytes", Kind::Gauge, "Memory in use, without cache that can be dropped.", &|one| {
        whole(one.sample.usage.memory)
    });
    each("gantry_container_cache_bytes", Kind::Gauge, "Page cache that the kernel could drop at once.", &|one| {
        whole(one.sample.usage.cache)
    });
    each(
        "gantry_container_memory_limit_bytes",
        Kind::Gauge,
        "Memory that the container may use, where that is limited.",
        &|one| whole(one.sample.usage.memory_limit),
    );
    each("gantry_container_pids", Kind::Gauge, "Processes and threads.", &|one| whole(one.sample.usage.pids));
    each("gantry_container_network_receive_bytes_total", Kind::Counter, "Bytes received.", &|one| {
        whole(one.sample.net.as_ref().map(|net| net.rx_bytes))
    });
    each("gantry_container_network_transmit_bytes_total", Kind::Counter, "Bytes sent.", &|one| {
        whole(one.sample.net.as_ref().map(|net| net.tx_bytes))
    });
    each("gantry_container_block_read_bytes_total", Kind::Counter, "Bytes read from block devices.", &|one| {
        whole(one.sample.usage.block_read)
    });
    each("gantry_container_block_write_bytes_total", Kind::Counter, "Bytes written to block devices.", &|one| {
        whole(one.sample.usage.block_write)
    });
}
