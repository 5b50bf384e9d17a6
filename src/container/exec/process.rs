//! What an exec's process is to be: the container's own, with other words, and another user where that is asked for.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cgroup::Cgroups;
use crate::container::environment;
use crate::container::plan::Plan;
use crate::container::program;
use crate::container::user::{self, User};
use crate::container::userns;
use crate::refusal::Refusal;
use crate::tools::exec::{Asked, Program, Streams};
use crate::worker::beside;

/// What a client asks for.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The program and its arguments.
    pub argv: Vec<Vec<u8>>,
    /// `NAME=VALUE`, over the container's.
    pub env: Vec<String>,
    /// In place of the container's working directory.
    pub workdir: Option<String>,
    /// In place of the container's user.
    pub user: Option<String>,
    /// What it reads and writes.
    pub streams: Streams,
}

/// What crun is to execute. Reads files of the container's, off this thread.
pub async fn asked(plan: Arc<Plan>, wishes: Wishes, cgroups: Cgroups) -> Result<Asked, Refusal> {
    beside(move || {
        // As the container's files have it now, not its image's.
        let user = match &wishes.user {
            Some(spec) => user::resolve(spec, &plan.places.rootfs())?,
            None => plan.user.clone(),
        };
        let (streams, owner) = (wishes.streams, owner(&plan, &user, &cgroups));
        Ok(Asked { program: make(&plan, wishes, &user)?, streams, owner })
    })
    .await
}

/// Who is to have its pipes, so that it can open them anew (`/dev/stdout`): a user that the container knows, where root of
/// the host is none.
fn owner(plan: &Plan, user: &User, cgroups: &Cgroups) -> Option<(u32, u32)> {
    let pids = plan.wishes.security.own_ids.then(|| cgroups.processes(&plan.places.cgroup))?;
    let first = pids.into_iter().find_map(userns::first_of)?;
    Some((first.saturating_add(user.uid), first.saturating_add(user.gid)))
}

fn make(plan: &Plan, wishes: Wishes, user: &User) -> Result<Program, Refusal> {
    let workdir = wishes.workdir.clone().unwrap_or_else(|| plan.workdir.clone());
    let env = environment(plan, &wishes, user);
    // crun 1.21 leaves what execve(2) refuses to the process's own output.
    if let Some(first) = wishes.argv.first() {
        program::check(&String::from_utf8_lossy(first), &env, &workdir, &plan.places.rootfs())?;
    }
    let argv = wishes.argv.iter().map(|word| String::from_utf8(word.clone())).collect::<Result<Vec<_>, _>>();
    let Ok(argv) = argv else { return bare(wishes, user, workdir) };
    let file = plan.places.bundle.join("config.json");
    let config = std::fs::read(file).map_err(|e| Refusal::io("the container's runtime spec", &e))?;
    let document = document(&config, &argv, &env, (&workdir, wishes.streams), user)?;
    Ok(Program::Document(document))
}

/// The container's own process, which says what it may do, with what is asked for put in its place.
fn document(
    config: &[u8],
    argv: &[String],
    env: &[String],
    (workdir, streams): (&str, Streams),
    user: &User,
) -> Result<Vec<u8>, Refusal> {
    let wrong = |e: serde_json::Error| Refusal::internal(format_args!("the runtime spec: {e}"));
    let mut config: Value = serde_json::from_slice(config).map_err(wrong)?;
    let mut process = config["process"].take();
    let (terminal, size) = match streams {
        Streams::Pipes { .. } => (false, None),
        Streams::Terminal(size) => (true, size),
    };
    process["terminal"] = json!(terminal);
    // The container's own, if it has one, is not this one's.
    if let Some(process) = process.as_object_mut() {
        process.remove("consoleSize");
        process.extend(size.map(|size| ("consoleSize".to_owned(), json!({ "height": size.rows, "width": size.cols }))));
    }
    process["args"] = json!(argv);
    process["env"] = json!(env);
    process["cwd"] = json!(workdir);
    process["user"] = json!({ "uid": user.uid, "gid": user.gid, "additionalGids": user.groups });
    serde_json::to_vec(&process).map_err(wrong)
}

/// Bytes that are no text, which crun takes as words of its own command line. Everyone on the host can read those, so that
/// no environment goes there.
fn bare(wishes: Wishes, user: &User, workdir: String) -> Result<Program, Refusal> {
    if !wishes.env.is_empty() || !user.groups.is_empty() {
        return Err(Refusal::unsupported(
            "arguments that are not valid UTF-8 go without env=, and with a user of one group only",
        ));
    }
    Ok(Program::Words { argv: wishes.argv, workdir, uid: user.uid, gid: user.gid })
}

/// The container's environment with the request's over it. `HOME` goes with the user, unless somebody chose it.
fn environment(plan: &Plan, wishes: &Wishes, user: &User) -> Vec<String> {
    let home_by_default = format!("HOME={}", plan.user.home.as_deref().unwrap_or("/"));
    let given: Vec<String> = plan.env.iter().filter(|variable| **variable != home_by_default).cloned().collect();
    let tty = matches!(wishes.streams, Streams::Terminal(_));
    environment::of_process((tty, &given), &wishes.env, &plan.hostname, user.home.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_container_may_do_stays() {
        let config = br#"{"process":{"terminal":true,"user":{"uid":0,"gid":0},"args":["sh"],"cwd":"/","capabilities":{"bounding":["CAP_KILL"]},"noNewPrivileges":true},"root":{}}"#;
        let user = User { uid: 7, gid: 8, groups: vec![9], home: None };
        let made = document(config, &["ls".into()], &["A=1".into()], ("/srv", Streams::default()), &user).unwrap();
        let made: Value = serde_json::from_slice(&made).unwrap();
        let expected = json!({
            "terminal": false, "user": {"uid": 7, "gid": 8, "additionalGids": [9]}, "args": ["ls"], "env": ["A=1"],
            "cwd": "/srv", "capabilities": {"bounding": ["CAP_KILL"]}, "noNewPrivileges": true,
        });
        assert_eq!(made, expected);
    }

    #[test]
    fn bytes_go_alone() {
        let wishes = Wishes { argv: vec![b"\xff".to_vec()], ..Wishes::default() };
        assert!(bare(wishes.clone(), &User::default(), "/".into()).is_ok());
        let more = Wishes { env: vec!["A=1".into()], ..wishes.clone() };
        assert!(bare(more, &User::default(), "/".into()).is_err());
        let grouped = User { groups: vec![5], ..User::default() };
        assert!(bare(wishes, &grouped, "/".into()).is_err());
    }
}
