//! `update`: other limits for a container, at once where it runs and for every start to come.

use super::call::CHANGED;
use super::create::{memory, memory_and_swap, milli_cpus, pids};
use super::{Access, Action, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::cgroup::limits::Limits;
use crate::container::Update;

/// `update NAME [memory=] [memory-swap=] [cpus=] [pids=]` → `OK name=`
pub const VERB: Verb = Verb {
    form: Form {
        name: "update",
        required: &["NAME"],
        optional: &[],
        options: &[
            &Opt::once("memory", "SIZE", "memory limit"),
            &Opt::once("memory-swap", "SIZE", "limit of memory and swap together; -1 for all the swap there is"),
            &Opt::once("cpus", "N[.NNN]", "CPU limit, in CPUs"),
            &Opt::once("pids", "N", "limit of processes and threads; 0 for none"),
        ],
        argv: Argv::No,
    },
    about: "give a container other limits, while it runs too",
    access: Access::Change,
    reply_keys: &[&CHANGED],
    action: Action::Run(|mut args, call| {
        let name = args.required()?;
        let limits = Limits {
            memory: args.value("memory", memory)?,
            memory_swap: args.value("memory-swap", memory_and_swap)?,
            milli_cpus: args.value("cpus", milli_cpus)?,
            pids: args.value("pids", pids)?,
        };
        if limits.is_empty() {
            return Err(Refusal::bad_request("say what is to change: memory=, memory-swap=, cpus= or pids="));
        }
        Ok(Box::pin(run(name, limits, call)))
    }),
};

async fn run(name: String, limits: Limits, call: Call) -> Result<Line, Refusal> {
    call.change(call.engine.child(&name).await?, Update { limits }).await
}
