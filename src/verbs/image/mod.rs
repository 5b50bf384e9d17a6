//! The verbs of images, and what `create` and `run` share with them.

pub mod import;
pub mod inspect;
pub mod load;
pub mod ls;
pub mod prune;
pub mod pull;
pub mod rm;
pub mod save;
pub mod tag;
pub mod verify;

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Args, Call, Line, Opt, Refusal};
use crate::id::ImageRef;
use crate::images::{self, Image, Progress, PullOptions, PullPolicy};

/// Whether a registry's certificate is checked.
pub const PULL_TLS_VERIFY: Opt = Opt::once("tls-verify", "yes|no", "no: plain HTTP and unknown certificates will do");
/// Where credentials are.
pub const PULL_AUTHFILE: Opt =
    Opt::once("authfile", "FILE", "credentials for the registry, as containers-auth.json(5)");
/// Which of a multi-platform image's images is meant.
pub const PULL_PLATFORM: Opt = Opt::once("platform", "OS/ARCH[/VARIANT]", "in place of this host's");

/// What a pull tells while it goes on.
pub const PROGRESS: [&str; 3] = ["stage", "done", "total"];
/// The same, where it is told of one blob.
pub const BLOB_PROGRESS: [&str; 4] = ["stage", "blob", "done", "total"];
/// How many reports of a pull may wait; more are dropped, as each outdates the last.
const REPORTS: usize = 4;

/// Reads the options of a pull.
pub fn pull_options(args: &mut Args) -> Result<PullOptions, Refusal> {
    Ok(PullOptions {
        tls_verify: args.flag_or_unsaid("tls-verify")?,
        authfile: args.path("authfile")?,
        platform: args.value("platform", platform)?,
    })
}

fn platform(text: &str) -> Result<String, Refusal> {
    let parts: Vec<&str> = text.split('/').collect();
    let fits = (2..=3).contains(&parts.len()) && parts.iter().all(|part| !part.is_empty());
    if fits { Ok(text.to_owned()) } else { Err(Refusal::bad_value(format_args!("{text:?} is not OS/ARCH[/VARIANT]"))) }
}

/// Finds an image, pulling it where the policy says so, and tells of the progress.
pub async fn obtain(
    call: &Call,
    reference: ImageRef,
    policy: PullPolicy,
    options: PullOptions,
) -> Result<Arc<Image>, Refusal> {
    let (sender, mut reports) = mpsc::channel(REPORTS);
    let ensured = images::ensure(&call.engine.images, reference, policy, options, Some(sender));
    let told = async {
        while let Some(Progress { stage, done, total, blob }) = reports.recv().await {
            let line = match blob {
                None => Line::progress(&PROGRESS, &[&stage, &done, &total]),
                Some(blob) => Line::progress(&BLOB_PROGRESS, &[&stage, &blob, &done, &total]),
            };
            call.line(&line).await;
        }
    };
    let (image, ()) = futures::join!(ensured, told);
    image
}
