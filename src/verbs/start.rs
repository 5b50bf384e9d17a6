//! `start`: a container that is made, or has ended, is run.

use std::sync::Arc;

use super::{Access, Action, Call, Form, Line, Refusal, Verb};
use crate::container::{Start, View};
use crate::engine::ask;
use crate::supervisor::Child;

/// What the final lines of `start` and `run` tell.
pub const OK: [&str; 5] = ["name", "id", "pid", "ip", "ports"];

/// `start NAME` → `OK name= id= pid= ip= ports=`
pub const VERB: Verb = Verb {
    form: Form::of_name("start"),
    about: "run a container that is made or has ended",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let name = args.required()?;
        Ok(Box::pin(run(name, call)))
    }),
};

async fn run(name: String, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    let view = call.finish(start(child)).await?;
    Ok(told(&view))
}

/// Starts it, and waits until it runs.
pub async fn start(child: Child) -> Result<Arc<View>, Refusal> {
    ask(&child, Start).await?
}

/// The final line of a start. The process may have ended meanwhile; what it ran with is told all the same.
pub fn told(view: &View) -> Line {
    let pid = view.pid.map_or_else(String::new, |pid| pid.to_string());
    Line::ok(&OK, &[&view.name, &view.id, &pid, &view.ips_text(), &view.ports_text()])
}
