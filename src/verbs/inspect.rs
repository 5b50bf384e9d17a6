//! `inspect`: everything about one container, as JSON.

use serde_json::{Value, json};

use super::{Access, Action, Call, Form, Line, Refusal, Verb};
use crate::container::health::Check;
use crate::container::plan::{Plan, Wishes};
use crate::container::seccomp::Seccomp;
use crate::container::storage::Tmpfs;
use crate::container::volumes::Bind;
use crate::container::{Inspect, View};
use crate::engine::ask;
use crate::id::{Name, VolumeName};
use crate::network::{Endpoint, Ula};
use crate::wire::units::rfc3339;

/// `inspect NAME` → `JSON {…}`, `OK`
pub const VERB: Verb = Verb {
    form: Form::of_name("inspect"),
    about: "tell everything about a container",
    access: Access::Private,
    reply_keys: &[],
    action: Action::Run(|mut args, call| {
        let name = args.required()?;
        Ok(Box::pin(run(name, call)))
    }),
};

async fn run(name: String, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    let plan = ask(&child, Inspect).await?;
    let view = child.view.borrow().clone();
    call.line(&Line::json(&document(&plan, &view))).await;
    Ok(Line::done())
}

/// Keys as in the wire's rows where both have them.
fn document(plan: &Plan, view: &View) -> Value {
    let wishes = &plan.wishes;
    json!({
        "name": view.name.as_str(),
        "id": view.id.as_str(),
        "image": &*view.image,
        "lower-dir": plan.lower_dir,
        "state": view.state(),
        "pid": view.pid,
        "exit": view.exit,
        "oom": view.oom,
        "restarts": view.restarts,
        "failed": view.has_failed(),
        "created": rfc3339(view.created),
        "started": view.started.map(rfc3339),
        "finished": view.finished.map(rfc3339),
        "argv": plan.argv,
        "env": plan.env,
        "workdir": plan.workdir,
        "user": { "uid": plan.user.uid, "gid": plan.user.gid, "groups": plan.user.groups },
        "hostname": plan.hostname,
        "labels": &*view.labels,
        "stop-signal": plan.stop_signal.to_string(),
        "stop-timeout": plan.stop_timeout.as_secs_f64(),
        "limits": limits(wishes),
        "security": security(plan),
        "storage": storage(plan),
        "init": plan.init,
        "tty": wishes.tty,
        "stdin": wishes.takes_input(),
        "dns": wishes.dns,
        "add-host": wishes.hosts.iter().map(|(name, address)| {
            format!("{name}:{}", address.map_or_else(|| "host-gateway".to_owned(), |address| address.to_string()))
        }).collect::<Vec<_>>(),
        "log": { "max-size": plan.log_bounds.max_size, "max-files": plan.log_bounds.max_files },
        "rm": wishes.remove_at_end,
        "restart": wishes.restart.to_string(),
        "health": plan.health.as_ref().map(|check| health(check, view)),
        "network": network(wishes, view),
        "paths": { "data": plan.places.data, "bundle": plan.places.bundle, "log": plan.places.log(), "cgroup": plan.places.cgroup },
    })
}

fn network(wishes: &Wishes, view: &View) -> Value {
    let first = view.endpoints.first();
    json!({
        "mode": wishes.networking.mode.to_string(),
        "ip": first.map(|endpoint| endpoint.ip),
        "ip6": first.and_then(|endpoint| endpoint.v6).map(|v6| v6.ip),
        "alias": wishes.networking.alias,
        "shares": view.shares.as_ref().map(Name::as_str),
        "cut-off-by": view.cut_off_by.as_ref().map(Name::as_str),
        "networks": view.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        "ports": view.ports.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// One link of a container.
pub fn endpoint(endpoint: &Endpoint) -> Value {
    json!({
        "network": endpoint.network.as_str(),
        "ip": endpoint.ip,
        "prefix": endpoint.prefix,
        "gateway": endpoint.gateway,
        "ip6": endpoint.v6.map(|v6| v6.ip),
        "prefix6": endpoint.v6.map(|_| Ula::PREFIX),
        "gateway6": endpoint.v6.map(|v6| v6.ula.gateway()),
        "internal": endpoint.internal,
        "interface": endpoint.interface,
        "link": endpoint.link,
    })
}

fn limits(wishes: &Wishes) -> Value {
    json!({
        "memory": wishes.memory,
        "memory-swap": wishes.memory_swap,
        "cpus": wishes.milli_cpus.map(|n| f64::from(n) / 1000.0),
        "cpuset": wishes.cpuset,
        "pids": wishes.pids,
        "ulimits": wishes.ulimits.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// The check, how it stands, and the last looks.
fn health(check: &Check, view: &View) -> Value {
    let known = view.health.as_deref();
    json!({
        "argv": check.argv,
        "interval": check.interval.as_secs_f64(),
        "timeout": check.timeout.as_secs_f64(),
        "retries": check.retries,
        "start-period": check.start_period.as_secs_f64(),
        "restart": check.restart,
        "status": view.health_text(),
        "failing": known.map_or(0, |health| health.failing),
        "log": known.map(|health| health.looks.iter().map(|look| json!({
            "start": rfc3339(look.start),
            "end": rfc3339(look.end),
            "exit": look.exit,
            "output": look.output,
        })).collect::<Vec<_>>()).unwrap_or_default(),
    })
}

fn security(plan: &Plan) -> Value {
    let wishes = &plan.wishes.security;
    json!({
        "capabilities": plan.capabilities.names().collect::<Vec<_>>(),
        "privileged": wishes.privileged,
        "userns": if wishes.own_ids { "auto" } else { "host" },
        "no-new-privileges": wishes.no_new_privileges,
        "seccomp": match (&wishes.seccomp, &plan.seccomp) {
            (_, None) => "unconfined".to_owned(),
            (Seccomp::File(path), _) => path.display().to_string(),
            _ => "default".to_owned(),
        },
        "sysctls": wishes.sysctls,
        "devices": plan.devices.iter().map(|device| &device.path).collect::<Vec<_>>(),
    })
}

fn storage(plan: &Plan) -> Value {
    let storage = &plan.wishes.storage;
    let tmpfs = |tmpfs: &Tmpfs| json!({ "destination": tmpfs.destination, "options": tmpfs.options.join(",") });
    json!({
        "read-only": storage.read_only,
        "shm-size": storage.shm_size,
        "volumes": plan.binds.iter().map(bind).collect::<Vec<_>>(),
        "tmpfs": storage.tmpfs.iter().map(tmpfs).collect::<Vec<_>>(),
    })
}

fn bind(bind: &Bind) -> Value {
    json!({
        "volume": bind.volume.as_ref().map(VolumeName::as_str),
        "source": bind.source,
        "destination": bind.destination,
        "read-only": bind.read_only,
        "propagation": bind.propagation.word(),
    })
}
