//! `network ls`: the networks there are.

use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use super::rows;

const ROW: [&str; 5] = ["name", "subnet", "internal", "bridge", "containers"];
const OK: [&str; 1] = ["count"];

/// `network ls` → `ROW name= subnet= internal= bridge= containers=`…, `OK count=`
pub const VERB: Verb = Verb {
    form: Form { name: "network ls", required: &[], optional: &[], options: &[], argv: Argv::No },
    about: "list the networks",
    access: Access::Open,
    reply_keys: &[&ROW, &OK],
    action: Action::Run(|_, call| Ok(Box::pin(run(call)))),
};

async fn run(call: Call) -> Result<Line, Refusal> {
    let rows = rows(&call).await?;
    for row in &rows {
        let containers = row.containers.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(",");
        let internal = if row.internal { "yes" } else { "no" };
        call.line(&Line::row(&ROW, &[&row.name, &row.subnet, &internal, &row.bridge, &containers])).await;
    }
    Ok(Line::ok(&OK, &[&rows.len()]))
}
