//! `diff`: what a container changed in its files.

use std::os::unix::ffi::OsStrExt;

use tokio::sync::mpsc;

use super::{Access, Action, Call, Form, Line, Refusal, Verb};
use crate::container::{Inspect, layer};
use crate::engine::ask;
use crate::overlay::Change;
use crate::worker;

const ROW: [&str; 2] = ["kind", "path"];
const OK: [&str; 1] = ["count"];
/// How many rows wait for the client before the walk does.
const AHEAD: usize = 256;
/// Bytes of the thread's stack: the walk does not call itself.
const STACK: usize = 256 << 10;

/// `diff NAME` → `ROW kind= path=`…, `OK count=`
pub const VERB: Verb = Verb {
    form: Form::of_name("diff"),
    about: "list what a container changed in its files",
    access: Access::Private,
    reply_keys: &[&ROW, &OK],
    action: Action::Run(|mut args, call| {
        let name = args.required()?;
        Ok(Box::pin(run(name, call)))
    }),
};

async fn run(name: String, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    let plan = ask(&child, Inspect).await?;
    let busy = |_| Refusal::busy("too many look through containers' files already; try again");
    let _turn = call.engine.lookers.clone().try_acquire_owned().map_err(busy)?;
    let (rows, mut told) = mpsc::channel(AHEAD);
    // A thread of its own, since it goes at the client's pace.
    let walk = worker::apart("diff", STACK, move || {
        let tell = |change: &Change<'_>| rows.blocking_send(row(change)).map_err(|_| Refusal::cancelled("nobody asks"));
        layer::overlay(&plan)?.changes(&mut { tell })
    });
    let mut count = 0_usize;
    let tell = async {
        while let Some(row) = told.recv().await {
            call.line(&row).await;
            count += 1;
        }
    };
    let (walked, ()) = futures::join!(walk, tell);
    walked.map_err(|refusal| refusal.within(&child.view.borrow().name))?;
    Ok(Line::ok(&OK, &[&count]))
}

fn row(change: &Change<'_>) -> Line {
    let path = [b"/", change.path.as_os_str().as_bytes()].concat();
    Line::row_of_bytes(&ROW, &[change.kind.as_str().as_bytes(), &path])
}
