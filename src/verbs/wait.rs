//! `wait`: until a container, or an exec, has ended.

use std::sync::Arc;

use super::{Access, Action, Call, Form, Line, Refusal, Verb};
use crate::container::View;
use crate::engine::Target;
use crate::supervisor::Found;

const OK: [&str; 3] = ["name", "exit", "oom"];

/// `wait NAME` → `OK name= exit= oom=`
pub const VERB: Verb = Verb {
    form: Form::of_name("wait"),
    about: "wait until a container, or an exec, has ended",
    access: Access::Open,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let name = args.required()?;
        Ok(Box::pin(run(name, call)))
    }),
};

async fn run(name: String, call: Call) -> Result<Line, Refusal> {
    let view = match call.engine.target(&name).await? {
        Target::Exec(exec) => {
            let exit = exec.ended().await?;
            return Ok(Line::ok(&OK, &[&exec.container, &exit.code, &yes_or_no(exit.oom)]));
        }
        Target::Container(Found::Gone(view)) => view,
        Target::Container(Found::Here(child)) => {
            let mut view = child.view;
            // An error means that the actor is gone; what it last showed is told.
            let _ = view.wait_for(|v| v.has_ended() || v.is_gone()).await;

            view.borrow().clone()
        }
    };
    told(&view)
}

fn told(view: &Arc<View>) -> Result<Line, Refusal> {
    let exit =
        view.exit.ok_or_else(|| Refusal::wrong_state(format_args!("{} was removed and never ran", view.name)))?;
    Ok(Line::ok(&OK, &[&view.name, &exit, &yes_or_no(view.oom)]))
}

fn yes_or_no(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}
