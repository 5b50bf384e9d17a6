//! `commit`: a container's files as an image.

use std::fs::File;
use std::sync::Arc;

use super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::container::plan::{Plan, Source};
use crate::container::state::Phase;
use crate::container::{Hold, Inspect, Pause, Resume, layer};
use crate::engine::{Engine, ask};
use crate::id::ImageRef;
use crate::images::{self, Base, Commit, Image};
use crate::supervisor::Child;
use crate::worker;

const OK: [&str; 3] = ["name", "digest", "size"];

/// `commit NAME REF` → `OK name= digest= size=`
pub const VERB: Verb = Verb {
    form: Form { name: "commit", required: &["NAME", "REF"], optional: &[], options: &[], argv: Argv::No },
    about: "make an image of a container",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let (name, reference) = (args.required()?, args.required()?.parse()?);
        Ok(Box::pin(run(name, reference, call)))
    }),
};

async fn run(name: String, reference: ImageRef, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    let engine = call.engine.clone();
    let image = call.finish(async move { commit(&child, reference, &engine).await }).await?;
    Ok(Line::ok(&OK, &[&image.name, &image.digest, &image.size]))
}

async fn commit(child: &Child, reference: ImageRef, engine: &Engine) -> Result<Arc<Image>, Refusal> {
    let name = child.view.borrow().name.clone();
    let source = ask(child, Hold).await??;
    let plan = ask(child, Inspect).await?;
    let config = layer::config(&plan, &source).map_err(|refusal| refusal.within(&name))?;
    let layer = quietly(child, &plan).await.map_err(|refusal| refusal.within(&name))?;
    let base = match source {
        Source::Image(image) => Base::Image(image),
        Source::Directory(dir) => Base::Directory(dir),
    };
    images::ask(&engine.images, Commit { base, layer, config, reference }).await
}

/// Writes the layer while the container stands still, where it runs: the image is of one moment.
async fn quietly(child: &Child, plan: &Arc<Plan>) -> Result<File, Refusal> {
    // Waited for before it stands still.
    let _turn = worker::long_turn().await;
    let phase = child.view.borrow().phase;
    // One that cannot be paused is ending: it is taken as it is.
    let paused = phase == Phase::Running && ask(child, Pause).await?.is_ok();
    let plan = plan.clone();
    let written = worker::beside(move || layer::write(&plan)).await;
    if paused && let Err(refusal) = ask(child, Resume).await? {
        // Somebody else resumed or ended it meanwhile.
        log::debug!("{refusal}");
    }
    if child.view.borrow().is_gone() {
        return Err(Refusal::not_found("it was removed meanwhile"));
    }
    written
}
