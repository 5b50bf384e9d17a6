//! `image rm`: a name of an image is taken away, and with the last one the image.

use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::id::ImageRef;
use crate::images::Remove;

/// `image rm REF` → `OK`
pub const VERB: Verb = Verb {
    form: Form { name: "image rm", required: &["REF"], optional: &[], options: &[], argv: Argv::No },
    about: "remove an image's name, and with its last name the image",
    access: Access::Change,
    reply_keys: &[],
    action: Action::Run(|mut args, call| {
        let reference = args.required()?.parse()?;
        Ok(Box::pin(run(reference, call)))
    }),
};

async fn run(reference: ImageRef, call: Call) -> Result<Line, Refusal> {
    let images = call.engine.images.clone();
    let removed =
        async move { images.send(Remove { reference }).await.map_err(|e| Refusal::unanswered("the image store", &e))? };
    call.finish(removed).await?;
    Ok(Line::done())
}
