//! `volume ls`: the volumes there are.

use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::id::Name;

const ROW: [&str; 3] = ["name", "path", "containers"];
const OK: [&str; 1] = ["count"];

/// `volume ls` → `ROW name= path= containers=`…, `OK count=`
pub const VERB: Verb = Verb {
    form: Form { name: "volume ls", required: &[], optional: &[], options: &[], argv: Argv::No },
    about: "list the volumes",
    access: Access::Private,
    reply_keys: &[&ROW, &OK],
    action: Action::Run(|_, call| Ok(Box::pin(run(call)))),
};

async fn run(call: Call) -> Result<Line, Refusal> {
    let volumes = call.engine.volumes.list().await?;
    for volume in &volumes {
        let containers = volume.containers.iter().map(Name::as_str).collect::<Vec<_>>().join(",");
        call.line(&Line::row(&ROW, &[&volume.name, &volume.path.display(), &containers])).await;
    }
    Ok(Line::ok(&OK, &[&volumes.len()]))
}
