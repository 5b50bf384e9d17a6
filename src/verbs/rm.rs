//! `rm`: a container is taken away.

use super::{Access, Action, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::container::Remove;
use crate::engine::ask;
use crate::supervisor::Child;

const OK: [&str; 1] = ["name"];

/// `rm NAME [force=yes]` → `OK name=`
pub const VERB: Verb = Verb {
    form: Form {
        name: "rm",
        required: &["NAME"],
        optional: &[],
        options: &[&Opt::once("force", "yes|no", "kill it first where it runs")],
        argv: Argv::No,
    },
    about: "remove a container",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let (name, force) = (args.required()?, args.flag("force")?);
        Ok(Box::pin(run(name, force, call)))
    }),
};

async fn run(name: String, force: bool, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    let name = child.view.borrow().name.clone();
    call.finish(remove(child, force)).await?;
    Ok(Line::ok(&OK, &[&name]))
}

/// Removes it, and waits until its name, address and ports are free.
async fn remove(child: Child, force: bool) -> Result<(), Refusal> {
    ask(&child, Remove { force }).await??;
    let mut view = child.view;
    // An error means that the actor is gone: so is what it kept.
    let _ = view.wait_for(|v| v.is_gone()).await;
    Ok(())
}
