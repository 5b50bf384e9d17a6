//! `network rm`: a network that nobody is on.

use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::id::NetworkName;
use crate::network::{Remove, ask};

const OK: [&str; 1] = ["name"];

/// `network rm NAME` → `OK name=`
pub const VERB: Verb = Verb {
    form: Form { name: "network rm", required: &["NAME"], optional: &[], options: &[], argv: Argv::No },
    about: "remove a network",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let name = args.required()?.parse()?;
        Ok(Box::pin(run(name, call)))
    }),
};

async fn run(name: NetworkName, call: Call) -> Result<Line, Refusal> {
    let (network, removed) = (call.engine.ground.network.clone(), name.clone());
    call.finish(async move { ask(&network, Remove(removed)).await? }).await?;
    Ok(Line::ok(&OK, &[&name]))
}
