//! `stats`: what containers use.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Access, Action, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::container::View;
use crate::engine::{Sample, Sampler};

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

async fn run(name: Option<String>, follow: bool, call: Call) -> Result<Line, Refusal> {
    let one = match name {
        Some(name) => Some(call.engine.child(&name).await?.view),
        None => None,
    };
    if follow { every_second(one, &call).await } else { once(one, &call).await }
}

async fn once(one: Option<watch::Receiver<Arc<View>>>, call: &Call) -> Result<Line, Refusal> {
    let views = match one {
        Some(view) => vec![view.borrow().clone()],
        None => call.engine.list().await?,
    };
    for view in views {
        call.line(&row(&view, &Sample::take(&view, &call.engine, None).await)).await;
    }
    Ok(Line::done())
}

async fn every_second(one: Option<watch::Receiver<Arc<View>>>, call: &Call) -> Result<Line, Refusal> {
    let id = one.as_ref().map(|view| view.borrow().id.clone());
    let mut rounds = Sampler::follow(&call.engine);
    while rounds.changed().await.is_ok() {
        let round = rounds.borrow_and_update().clone();
        for (view, sample) in round.iter().flat_map(|round| round.iter()) {
            if id.as_ref().is_none_or(|id| view.id == *id) {
                call.line(&row(view, sample)).await;
            }
        }
        if one.as_ref().is_some_and(|view| view.borrow().is_gone()) {
            break;
        }
    }
    Ok(Line::done())
}

fn row(view: &View, sample: &Sample) -> Line {
    let text = |value: Option<u64>| value.map_or_else(String::new, |n| n.to_string());
    let usage = &sample.usage;
    Line::row(
        &ROW,
        &[
            &view.name,
            &text(usage.cpu_ns),
            &sample.cpu_percent.map_or_else(String::new, |percent| format!("{percent:.2}")),
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
