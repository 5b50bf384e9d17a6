//! `restart`: stop, then start.

use std::time::Duration;

use super::start::start;
use super::stop::{TIMEOUT, stop};
use super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::container::Inspect;
use crate::engine::ask;

const OK: [&str; 1] = ["name"];

/// `restart NAME [timeout=]` → `OK name=`
pub const VERB: Verb = Verb {
    form: Form { name: "restart", required: &["NAME"], optional: &[], options: &[&TIMEOUT], argv: Argv::No },
    about: "stop a container, and start it again",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let (name, timeout) = (args.required()?, args.duration("timeout")?);
        Ok(Box::pin(run(name, timeout, call)))
    }),
};

async fn run(name: String, timeout: Option<Duration>, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    let name = child.view.borrow().name.clone();
    let plan = ask(&child, Inspect).await?;
    if plan.wishes.remove_at_end {
        return Err(Refusal::wrong_state(format_args!(
            "{name} is removed when it ends (rm=yes), so that it cannot be restarted"
        )));
    }
    let again = async move {
        stop(child.clone(), timeout).await?;
        start(child).await
    };
    call.finish(again).await?;
    Ok(Line::ok(&OK, &[&name]))
}
