//! `pause`: every process of a container frozen where it stands.

use super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::container::Pause;
use crate::engine::unanswered;

const OK: [&str; 1] = ["name"];

/// `pause NAME` → `OK name=`
pub const VERB: Verb = Verb {
    form: Form { name: "pause", required: &["NAME"], optional: &[], options: &[], argv: Argv::No },
    about: "freeze every process of a container",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let name = args.required()?;
        Ok(Box::pin(run(name, call)))
    }),
};

async fn run(name: String, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    let addr = child.addr;
    call.finish(async move { addr.send(Pause).await.map_err(|e| unanswered(&e))? }).await?;
    let name = child.view.borrow().name.clone();
    Ok(Line::ok(&OK, &[&name]))
}
