//! `info`: what this daemon is and does.

use std::fmt::Display;

use crate::memory;

use super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};

const ROW: [&str; 2] = ["key", "value"];

/// `info` → `ROW key= value=`…, `OK`
pub const VERB: Verb = Verb {
    form: Form { name: "info", required: &[], optional: &[], options: &[], argv: Argv::No },
    about: "tell what this daemon is and does",
    access: Access::Open,
    reply_keys: &[&ROW],
    action: Action::Run(|_, call| Ok(Box::pin(run(call)))),
};

async fn run(call: Call) -> Result<Line, Refusal> {
    let engine = call.engine.clone();
    let views = engine.list().await?;
    let running = views.iter().filter(|view| view.is_up()).count();
    let cgroup = if engine.ground.cgroups.is_v2() { "v2" } else { "v1" };
    let memory = if memory::is_short() { "short" } else { "enough" };
    let rows: [(&str, &dyn Display); 10] = [
        ("version", &env!("CARGO_PKG_VERSION")),
        ("pid", &std::process::id()),
        ("uptime", &engine.began.elapsed().as_secs()),
        ("containers", &views.len()),
        ("running", &running),
        ("bridge", &engine.config.bridge),
        ("cgroup", &cgroup),
        ("output-waiting", &engine.postage.waiting()),
        ("memory", &memory),
        ("heap", &memory::held()),
    ];
    for (key, value) in &rows {
        call.line(&Line::row(&ROW, &[key, value])).await;
    }
    // Where things lie is the host's business.
    if call.trusted {
        let config = &engine.config;
        for (key, path) in [("root", &config.root), ("run", &config.run), ("socket", &config.socket)] {
            call.line(&Line::row(&ROW, &[&key, &path.display()])).await;
        }
    }
    Ok(Line::done())
}
