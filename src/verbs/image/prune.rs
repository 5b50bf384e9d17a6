//! `image prune`: what nobody uses is taken away.

use super::super::{Access, Action, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::images::{self, Prune};

const ROW: [&str; 1] = ["name"];
const OK: [&str; 2] = ["count", "size"];

/// `image prune [all=yes] [unused=24h]` → `ROW name=`…, `OK count= size=`
pub const VERB: Verb = Verb {
    form: Form {
        name: "image prune",
        required: &[],
        optional: &[],
        options: &[
            &Opt::once("all", "yes|no", "every image that no container was made from"),
            &Opt::once("unused", "DURATION", "of those only such as nobody has used for so long"),
        ],
        argv: Argv::No,
    },
    about: "remove images that nothing uses, and what no image needs",
    access: Access::Change,
    reply_keys: &[&ROW, &OK],
    action: Action::Run(|mut args, call| {
        let prune = Prune { all: args.flag("all")?, unused: args.duration("unused")? };
        Ok(Box::pin(run(prune, call)))
    }),
};

async fn run(prune: Prune, call: Call) -> Result<Line, Refusal> {
    let store = call.engine.images.clone();
    let pruned = call.finish(async move { images::ask(&store, prune).await }).await?;
    for name in &pruned.names {
        call.line(&Line::row(&ROW, &[name])).await;
    }
    Ok(Line::ok(&OK, &[&pruned.names.len(), &pruned.bytes]))
}
