//! `df`: what takes how much of the disk.

use std::sync::Arc;

use super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::container::usage::{self, DiskUsage};
use crate::du::Taken;
use crate::engine::Engine;
use crate::images::{self, MeasureUsage};
use crate::worker;

const ROW: [&str; 3] = ["kind", "count", "size"];
const OK: [&str; 1] = ["size"];

/// `df` → `ROW kind= count= size=`…, `OK size=`
pub const VERB: Verb = Verb {
    form: Form { name: "df", required: &[], optional: &[], options: &[], argv: Argv::No },
    about: "tell what takes how much of the disk",
    access: Access::Open,
    reply_keys: &[&ROW, &OK],
    action: Action::Run(|_, call| Ok(Box::pin(run(call)))),
};

async fn run(call: Call) -> Result<Line, Refusal> {
    // Its turn can be waited for in vain; once begun a look goes on to its end, and nobody else's begins meanwhile.
    let turn = call.engine.measuring.clone().lock_owned().await;
    let engine = call.engine.clone();
    let measured = actix_rt::spawn(async move {
        let _turn = turn;
        measure(&engine).await
    });
    let kinds = measured.await.unwrap_or_else(|e| Err(Refusal::internal(format_args!("measuring broke off: {e}"))))?;
    for (kind, taken) in &kinds {
        call.line(&Line::row(&ROW, &[kind, &taken.count, &taken.bytes])).await;
    }
    let sum = kinds.iter().fold(0_u64, |sum, (_, taken)| sum.saturating_add(taken.bytes));
    Ok(Line::ok(&OK, &[&sum]))
}

/// Everything that lies on the disk, each piece under one kind.
async fn measure(engine: &Engine) -> Result<[(&'static str, Taken); 7], Refusal> {
    let images = images::ask(&engine.images, MeasureUsage).await?;
    let containers = containers(engine).await?;
    Ok([
        ("names", images.names),
        ("blobs", images.blobs),
        ("trees", images.trees),
        ("work", images.unfinished()),
        ("containers", containers.layers),
        ("logs", containers.logs),
        ("volumes", engine.volumes.measure().await?),
    ])
}

async fn containers(engine: &Engine) -> Result<DiskUsage, Refusal> {
    let places: Vec<Arc<_>> = engine.children().await?.into_iter().map(|child| child.places).collect();
    let measured = worker::look(move || usage::measure(&places)).await?;
    measured.map_err(|e| Refusal::io("measuring containers", &e))
}
