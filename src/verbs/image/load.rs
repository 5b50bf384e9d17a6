//! `image load`: images out of an archive or a layout that another tool wrote.

use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::images::{self, Load};
use crate::wire::args::absolute;

const ROW: [&str; 3] = ["name", "digest", "size"];
const OK: [&str; 1] = ["count"];

/// `image load PATH` → `ROW name= digest= size=`…, `OK count=`
pub const VERB: Verb = Verb {
    form: Form { name: "image load", required: &["PATH"], optional: &[], options: &[], argv: Argv::No },
    about: "take in images from a docker-archive, an oci-archive or oci:DIR[:TAG]",
    access: Access::Change,
    reply_keys: &[&ROW, &OK],
    action: Action::Run(|mut args, call| {
        let path = args.required()?;
        absolute(path.strip_prefix("oci:").unwrap_or(&path))?;
        Ok(Box::pin(run(path, call)))
    }),
};

async fn run(path: String, call: Call) -> Result<Line, Refusal> {
    let store = call.engine.images.clone();
    let loaded = call.finish(async move { images::ask(&store, Load { path }).await }).await?;
    for image in &loaded {
        call.line(&Line::row(&ROW, &[&image.name, &image.digest, &image.size])).await;
    }
    Ok(Line::ok(&OK, &[&loaded.len()]))
}
