//! `volume create`: an empty volume.

use super::super::{Access, Action, Call, Form, Line, Refusal, Verb};
use crate::id::VolumeName;

const OK: [&str; 1] = ["name"];

/// `volume create NAME` → `OK name=`
pub const VERB: Verb = Verb {
    form: Form::of_name("volume create"),
    about: "make a volume",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let name = args.required()?.parse()?;
        Ok(Box::pin(run(name, call)))
    }),
};

async fn run(name: VolumeName, call: Call) -> Result<Line, Refusal> {
    let (volumes, made) = (call.engine.volumes.clone(), name.clone());
    call.finish(async move { volumes.create(&made).await }).await?;
    Ok(Line::ok(&OK, &[&name]))
}
