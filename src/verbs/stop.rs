//! `stop`: the stop signal, and `KILL` where that does not help in time.

use std::time::Duration;

use super::{Access, Action, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::container::Stop;
use crate::container::state::failed;
use crate::engine::ask;
use crate::supervisor::Child;

const OK: [&str; 2] = ["name", "exit"];

/// How long a stop may take.
pub const TIMEOUT: Opt = Opt::once("timeout", "DURATION", "how long it may take before it is killed; without, its own");

/// `stop NAME [timeout=]` → `OK name= exit=`
pub const VERB: Verb = Verb {
    form: Form { name: "stop", required: &["NAME"], optional: &[], options: &[&TIMEOUT], argv: Argv::No },
    about: "ask a container to stop, and kill it where it does not",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let (name, timeout) = (args.required()?, args.duration("timeout")?);
        Ok(Box::pin(run(name, timeout, call)))
    }),
};

async fn run(name: String, timeout: Option<Duration>, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    let mut view = child.view.clone();
    call.finish(stop(child, timeout)).await?;
    let ended = view.borrow_and_update().clone();
    let exit = ended.exit.map_or_else(String::new, |code| code.to_string());
    Ok(Line::ok(&OK, &[&ended.name, &exit]))
}

/// Stops it, and waits until it has ended and what it ran with is free. One that does not run is no error.
pub async fn stop(child: Child, timeout: Option<Duration>) -> Result<(), Refusal> {
    ask(&child, Stop { timeout }).await?;
    let mut view = child.view;
    // An error means that the actor is gone: so is what it kept.
    let _ = view.wait_for(|v| !v.is_up() || v.has_failed()).await;
    let view = view.borrow();
    if view.has_failed() { Err(failed().within(&view.name)) } else { Ok(()) }
}
