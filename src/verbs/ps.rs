//! `ps`: every container, running or not.

use super::{Access, Action, Args, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::container::View;
use crate::wire::units::rfc3339;

const ROW: [&str; 13] = [
    "name", "id", "image", "state", "pid", "ip", "ports", "exit", "restarts", "health", "created", "started",
    "finished",
];
const OK: [&str; 1] = ["count"];
/// The states of a container, as the wire spells them.
pub const STATES: &[&str] = &["created", "running", "paused", "stopping", "exited"];

/// `ps [name=] [state=] [label=]` → `ROW`…, `OK count=`
pub const VERB: Verb = Verb {
    form: Form {
        name: "ps",
        required: &[],
        optional: &[],
        options: &[
            &Opt::once("name", "NAME[:TAG]", "those of that name, or that very one"),
            &Opt::once("state", "created|running|paused|stopping|exited", "those in that state"),
            &Opt::many("label", "NAME[=VALUE]", "those with that label"),
        ],
        argv: Argv::No,
    },
    about: "list the containers",
    access: Access::Open,
    reply_keys: &[&ROW, &OK],
    action: Action::Run(|mut args, call| {
        let filter = Filter::read(&mut args)?;
        Ok(Box::pin(run(filter, call)))
    }),
};

struct Filter {
    name: Option<String>,
    state: Option<String>,
    labels: Vec<String>,
}

impl Filter {
    fn read(args: &mut Args) -> Result<Self, Refusal> {
        let state = args.value("state", |text| match STATES.contains(&text) {
            true => Ok(text.to_owned()),
            false => Err(Refusal::bad_value(format_args!("{text:?} is none of {}", STATES.join(", ")))),
        })?;
        Ok(Self { name: args.text("name")?, state, labels: args.all_text("label")? })
    }

    fn lets_through(&self, view: &View) -> bool {
        let named = |name: &String| view.name.name() == name || view.name.as_str() == name;
        self.name.as_ref().is_none_or(named)
            && self.state.as_ref().is_none_or(|state| view.state() == state)
            && self.labels.iter().all(|label| has_label(view, label))
    }
}

fn has_label(view: &View, label: &str) -> bool {
    match label.split_once('=') {
        Some((name, value)) => view.labels.get(name).is_some_and(|v| v == value),
        None => view.labels.contains_key(label),
    }
}

async fn run(filter: Filter, call: Call) -> Result<Line, Refusal> {
    let views = call.engine.list().await?;
    let mut count = 0;
    for view in views.iter().filter(|view| filter.lets_through(view)) {
        call.line(&row(view)).await;
        count += 1;
    }
    Ok(Line::ok(&OK, &[&count]))
}

fn row(view: &View) -> Line {
    let or_empty = |value: Option<String>| value.unwrap_or_default();
    Line::row(
        &ROW,
        &[
            &view.name,
            &view.id,
            &view.image,
            &view.state(),
            &or_empty(view.pid.map(|pid| pid.to_string())),
            &or_empty(view.ip.map(|ip| ip.to_string())),
            &view.ports_text(),
            &or_empty(view.exit.map(|code| code.to_string())),
            &view.restarts,
            &view.health_text(),
            &rfc3339(view.created),
            &or_empty(view.started.map(rfc3339)),
            &or_empty(view.finished.map(rfc3339)),
        ],
    )
}
