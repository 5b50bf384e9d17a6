//! `image ls`: the images that are here.

use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::images::List;

const ROW: [&str; 4] = ["name", "digest", "size", "created"];

/// `image ls` → `ROW`…, `OK`
pub const VERB: Verb = Verb {
    form: Form { name: "image ls", required: &[], optional: &[], options: &[], argv: Argv::No },
    about: "list the images",
    access: Access::Open,
    reply_keys: &[&ROW],
    action: Action::Run(|_, call| Ok(Box::pin(run(call)))),
};

async fn run(call: Call) -> Result<Line, Refusal> {
    let images = call.engine.images.send(List).await.map_err(|e| Refusal::unanswered("the image store", e))?;
    for image in images {
        let created = image.created.as_deref().unwrap_or("");
        call.line(&Line::row(&ROW, &[&image.name, &image.digest, &image.size, &created])).await;
    }
    Ok(Line::done())
}
