//! `attach`: what a container writes from now on, and its standard input.

use super::stream::{LogOptions, Stream, TEXT, TIMESTAMPS};
use super::streams::{self, COLS, RAW, ROWS, Raw, STDIN};
use super::{Access, Action, Args, Argv, Call, Form, Line, Refusal, Verb};
use crate::container::feed::{Feed, Feeder};
use crate::container::follow::Reader;
use crate::container::state::{Phase, failed};
use crate::container::{Attach, Inspect, Resize};
use crate::engine::ask;
use crate::supervisor::Child;
use crate::tools::terminal::Size;

const OK: [&str; 2] = ["name", "exit"];
/// Tells the client from when on it sees everything.
const ATTACHED: [&str; 3] = ["stage", "name", "id"];

/// `attach NAME [stdin=yes] [raw=yes] [rows=] [cols=] [text=quoted] [timestamps=yes]` → `LOG`…, `OK name= exit=`
pub const VERB: Verb = Verb {
    form: Form {
        name: "attach",
        required: &["NAME"],
        optional: &[],
        options: &[&STDIN, &RAW, &ROWS, &COLS, &TIMESTAMPS, &TEXT],
        argv: Argv::No,
    },
    about: "be at a container's standard streams",
    access: Access::Change,
    reply_keys: &[&ATTACHED, &OK],
    action: Action::Run(|mut args, call| {
        let name = args.required()?;
        let wanted = Wanted::read(&mut args)?;
        match wanted.raw {
            Some(true) => streams::claim(&call)?,
            // It has to be asked what kind of container that is; what follows may be for that.
            None if call.tag.is_none() => call.hold_lines(),
            _ => {}
        }
        // Made now: an 'input' that follows at once finds it.
        let feed = (wanted.stdin == Some(true) && wanted.raw != Some(true)).then(|| call.feed());
        Ok(Box::pin(run(name, wanted, feed, call)))
    }),
};

struct Wanted {
    stdin: Option<bool>,
    raw: Option<bool>,
    size: Option<Size>,
    options: LogOptions,
}

impl Wanted {
    fn read(args: &mut Args) -> Result<Self, Refusal> {
        let (stdin, raw) = (args.flag_or_unsaid("stdin")?, args.flag_or_unsaid("raw")?);
        Ok(Self { stdin, raw, size: streams::size(args)?, options: LogOptions::read(args)? })
    }
}

async fn run(name: String, wanted: Wanted, feed: Option<Feed>, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    let plan = ask(&child, Inspect).await?;
    let is_raw = streams::is_raw(wanted.raw, plan.wishes.tty, &wanted.options)?;
    if is_raw {
        streams::claim(&call)?;
    }
    if wanted.size.is_some() && !plan.wishes.tty {
        return Err(Refusal::wrong_state(format_args!("{}: it has no terminal", plan.name)));
    }
    if is_raw {
        let takes_input = wanted.stdin.unwrap_or(plan.wishes.takes_input());
        // One that was made for lines already is used for this.
        let ends = call.take_feeder().zip(feed).map(|(feeder, feed)| (Some(feeder), Some(feed)));
        let ends = ends.unwrap_or_else(|| streams::input(takes_input));
        return raw(&child, ends, wanted.size, &call).await;
    }
    call.release_lines();
    lines(child, feed, &wanted, &call).await
}

async fn raw(
    child: &Child,
    (input, feed): (Option<Feeder>, Option<Feed>),
    size: Option<Size>,
    call: &Call,
) -> Result<Line, Refusal> {
    let attached = ask(child, Attach { feed, output: true }).await??;
    let output = attached.ok_or_else(|| Refusal::internal("a container gave no output"))?;
    resize(child, size).await?;
    let view = child.view.borrow().clone();
    Ok(streams::turn(call, Raw { input, output }, &view.id))
}

async fn lines(child: Child, feed: Option<Feed>, wanted: &Wanted, call: &Call) -> Result<Line, Refusal> {
    if child.view.borrow().has_failed() {
        return Err(failed().within(&child.view.borrow().name));
    }
    if matches!(child.view.borrow().phase, Phase::Leaving | Phase::Exited) {
        return Err(Refusal::wrong_state(format_args!("{}: it is not running", child.view.borrow().name)));
    }
    let mut reader = Reader::open(&child.logs).await?;
    reader.seek_tail(0).await.map_err(|e| Refusal::io("the container's log", &e))?;
    if feed.is_some() {
        ask(&child, Attach { feed, output: false }).await??;
    }
    resize(&child, wanted.size).await?;
    let began = child.view.borrow().clone();
    streams::tell(call, "attached", &began.name, &began.id).await;
    Stream::new(reader, wanted.options.clone(), child.view.clone()).follow(call).await?;
    let mut view = child.view;
    // An error means that the actor is gone; what it last showed is told.
    let _ = view.wait_for(|v| v.has_ended() || v.is_gone()).await;
    let ended = view.borrow().clone();
    let exit =
        ended.exit.ok_or_else(|| Refusal::wrong_state(format_args!("{} was removed and never ran", ended.name)))?;
    Ok(Line::ok(&OK, &[&ended.name, &exit]))
}

async fn resize(child: &Child, size: Option<Size>) -> Result<(), Refusal> {
    match size {
        Some(size) => ask(child, Resize(size)).await?,
        None => Ok(()),
    }
}
