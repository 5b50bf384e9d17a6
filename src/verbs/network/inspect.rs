//! `network inspect`: everything about one network, as JSON.

use serde_json::{Value, json};

use super::super::inspect::endpoint;
use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use super::rows;
use crate::id::NetworkName;
use crate::network::Resident;

/// `network inspect NAME` → `JSON {…}`, `OK`
pub const VERB: Verb = Verb {
    form: Form { name: "network inspect", required: &["NAME"], optional: &[], options: &[], argv: Argv::No },
    about: "tell everything about a network",
    access: Access::Open,
    reply_keys: &[],
    action: Action::Run(|mut args, call| {
        let name = args.required()?.parse()?;
        Ok(Box::pin(run(name, call)))
    }),
};

async fn run(name: NetworkName, call: Call) -> Result<Line, Refusal> {
    let row = rows(&call).await?.into_iter().find(|row| row.name == name);
    let row =
        row.ok_or_else(|| Refusal::not_found(format_args!("no network {name}; 'network ls' lists those there are")))?;
    let document = json!({
        "name": row.name.as_str(),
        "subnet": row.subnet.to_string(),
        "gateway": row.gateway,
        "subnet6": row.ula.map(|ula| ula.to_string()),
        "gateway6": row.ula.map(|ula| ula.gateway()),
        "internal": row.internal,
        "bridge": row.bridge,
        "containers": row.containers.iter().map(resident).collect::<Vec<_>>(),
    });
    call.line(&Line::json(&document)).await;
    Ok(Line::done())
}

fn resident(resident: &Resident) -> Value {
    json!({
        "name": resident.name.as_str(),
        "id": resident.id.as_str(),
        "aliases": resident.aliases,
        "endpoint": resident.endpoint.as_ref().map(endpoint),
    })
}
