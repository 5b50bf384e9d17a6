//! `exec`: one more process in a running container.

use super::create::variable;
use super::stream::{LogOptions, TEXT, TIMESTAMPS};
use super::streams::{self, COLS, RAW, ROWS, Raw, STDIN, TTY};
use super::{Access, Action, Args, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::container::Inspect;
use crate::container::exec::split::Splitter;
use crate::container::exec::{Output, Streams, Wishes};
use crate::container::feed::Feed;
use crate::container::state::Phase;
use crate::engine::ask;
use crate::wire::args::absolute;

const OK: [&str; 2] = ["id", "exit"];
/// Tells the client, before the first output, what it may wait for and send signals to.
const STARTED: [&str; 3] = ["stage", "name", "id"];

/// `exec NAME [option…] -- argv…` → `LOG`…, `OK id= exit=`, or `OK raw id=`
pub const VERB: Verb = Verb {
    form: Form {
        name: "exec",
        required: &["NAME"],
        optional: &[],
        options: &[
            &Opt::many("env", "NAME=VALUE", "a variable more of its environment"),
            &Opt::once("user", "USER[:GROUP]", "who it runs as, in place of the container's user"),
            &Opt::once("workdir", "DIR", "its working directory, in place of the container's"),
            &TIMESTAMPS,
            &TEXT,
            &STDIN,
            &TTY,
            &RAW,
            &ROWS,
            &COLS,
        ],
        argv: Argv::Must,
    },
    about: "run a command in a running container",
    access: Access::Change,
    reply_keys: &[&STARTED, &OK],
    action: Action::Run(|mut args, call| {
        let (name, mut wishes) = (args.required()?, wishes(&mut args)?);
        let shown = Shown::read(&mut args, &mut wishes, &call)?;
        Ok(Box::pin(run(name, wishes, shown, call)))
    }),
};

fn wishes(args: &mut Args) -> Result<Wishes, Refusal> {
    Ok(Wishes {
        argv: args.argv().unwrap_or_default(),
        env: args.all_bytes("env")?.into_iter().map(variable).collect::<Result<_, _>>()?,
        workdir: args.value("workdir", |dir| absolute(dir).map(|_| dir.to_owned()))?,
        user: args.text("user")?,
        streams: Streams::default(),
    })
}

/// How the client is with the process.
enum Shown {
    /// In lines; `input` brings what it reads.
    Lines(LogOptions, Option<Feed>),
    /// The connection becomes its streams.
    Raw { takes_input: bool },
}

impl Shown {
    /// Reads what there is to its streams.
    fn read(args: &mut Args, wishes: &mut Wishes, call: &Call) -> Result<Self, Refusal> {
        let (tty, stdin, raw) = (args.flag("tty")?, args.flag_or_unsaid("stdin")?, args.flag_or_unsaid("raw")?);
        let (size, options) = (streams::size(args)?, LogOptions::read(args)?);
        streams::check_size(size, tty)?;
        let raw = streams::is_raw(raw, tty, &options)?;
        let takes_input = stdin.unwrap_or(raw || tty);
        wishes.streams = if tty { Streams::Terminal(size) } else { Streams::Pipes { stdin: takes_input, merged: raw } };
        if raw {
            streams::claim(call)?;
            return Ok(Self::Raw { takes_input });
        }
        // Made now: an 'input' that follows at once finds it.
        Ok(Self::Lines(options, takes_input.then(|| call.feed())))
    }
}

async fn run(name: String, wishes: Wishes, shown: Shown, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    check_running(child.view.borrow().phase).map_err(|refusal| refusal.within(&child.view.borrow().name))?;
    let plan = ask(&child, Inspect).await?;
    let (execs, ground) = (call.engine.execs.clone(), call.engine.ground.clone());
    match shown {
        Shown::Raw { takes_input } => {
            let (input, feed) = streams::input(takes_input);
            let (exec, output) = call.finish(execs.start(plan, wishes, feed, ground)).await?;
            Ok(streams::turn(&call, Raw { input, output }, &exec.id))
        }
        Shown::Lines(options, feed) => {
            let (exec, output) = call.finish(execs.start(plan, wishes, feed, ground)).await?;
            streams::tell(&call, "started", &exec.container, &exec.id).await;
            if call.is_cancelled() {
                return Err(Refusal::cancelled("no longer attached; the process runs on"));
            }
            tell(output, &options, &call).await;
            let exit = exec.ended().await?;
            Ok(Line::ok(&OK, &[&exec.id, &exit.code]))
        }
    }
}

fn check_running(phase: Phase) -> Result<(), Refusal> {
    match phase {
        Phase::Running | Phase::Stopping => Ok(()),
        Phase::Paused => Err(Refusal::wrong_state("it is paused; 'resume' lets it go on")),
        _ => Err(Refusal::wrong_state("it is not running")),
    }
}

/// Sends what it writes, at the client's pace.
async fn tell(mut output: Output, options: &LogOptions, call: &Call) {
    let (mut out, mut err) = (Splitter::default(), Splitter::default());
    let mut last = std::time::SystemTime::now();
    while let Some(chunk) = output.next().await {
        last = chunk.time;
        let splitter = if chunk.stream == "stdout" { &mut out } else { &mut err };
        for piece in splitter.take(&chunk.bytes) {
            call.line(&options.piece(chunk.stream, chunk.time, &piece)).await;
        }
    }
    for (stream, mut splitter) in [("stdout", out), ("stderr", err)] {
        if let Some(piece) = splitter.finish() {
            call.line(&options.piece(stream, last, &piece)).await;
        }
    }
}
