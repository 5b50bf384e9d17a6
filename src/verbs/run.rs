//! `run`: a container made and started in one go; with `attach=yes` its output is streamed until it ends.

use std::sync::Arc;

use tokio::sync::watch;

use super::create::{self, Made, Request};
use super::start::{start, told};
use super::stream::{LogOptions, Stream, TEXT, TIMESTAMPS};
use super::{Access, Action, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::container::follow::Reader;
use crate::container::{Remove, View};
use crate::supervisor::Child;

const OK: [&str; 3] = ["name", "id", "exit"];
/// Tells an attached client, before the first output, what it may send signals to.
const STARTED: [&str; 3] = ["stage", "name", "id"];

const OWN: [&Opt; 6] = [
    &Opt::once("attach", "yes|no", "stream what it writes, and end with it"),
    &TEXT,
    &TIMESTAMPS,
    &Opt::once("raw", "yes|no", "turn the connection into its standard streams").later(),
    &Opt::once("rows", "N", "the terminal's height").later(),
    &Opt::once("cols", "N", "the terminal's width").later(),
];

const OPTIONS: [&Opt; create::OPTIONS.len() + OWN.len()] = joined();

const fn joined() -> [&'static Opt; create::OPTIONS.len() + OWN.len()] {
    let mut all = [OWN[0]; create::OPTIONS.len() + OWN.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < create::OPTIONS.len() { create::OPTIONS[at] } else { OWN[at - create::OPTIONS.len()] };
        at += 1;
    }
    all
}

/// `run IMAGE [options] [-- argv…]` → `OK name= id= pid= ip= ports=`, or with `attach=yes` `LOG`… and `OK name= id= exit=`
pub const VERB: Verb = Verb {
    form: Form { name: "run", required: &[], optional: &["IMAGE"], options: &OPTIONS, argv: Argv::Maybe },
    about: "make a container and run it",
    access: Access::Change,
    reply_keys: &[&super::image::PROGRESS, &super::start::OK, &STARTED, &super::stream::LOST, &OK],
    action: Action::Run(|mut args, call| {
        let request = Request::read(&mut args)?;
        let attach = args.flag("attach")?;
        let options = LogOptions::read(&mut args)?;
        if !attach && options.is_any() {
            return Err(Refusal::bad_option("text= and timestamps= go with attach=yes"));
        }
        Ok(Box::pin(async move {
            if attach { attached(request, options, call).await } else { detached(request, call).await }
        }))
    }),
};

async fn detached(request: Request, call: Call) -> Result<Line, Refusal> {
    let ready = request.obtain(&call).await?;
    let engine = call.engine.clone();
    // One change from the making to the start: whoever leaves in between leaves nothing half done.
    let view = call.finish(async move { start_or_remove(ready.make(&engine).await?).await }).await?;
    Ok(told(&view))
}

async fn attached(request: Request, options: LogOptions, call: Call) -> Result<Line, Refusal> {
    let ready = request.obtain(&call).await?;
    let engine = call.engine.clone();
    let begun = call.finish(async move { begin(ready.make(&engine).await?).await });
    let (reader, mut view) = begun.await?;
    let began = view.borrow().clone();
    call.line(&Line::progress(&STARTED, &[&"started", &began.name, &began.id])).await;
    if call.is_cancelled() {
        return Err(Refusal::cancelled("no longer attached; the container runs on"));
    }
    Stream::new(reader, options, view.clone()).follow(&call).await?;
    let ended =
        view.wait_for(|v| v.has_ended()).await.map_err(|_| Refusal::internal("the container's actor is gone"))?.clone();
    Ok(Line::ok(&OK, &[&ended.name, &ended.id, &ended.exit.unwrap_or_default()]))
}

/// Starts a container whose output is wanted from its first byte.
async fn begin(made: Made) -> Result<(Reader, watch::Receiver<Arc<View>>), Refusal> {
    // Opened before it runs: with rm=yes it may be gone before we look again.
    let reader = Reader::open(&made.child.logs).await;
    if reader.is_err() {
        remove(&made.child).await;
    }
    let (reader, view) = (reader?, made.child.view.clone());
    start_or_remove(made).await?;
    Ok((reader, view))
}

/// A run that fails leaves nothing behind.
async fn start_or_remove(Made { child, fresh }: Made) -> Result<Arc<View>, Refusal> {
    let started = start(child.clone()).await;
    if started.is_err() {
        remove(&child).await;
        fresh.remove().await;
    }
    started
}

/// Removes it, and waits until its name is free.
async fn remove(child: &Child) {
    if child.addr.send(Remove { force: true }).await.is_ok() {
        // An error means that it is gone, which is what is waited for.
        let _ = child.view.clone().wait_for(|v| v.is_gone()).await;
    }
}
