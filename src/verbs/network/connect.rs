//! `network connect`: one network more for a container, whether it runs or not.

use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::container::Connect;
use crate::engine::ask;
use crate::id::NetworkName;

const OK: [&str; 2] = ["name", "ip"];

/// `network connect NETWORK NAME` → `OK name= ip=`
pub const VERB: Verb = Verb {
    form: Form { name: "network connect", required: &["NETWORK", "NAME"], optional: &[], options: &[], argv: Argv::No },
    about: "give a container a link to one network more",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let (network, name) = (args.required()?.parse()?, args.required()?);
        Ok(Box::pin(run(network, name, call)))
    }),
};

async fn run(network: NetworkName, name: String, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    let of_it = child.view.clone();
    call.finish(async move { ask(&child, Connect(network)).await? }).await?;
    let view = of_it.borrow().clone();
    Ok(Line::ok(&OK, &[&view.name, &view.ips_text()]))
}
