//! `metrics`: counters of the daemon and of its containers, in Prometheus' text format.

mod containers;
mod exposition;
mod process;

use self::containers::Sampled;
use self::exposition::{Exposition, Kind};
use super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::engine::Engine;
use crate::images::List;
use crate::memory;

/// `metrics` → `TEXT`…, `OK`
pub const VERB: Verb = Verb {
    form: Form { name: "metrics", required: &[], optional: &[], options: &[], argv: Argv::No },
    about: "tell counters in Prometheus' text format",
    access: Access::Open,
    reply_keys: &[],
    action: Action::Run(|_, call| Ok(Box::pin(run(call)))),
};

async fn run(call: Call) -> Result<Line, Refusal> {
    for line in lines(&call.engine).await? {
        call.line(&Line::text(&line)).await;
    }
    Ok(Line::done())
}

/// The same as one text, for whoever asks by HTTP.
pub async fn page(engine: &Engine) -> Result<String, Refusal> {
    Ok(lines(engine).await?.iter().map(|line| format!("{line}\n")).collect())
}

async fn lines(engine: &Engine) -> Result<Vec<String>, Refusal> {
    let mut text = Exposition::default();
    let views = engine.list().await?;
    let images = engine.images.send(List).await.map_err(|e| Refusal::unanswered("the image store", e))?;
    expose_daemon(&mut text, engine, images.len());
    containers::expose_states(&mut text, &views);
    let mut sampled = Vec::with_capacity(views.len());
    for view in views {
        sampled.push(Sampled::take(view, engine).await);
    }
    containers::expose(&mut text, &sampled);
    process::expose(&mut text);
    Ok(text.lines())
}

fn expose_daemon(text: &mut Exposition, engine: &Engine, images: usize) {
    let about = [("version", env!("CARGO_PKG_VERSION").to_owned()), ("bridge", engine.config.bridge.clone())];
    text.metric("gantry_info", Kind::Gauge, "What this daemon is, in labels.", [(about, 1)]);
    let uptime = engine.began.elapsed().as_secs();
    text.single("gantry_uptime_seconds", Kind::Gauge, "How long the daemon has been up.", uptime);
    text.single("gantry_images", Kind::Gauge, "Names of images that are here.", images);
    text.single("gantry_events_total", Kind::Counter, "Events published since the start.", engine.bus.published());
    let waiting = engine.postage.waiting();
    text.single("gantry_output_waiting_bytes", Kind::Gauge, "Bytes that wait to be read by clients.", waiting);
    let short = u8::from(memory::is_short());
    text.single("gantry_memory_short", Kind::Gauge, "1 while nothing new is begun for want of memory.", short);
    text.single("gantry_out_of_memory_total", Kind::Counter, "What was refused for that.", memory::refused());
    text.single("gantry_heap_bytes", Kind::Gauge, "Memory that the daemon has allocated.", memory::held());
}
