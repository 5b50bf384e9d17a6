//! `resume`: a frozen container goes on.

use super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::container::Resume;
use crate::engine::unanswered;

const OK: [&str; 1] = ["name"];

/// `resume NAME` → `OK name=`
pub const VERB: Verb = Verb {
    form: Form { name: "resume", required: &["NAME"], optional: &[], options: &[], argv: Argv::No },
    about: "let a paused container go on",
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
    call.finish(async move { addr.send(Resume).await.map_err(|e| unanswered(&e))? }).await?;
    let name = child.view.borrow().name.clone();
    Ok(Line::ok(&OK, &[&name]))
}
