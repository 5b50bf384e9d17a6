//! `kill`: a signal for a container's first process, or for an exec.

use super::{Access, Action, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::container::Kill;
use crate::engine::{Target, unanswered};
use crate::id::Signal;
use crate::supervisor::Found;

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
    about: "send a signal to a container's first process, or to an exec",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let (name, signal) = (args.required()?, args.value("signal", str::parse)?.unwrap_or(Signal::KILL));
        Ok(Box::pin(run(name, signal, call)))
    }),
};

async fn run(name: String, signal: Signal, call: Call) -> Result<Line, Refusal> {
    let child = match call.engine.target(&name).await? {
        Target::Container(Found::Here(child)) => child,
        Target::Container(Found::Gone(view)) => return Err(Refusal::not_found(format_args!("{} is gone", view.name))),
        Target::Exec(exec) => {
            exec.signal(signal).map_err(|refusal| refusal.within(&exec.id))?;
            return Ok(Line::ok(&OK, &[&exec.container]));
        }
    };
    let addr = child.addr;
    call.finish(async move { addr.send(Kill { signal }).await.map_err(|e| unanswered(&e))? }).await?;
    let name = child.view.borrow().name.clone();
    Ok(Line::ok(&OK, &[&name]))
}
