//! `image pull`: an image is fetched from its registry.

use super::super::{Access, Action, Argv, Form, Line, Verb};
use super::{BLOB_PROGRESS, PROGRESS, PULL_AUTHFILE, PULL_PLATFORM, PULL_TLS_VERIFY, obtain, pull_options};
use crate::images::PullPolicy;

const OK: [&str; 3] = ["name", "digest", "size"];

/// `image pull REF [tls-verify=no] [authfile=] [platform=]` → `PROGRESS`…, `OK name= digest= size=`
pub const VERB: Verb = Verb {
    form: Form {
        name: "image pull",
        required: &["REF"],
        optional: &[],
        options: &[&PULL_TLS_VERIFY, &PULL_AUTHFILE, &PULL_PLATFORM],
        argv: Argv::No,
    },
    about: "fetch an image from its registry",
    access: Access::Change,
    reply_keys: &[&PROGRESS, &BLOB_PROGRESS, &OK],
    action: Action::Run(|mut args, call| {
        let (reference, options) = (args.required()?.parse()?, pull_options(&mut args)?);
        Ok(Box::pin(async move {
            let image = obtain(&call, reference, PullPolicy::Always, options).await?;
            Ok(Line::ok(&OK, &[&image.name, &image.digest, &image.size]))
        }))
    }),
};
