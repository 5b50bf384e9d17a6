//! `image inspect`: everything about one image, as JSON.

use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::id::ImageRef;
use crate::images::{self, Inspect};

/// `image inspect REF` → `JSON {…}`, `OK`
pub const VERB: Verb = Verb {
    form: Form { name: "image inspect", required: &["REF"], optional: &[], options: &[], argv: Argv::No },
    about: "tell everything about an image",
    access: Access::Private,
    reply_keys: &[],
    action: Action::Run(|mut args, call| {
        let reference = args.required()?.parse()?;
        Ok(Box::pin(run(reference, call)))
    }),
};

async fn run(reference: ImageRef, call: Call) -> Result<Line, Refusal> {
    let document = images::ask(&call.engine.images, Inspect { reference }).await?;
    call.line(&Line::json(&document)).await;
    Ok(Line::done())
}
