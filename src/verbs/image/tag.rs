//! `image tag`: one name more for an image.

use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::images::{self, Tag};

const OK: [&str; 3] = ["name", "digest", "size"];

/// `image tag REF NEW` → `OK name= digest= size=`
pub const VERB: Verb = Verb {
    form: Form { name: "image tag", required: &["REF", "NEW"], optional: &[], options: &[], argv: Argv::No },
    about: "give an image another name",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let tag = Tag { reference: args.required()?.parse()?, new: args.required()?.parse()? };
        Ok(Box::pin(run(tag, call)))
    }),
};

async fn run(tag: Tag, call: Call) -> Result<Line, Refusal> {
    let store = call.engine.images.clone();
    let image = call.finish(async move { images::ask(&store, tag).await }).await?;
    Ok(Line::ok(&OK, &[&image.name, &image.digest, &image.size]))
}
