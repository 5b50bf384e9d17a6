//! `logs`: what a container wrote.

use super::stream::{LogOptions, Stream, TEXT, TIMESTAMPS};
use super::{Access, Action, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::container::follow::Reader;

/// `logs NAME [follow=yes] [tail=N] [since=] [timestamps=yes] [text=quoted]` → `LOG`…, `OK`
pub const VERB: Verb = Verb {
    form: Form {
        name: "logs",
        required: &["NAME"],
        optional: &[],
        options: &[
            &Opt::once("follow", "yes|no", "go on until the container ends"),
            &Opt::once("tail", "N", "the last N lines alone"),
            &Opt::once("since", "TIME", "what was written since that time, or that long ago"),
            &TIMESTAMPS,
            &TEXT,
        ],
        argv: Argv::No,
    },
    about: "show what a container wrote",
    access: Access::Private,
    reply_keys: &[&super::stream::LOST],
    action: Action::Run(|mut args, call| {
        let name = args.required()?;
        let (follow, tail) = (args.flag("follow")?, args.number("tail")?);
        let options = LogOptions::read(&mut args)?.with_since(&mut args)?;
        Ok(Box::pin(run(name, follow, tail, options, call)))
    }),
};

async fn run(name: String, follow: bool, tail: Option<u64>, options: LogOptions, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    let mut reader = Reader::open(&child.logs).await?;
    if let Some(count) = tail {
        reader.seek_tail(count).await.map_err(|e| Refusal::io("the container's log", &e))?;
    }
    let stream = Stream::new(reader, options, child.view);
    if follow {
        stream.follow(&call).await?;
    } else {
        stream.show(&call).await?;
    }
    Ok(Line::done())
}
