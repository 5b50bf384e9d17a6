//! `top`: the processes of a container.

use super::{Access, Action, Call, Form, Line, Refusal, Verb};
use crate::container::Inspect;
use crate::container::processes::look_at;
use crate::engine::ask;
use crate::worker;

const ROW: [&str; 5] = ["pid", "user", "time", "state", "command"];
const OK: [&str; 1] = ["name"];

/// `top NAME` → `ROW`…, `OK name=`
pub const VERB: Verb = Verb {
    form: Form::of_name("top"),
    about: "list the processes of a container",
    access: Access::Private,
    reply_keys: &[&ROW, &OK],
    action: Action::Run(|mut args, call| {
        let name = args.required()?;
        Ok(Box::pin(run(name, call)))
    }),
};

async fn run(name: String, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    let view = child.view.borrow().clone();
    if !view.has_process() {
        return Err(Refusal::wrong_state(format_args!("{}: it is not running", view.name)));
    }
    let plan = ask(&child, Inspect).await?;
    let pids = call.engine.ground.cgroups.processes(&plan.places.cgroup);
    let processes = worker::beside(move || look_at(&pids, &plan)).await?;
    for p in processes {
        let time = format!("{:.2}", p.time);
        call.line(&Line::row(&ROW, &[&p.pid, &p.user, &time, &p.state, &p.command])).await;
    }
    Ok(Line::ok(&OK, &[&view.name]))
}
