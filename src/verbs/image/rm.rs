//! `image rm`: a name of an image is taken away, and with the last one the image.

use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::id::ImageRef;
use crate::images::{self, Inspect, Remove};
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
    let (store, remove) = (call.engine.images.clone(), Remove { reference: reference.clone() });
    match call.finish(async move { images::ask(&store, remove).await }).await {
        Ok(_) => Ok(Line::done()),
        Err(refusal) if refusal.code() == Code::InUse => Err(naming(&users(&reference, &call).await?, refusal)),
        Err(refusal) => Err(refusal),
    }
}

fn naming(users: &[String], refusal: Refusal) -> Refusal {
    if users.is_empty() {
        return refusal;
    }
    Refusal::in_use(format_args!("{} ({})", refusal.message(), users.join(", ")))
}

/// The containers that were made from that name: the image store knows none.
async fn users(reference: &ImageRef, call: &Call) -> Result<Vec<String>, Refusal> {
    let document = images::ask(&call.engine.images, Inspect { reference: reference.clone() }).await?;
    let views = call.engine.list().await?;
    let users = views.iter().filter(|view| document["name"] == *view.image);
    Ok(users.map(|view| view.name.to_string()).take(NAMED_MAX).collect())
}
