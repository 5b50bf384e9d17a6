//! `image save`: an image into an oci-archive.

use std::path::PathBuf;

use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::id::ImageRef;
use crate::images::{self, Save};
use crate::wire::args::absolute;

/// `image save REF PATH` → `OK`
pub const VERB: Verb = Verb {
    form: Form { name: "image save", required: &["REF", "PATH"], optional: &[], options: &[], argv: Argv::No },
    about: "write an image to an oci-archive",
    access: Access::Change,
    reply_keys: &[],
    action: Action::Run(|mut args, call| {
        let (reference, path) = (args.required()?.parse()?, absolute(&args.required()?)?);
        Ok(Box::pin(run(reference, path, call)))
    }),
};

async fn run(reference: ImageRef, path: PathBuf, call: Call) -> Result<Line, Refusal> {
    let store = call.engine.images.clone();
    call.finish(async move { images::ask(&store, Save { reference, path }).await }).await?;
    Ok(Line::done())
}
