//! `kill`: a signal for a container's first process.

use super::{Access, Action, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::container::Kill;
use crate::engine::unanswered;
use crate::id::Signal;

const OK: [&str; 1] = ["name"];

/// `kill NAME [signal=KILL]` → `OK name=`
pub const VERB: Verb = Verb {
    form: Form {
        name: "kill",
        required: &["NAME"],
        optional: &[],
        options: &[&Opt::once("signal", "SIGNAL", "which, by name or number; without, KILL")],
        argv: Argv::No,
    },
    about: "send a signal to a container's first process",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let (name, signal) = (args.required()?, args.value("signal", str::parse)?.unwrap_or(Signal::KILL));
        Ok(Box::pin(run(name, signal, call)))
    }),
};

async fn run(name: String, signal: Signal, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    let addr = child.addr;
    call.finish(async move { addr.send(Kill { signal }).await.map_err(|e| unanswered(&e))? }).await?;
    let name = child.view.borrow().name.clone();
    Ok(Line::ok(&OK, &[&name]))
}
