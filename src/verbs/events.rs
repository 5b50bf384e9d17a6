//! `events`: what happens, as it happens.

use std::time::{Duration, SystemTime};

use futures::FutureExt;
use tokio::sync::broadcast::error::RecvError;

use super::{Access, Action, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::events::{DETAILS, Event, KEYS, Kind};
use crate::wire::units;

/// How long a listener who was told rests, so that what happens thick and fast is told him by the armful.
const BREATH: Duration = Duration::from_millis(5);

const LOST: [&str; 2] = ["type", "count"];

/// `events [since=] [type=] [name=]` → `EVENT`… without end
pub const VERB: Verb = Verb {
    form: Form {
        name: "events",
        required: &[],
        optional: &[],
        options: &[
            &Opt::once("since", "TIME", "first what happened since that time, or that long ago, as far as it is kept"),
            &Opt::once("type", "container|image|network|volume|daemon", "that kind alone"),
            &Opt::once("name", "NAME", "that one alone"),
        ],
        argv: Argv::No,
    },
    about: "tell what happens, as it happens",
    access: Access::Open,
    reply_keys: &[&KEYS, &DETAILS, &LOST],
    action: Action::Run(|mut args, call| {
        let since = args.value("since", |text| units::moment(text, SystemTime::now()))?;
        let kind = args.value("type", kind)?;
        let name = args.text("name")?;
        Ok(Box::pin(run(since, Filter { kind, name }, call)))
    }),
};

fn kind(text: &str) -> Result<Kind, Refusal> {
    let known = Kind::ALL.iter().find(|kind| kind.as_str() == text).copied();
    known.ok_or_else(|| {
        Refusal::bad_value(format_args!("{text:?} is none of container, image, network, volume, daemon"))
    })
}

struct Filter {
    kind: Option<Kind>,
    name: Option<String>,
}

impl Filter {
    fn lets_through(&self, event: &Event) -> bool {
        // A container's name is a pair; its first half stands for every tag.
        let named = |name: &String| event.name == *name || event.name.split(':').next() == Some(name.as_str());
        self.kind.is_none_or(|kind| kind == event.kind) && self.name.as_ref().is_none_or(named)
    }
}

async fn run(since: Option<SystemTime>, filter: Filter, call: Call) -> Result<Line, Refusal> {
    let (past, mut live) = call.engine.bus.subscribe(since);
    call.line(&Line::event([("type", "subscribed")])).await;
    for event in past {
        tell(&event, &filter, &call).await;
    }
    loop {
        let mut next = Some(live.recv().await);
        while let Some(heard) = next {
            match heard {
                Ok(event) => tell(&event, &filter, &call).await,
                Err(RecvError::Lagged(count)) => {
                    call.line(&Line::event(LOST.into_iter().zip(["lost", &count.to_string()]))).await;
                }
                Err(RecvError::Closed) => return Err(Refusal::shutting_down("the daemon is on its way out")),
            }
            next = live.recv().now_or_never();
        }
        tokio::time::sleep(BREATH).await;
    }
}

async fn tell(event: &Event, filter: &Filter, call: &Call) {
    if filter.lets_through(event) {
        call.line(event.line(call.trusted)).await;
    }
}
