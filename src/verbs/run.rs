//! `run`: a container made and started in one go; with `attach=yes` its output is streamed until it ends.

use std::sync::Arc;

use tokio::sync::watch;

use super::create::{self, Made, Request};
use super::start::{start, told};
use super::stream::{LogOptions, Stream, TEXT, TIMESTAMPS};
use super::streams::{self, COLS, RAW, ROWS, Raw};
use super::{Access, Action, Args, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::container::exec::Output;
use crate::container::feed::Feed;
use crate::container::follow::Reader;
use crate::container::plan::Wishes;
use crate::container::{Attach, Remove, View};
use crate::engine::ask;
use crate::supervisor::Child;

const OK: [&str; 3] = ["name", "id", "exit"];
/// Tells an attached client, before the first output, what it may send signals to.
const STARTED: [&str; 3] = ["stage", "name", "id"];

const OWN: [&Opt; 6] =
    [&Opt::once("attach", "yes|no", "stream what it writes, and end with it"), &TEXT, &TIMESTAMPS, &RAW, &ROWS, &COLS];

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

/// `run IMAGE [options] [-- argv…]` → `OK name= id= pid= ip= ports=`, or with `attach=yes` `LOG`… and `OK name= id= exit=`, or `OK raw id=`
pub const VERB: Verb = Verb {
    form: Form { name: "run", required: &[], optional: &["IMAGE"], options: &OPTIONS, argv: Argv::Maybe },
    about: "make a container and run it",
    access: Access::Change,
    reply_keys: &[
        &super::image::PROGRESS,
        &super::image::BLOB_PROGRESS,
        &super::start::OK,
        &STARTED,
        &super::stream::LOST,
        &OK,
    ],
    action: Action::Run(|mut args, call| {
        let mut request = Request::read(&mut args)?;
        let shown = Shown::read(&mut args, request.wishes(), &call)?;
        Ok(Box::pin(async move {
            match shown {
                Shown::Nothing => detached(request, call).await,
                Shown::Lines(options, feed) => attached(request, options, feed, call).await,
                Shown::Raw => raw(request, call).await,
            }
        }))
    }),
};

/// How the client stays with it.
enum Shown {
    /// Not at all.
    Nothing,
    /// In lines; `input` brings what it reads.
    Lines(LogOptions, Option<Feed>),
    /// The connection becomes its standard streams.
    Raw,
}

impl Shown {
    fn read(args: &mut Args, wishes: &mut Wishes, call: &Call) -> Result<Self, Refusal> {
        let (attach, raw, options) = (args.flag("attach")?, args.flag_or_unsaid("raw")?, LogOptions::read(args)?);
        wishes.size = streams::size(args)?;
        streams::check_size(wishes.size, wishes.tty)?;
        if !attach && (options.is_any() || raw == Some(true)) {
            return Err(Refusal::bad_option("text=, timestamps= and raw=yes go with attach=yes"));
        }
        if attach && streams::is_raw(raw, wishes.tty, &options)? {
            wishes.stdin.get_or_insert(true);
            streams::claim(call)?;
            return Ok(Self::Raw);
        }
        // Made now: an 'input' that follows at once finds it.
        let feed = (attach && wishes.takes_input()).then(|| call.feed());
        Ok(if attach { Self::Lines(options, feed) } else { Self::Nothing })
    }
}

async fn detached(request: Request, call: Call) -> Result<Line, Refusal> {
    let ready = request.obtain(&call).await?;
    let engine = call.engine.clone();
    // One change from the making to the start: whoever leaves in between leaves nothing half done.
    let view = call.finish(async move { start_or_remove(ready.make(&engine).await?).await }).await?;
    Ok(told(&view))
}

async fn attached(request: Request, options: LogOptions, feed: Option<Feed>, call: Call) -> Result<Line, Refusal> {
    let ready = request.obtain(&call).await?;
    let engine = call.engine.clone();
    let begun = call.finish(async move { begin(ready.make(&engine).await?, feed).await });
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
async fn begin(made: Made, feed: Option<Feed>) -> Result<(Reader, watch::Receiver<Arc<View>>), Refusal> {
    // Opened before it runs: with rm=yes it may be gone before we look again.
    let reader = Reader::open(&made.child.logs).await;
    let fed = match feed {
        Some(feed) => attach(&made.child, Some(feed), false).await.map(drop),
        None => Ok(()),
    };
    let ready = reader.and_then(|reader| fed.map(|()| reader));
    if ready.is_err() {
        remove(&made.child).await;
    }
    let (reader, view) = (ready?, made.child.view.clone());
    start_or_remove(made).await?;
    Ok((reader, view))
}

/// The same, whose streams the connection becomes.
async fn raw(request: Request, call: Call) -> Result<Line, Refusal> {
    let ready = request.obtain(&call).await?;
    let engine = call.engine.clone();
    let begun = call.finish(async move {
        let made = ready.make(&engine).await?;
        let (input, feed) = streams::input(made.takes_input);
        let attached = attach(&made.child, feed, true).await;
        if attached.is_err() {
            remove(&made.child).await;
        }
        let output = attached?.ok_or_else(|| Refusal::internal("a container gave no output"))?;
        let view = start_or_remove(made).await?;
        Ok((Raw { input, output }, view))
    });
    let (raw, view) = begun.await?;
    Ok(streams::turn(&call, raw, &view.id))
}

async fn attach(child: &Child, feed: Option<Feed>, output: bool) -> Result<Option<Output>, Refusal> {
    ask(child, Attach { feed, output }).await?
}

/// A run that fails leaves nothing behind.
async fn start_or_remove(Made { child, fresh, .. }: Made) -> Result<Arc<View>, Refusal> {
    let started = start(child.clone()).await;
    if started.is_err() {
        remove(&child).await;
        fresh.remove().await;
    }
    started
}

/// Removes it, and waits until its name is free.
async fn remove(child: &Child) {
    if child.addr.send_surely(Remove { force: true }).await.is_ok() {
        // An error means that it is gone, which is what is waited for.
        let _ = child.view.clone().wait_for(|v| v.is_gone()).await;
    }
}
