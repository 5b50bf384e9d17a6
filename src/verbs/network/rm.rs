//! `network rm`: a network that nobody is on.

use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::id::NetworkName;
use crate::network::Remove;

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
    call.finish(
        async move { network.send(Remove(removed)).await.map_err(|e| Refusal::unanswered("the network", &e))? },
    )
    .await?;
    Ok(Line::ok(&OK, &[&name]))
}
