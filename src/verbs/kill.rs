//! `kill`: a signal for a container's first process, or for an exec.

use super::call::CHANGED;
use super::{Access, Action, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::container::Kill;
use crate::engine::Target;
use crate::id::Signal;

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
    reply_keys: &[&CHANGED],
    action: Action::Run(|mut args, call| {
        let (name, signal) = (args.required()?, args.value("signal", str::parse)?.unwrap_or(Signal::KILL));
        Ok(Box::pin(run(name, signal, call)))
    }),
};

async fn run(name: String, signal: Signal, call: Call) -> Result<Line, Refusal> {
    match call.engine.target(&name).await? {
        Target::Container(found) => call.change(found.here()?, Kill { signal }).await,
        Target::Exec(exec) => {
            exec.signal(signal).map_err(|refusal| refusal.within(&exec.id))?;
            Ok(Line::ok(&CHANGED, &[&exec.container]))
        }
    }
}
