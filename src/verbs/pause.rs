//! `pause`: every process of a container frozen where it stands.

use super::call::CHANGED;
use super::{Access, Action, Call, Form, Line, Refusal, Verb};
use crate::container::Pause;

/// `pause NAME` → `OK name=`
pub const VERB: Verb = Verb {
    form: Form::of_name("pause"),
    about: "freeze every process of a container",
    access: Access::Change,
    reply_keys: &[&CHANGED],
    action: Action::Run(|mut args, call| {
        let name = args.required()?;
        Ok(Box::pin(run(name, call)))
    }),
};

async fn run(name: String, call: Call) -> Result<Line, Refusal> {
    call.change(call.engine.child(&name).await?, Pause).await
}
