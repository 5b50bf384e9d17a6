//! `image rm`: a name of an image is taken away, and with the last one the image.

use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::id::ImageRef;
use crate::images::{self, Remove};
use crate::refusal::Code;

/// How many containers a refusal names.
const NAMED_MAX: usize = 8;

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
    let store = call.engine.images.clone();
    let names: Vec<String> = reference.candidates().iter().map(|name| name.canonical().to_string()).collect();
    match call.finish(async move { images::ask(&store, Remove { reference }).await }).await {
        Ok(_) => Ok(Line::done()),
        Err(refusal) if refusal.code() == Code::InUse => Err(naming_users(refusal, &names, &call).await),
        Err(refusal) => Err(refusal),
    }
}

/// The image store knows no containers: which of them were made from those names is told here.
async fn naming_users(refusal: Refusal, names: &[String], call: &Call) -> Refusal {
    let views = call.engine.list().await.unwrap_or_default();
    let users = views.iter().filter(|view| names.iter().any(|name| **name == *view.source));
    let told: Vec<_> = users.map(|view| view.name.as_str()).take(NAMED_MAX).collect();
    if told.is_empty() {
        return refusal;
    }
    Refusal::in_use(format_args!("{} ({})", refusal.message(), told.join(", ")))
}
