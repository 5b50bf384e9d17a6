//! `shutdown`: stop every container, then end the daemon.

use std::time::Duration;

use super::{Access, Action, Argv, Call, Form, Line, Opt, Refusal, Verb};

/// `shutdown [timeout=]` → `OK` when all containers are down
pub const VERB: Verb = Verb {
    form: Form {
        name: "shutdown",
        required: &[],
        optional: &[],
        options: &[&Opt::once("timeout", "DURATION", "how long each container may take to stop, in place of its own")],
        argv: Argv::No,
    },
    about: "stop and remove every container, then end the daemon",
    access: Access::Change,
    reply_keys: &[],
    action: Action::Run(|mut args, call| {
        let timeout = args.duration("timeout")?;
        Ok(Box::pin(run(timeout, call)))
    }),
};

async fn run(timeout: Option<Duration>, call: Call) -> Result<Line, Refusal> {
    let engine = call.engine.clone();
    let down = async move {
        let is_down = engine.shut_down(timeout).await;
        engine.leave.notify_one();
        if is_down { Ok(()) } else { Err(Refusal::timeout("not every container ends; the daemon ends all the same")) }
    };
    call.finish(down).await?;
    Ok(Line::done())
}
