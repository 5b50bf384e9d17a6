//! `exec`: one more process in a running container.

use super::create::variable;
use super::stream::{LogOptions, TEXT, TIMESTAMPS};
use super::{Access, Action, Args, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::container::Inspect;
use crate::container::exec::split::Splitter;
use crate::container::exec::{Output, Wishes};
use crate::container::state::Phase;
use crate::engine::unanswered;
use crate::wire::args::absolute;

const OK: [&str; 2] = ["id", "exit"];
/// Tells the client, before the first output, what it may wait for and send signals to.
const STARTED: [&str; 3] = ["stage", "name", "id"];

/// `exec NAME [env=]… [user=] [workdir=] [text=quoted] [timestamps=yes] -- argv…` → `LOG`…, `OK id= exit=`
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
            &Opt::once("stdin", "yes|no", "a standard input for 'input' to feed").later(),
            &Opt::once("tty", "yes|no", "a terminal").later(),
            &Opt::once("raw", "yes|no", "turn the connection into its standard streams").later(),
            &Opt::once("rows", "N", "the terminal's height").later(),
            &Opt::once("cols", "N", "the terminal's width").later(),
        ],
        argv: Argv::Must,
    },
    about: "run a command in a running container",
    access: Access::Change,
    reply_keys: &[&STARTED, &OK],
    action: Action::Run(|mut args, call| {
        let (name, wishes) = (args.required()?, wishes(&mut args)?);
        let options = LogOptions::read(&mut args)?;
        Ok(Box::pin(run(name, wishes, options, call)))
    }),
};

fn wishes(args: &mut Args) -> Result<Wishes, Refusal> {
    Ok(Wishes {
        argv: args.argv().unwrap_or_default(),
        env: args.all_bytes("env")?.into_iter().map(variable).collect::<Result<_, _>>()?,
        workdir: args.value("workdir", |dir| absolute(dir).map(|_| dir.to_owned()))?,
        user: args.text("user")?,
    })
}

async fn run(name: String, wishes: Wishes, options: LogOptions, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    check_running(child.view.borrow().phase).map_err(|refusal| refusal.within(&child.view.borrow().name))?;
    let plan = child.addr.send(Inspect).await.map_err(|e| unanswered(&e))?;
    let started = call.engine.execs.clone().start(plan, wishes, call.engine.ground.clone());
    let (exec, output) = call.finish(started).await?;
    call.line(&Line::progress(&STARTED, &[&"started", &exec.container, &exec.id])).await;
    tell(output, &options, &call).await;
    let exit = exec.ended().await?;
    Ok(Line::ok(&OK, &[&exec.id, &exit.code]))
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
