//! `volume inspect`: everything about one volume, as JSON.

use serde_json::json;

use super::super::{Access, Action, Call, Form, Line, Refusal, Verb};
use crate::id::{Name, VolumeName};
use crate::wire::units::rfc3339;

/// `volume inspect NAME` → `JSON {…}`, `OK`
pub const VERB: Verb = Verb {
    form: Form::of_name("volume inspect"),
    about: "tell everything about a volume",
    access: Access::Private,
    reply_keys: &[],
    action: Action::Run(|mut args, call| {
        let name = args.required()?.parse()?;
        Ok(Box::pin(run(name, call)))
    }),
};

async fn run(name: VolumeName, call: Call) -> Result<Line, Refusal> {
    let volume = call.engine.volumes.find(&name).await?;
    let document = json!({
        "name": volume.name.as_str(),
        "path": volume.path,
        "created": volume.created.map(rfc3339),
        "containers": volume.containers.iter().map(Name::as_str).collect::<Vec<_>>(),
    });
    call.line(&Line::json(&document)).await;
    Ok(Line::done())
}
