//! `volume prune`: the volumes that no container uses.

use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};

const ROW: [&str; 1] = ["name"];
const OK: [&str; 1] = ["count"];

/// `volume prune` → `ROW name=`…, `OK count=`
pub const VERB: Verb = Verb {
    form: Form { name: "volume prune", required: &[], optional: &[], options: &[], argv: Argv::No },
    about: "remove the volumes that no container uses",
    access: Access::Change,
    reply_keys: &[&ROW, &OK],
    action: Action::Run(|_, call| Ok(Box::pin(run(call)))),
};

async fn run(call: Call) -> Result<Line, Refusal> {
    let volumes = call.engine.volumes.clone();
    let removed = call.finish(async move { volumes.prune().await }).await?;
    for name in &removed {
        call.line(&Line::row(&ROW, &[name])).await;
    }
    Ok(Line::ok(&OK, &[&removed.len()]))
}
