//! `volume rm`: a volume and all that was written into it.

use super::super::{Access, Action, Call, Form, Line, Refusal, Verb};
use crate::id::VolumeName;

const OK: [&str; 1] = ["name"];

/// `volume rm NAME` → `OK name=`
pub const VERB: Verb = Verb {
    form: Form::of_name("volume rm"),
    about: "remove a volume and all that is in it",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let name = args.required()?.parse()?;
        Ok(Box::pin(run(name, call)))
    }),
};

async fn run(name: VolumeName, call: Call) -> Result<Line, Refusal> {
    let (volumes, removed) = (call.engine.volumes.clone(), name.clone());
    call.finish(async move { volumes.remove(&removed).await }).await?;
    Ok(Line::ok(&OK, &[&name]))
}
