//! `image verify`: images checked in full against their digests.

use super::super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::id::ImageRef;
use crate::images::{self, List, Verified, Verify};
use crate::refusal::Code;

const ROW: [&str; 3] = ["name", "ok", "detail"];
const OK: [&str; 1] = ["failed"];

/// `image verify [REF]` → `ROW name= ok=yes|no detail=`…, `OK failed=N`
pub const VERB: Verb = Verb {
    form: Form { name: "image verify", required: &[], optional: &["REF"], options: &[], argv: Argv::No },
    about: "check an image, or all, in full against the digests",
    // It shows names of files, and takes the disk's and a processor's time.
    access: Access::Private,
    reply_keys: &[&ROW, &OK],
    action: Action::Run(|mut args, call| {
        let reference = args.positional().map(|text| text.parse()).transpose()?;
        Ok(Box::pin(run(reference, call)))
    }),
};

/// One image after the other, each told when it is done: whoever leaves ends it with the image whose turn it is.
async fn run(reference: Option<ImageRef>, call: Call) -> Result<Line, Refusal> {
    let (names, is_asked_for) = match reference {
        Some(reference) => (vec![reference], true),
        None => (all(&call).await?, false),
    };
    let mut failed = 0;
    for name in names {
        match images::ask(&call.engine.images, Verify { reference: Some(name) }).await {
            Ok(verified) => failed += tell(&verified, &call).await,
            // Removed since it was listed.
            Err(refusal) if refusal.code() == Code::NotFound && !is_asked_for => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(Line::ok(&OK, &[&failed]))
}

async fn all(call: &Call) -> Result<Vec<ImageRef>, Refusal> {
    let listed = call.engine.images.send(List).await.map_err(|e| Refusal::unanswered("the image store", e))?;
    Ok(listed.into_iter().map(|image| image.name).collect())
}

/// Tells what was found, and gives back how many are not as they should be.
async fn tell(verified: &[Verified], call: &Call) -> usize {
    for image in verified {
        let ok = if image.faults.is_empty() { "yes" } else { "no" };
        let detail = match image.faults.is_empty() {
            true => image.digest.clone(),
            false => format!("{}; pull or load it anew while no container uses it", image.faults.join("; ")),
        };
        call.line(&Line::row(&ROW, &[&image.name, &ok, &detail])).await;
    }
    verified.iter().filter(|image| !image.faults.is_empty()).count()
}
