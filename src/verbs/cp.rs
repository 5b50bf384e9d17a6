//! `cp`: files between the host and a container.

use std::path::PathBuf;
use std::time::Duration;

use super::image::PROGRESS;
use super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::container::copy::{self, Progress, Reach, Root, RootNow, Way};
use crate::container::state::Phase;
use crate::engine::ask;
use crate::supervisor::Child;
use crate::wire::args::absolute;

const OK: [&str; 3] = ["files", "bytes", "skipped"];
/// How often it is told how far it is.
const PACE: Duration = Duration::from_secs(1);

/// `cp NAME:PATH HOSTPATH`, `cp HOSTPATH NAME:PATH` → `PROGRESS`…, `OK files= bytes= skipped=`
pub const VERB: Verb = Verb {
    form: Form { name: "cp", required: &["SRC", "DST"], optional: &[], options: &[], argv: Argv::No },
    about: "copy between the host and a container, which is NAME:PATH",
    access: Access::Change,
    reply_keys: &[&PROGRESS, &OK],
    action: Action::Run(|mut args, call| {
        let (name, way) = ways(&args.required()?, &args.required()?)?;
        Ok(Box::pin(run(name, way, call)))
    }),
};

/// The container's name, and which way it goes.
fn ways(source: &str, target: &str) -> Result<(String, Way), Refusal> {
    match (place(source)?, place(target)?) {
        ((Some(name), from), (None, to)) => Ok((name, Way::Out { from, to })),
        ((None, from), (Some(name), to)) => Ok((name, Way::In { from, to })),
        ((Some(_), _), (Some(_), _)) => {
            Err(Refusal::unsupported("between two containers: copy to the host and from there"))
        }
        _ => Err(Refusal::bad_value("one of both is a container's: NAME:/PATH")),
    }
}

/// A path of the host begins with a slash; a container's has the name and a colon before it.
fn place(text: &str) -> Result<(Option<String>, PathBuf), Refusal> {
    if text.starts_with('/') {
        return Ok((None, absolute(text)?));
    }
    let wrong = || Refusal::bad_value(format_args!("{text:?} is neither NAME:/PATH nor an absolute path of the host"));
    let (name, path) = text.split_once(":/").filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    Ok((Some(name.to_owned()), PathBuf::from(format!("/{path}"))))
}

async fn run(name: String, way: Way, call: Call) -> Result<Line, Refusal> {
    let child = call.engine.child(&name).await?;
    let progress = Progress::default();
    let watched = progress.clone();
    let turns = call.engine.walkers.clone();
    let copying = async {
        // In this order: who waits for a copy that stands still has no turn that others wait for.
        let reach = reach(&child).await?;
        let turn = turns.acquire_owned().await.map_err(Refusal::internal)?;
        call.finish(copy::copy(reach, way, watched, turn)).await
    };
    let mut copying = std::pin::pin!(copying);
    let copied = loop {
        match tokio::time::timeout(PACE, &mut copying).await {
            Ok(copied) => break copied?,
            Err(_) => call.line(&Line::progress(&PROGRESS, &[&"copying", &progress.bytes(), &""])).await,
        }
    };
    Ok(Line::ok(&OK, &[&copied.files, &copied.bytes, &copied.skipped]))
}

/// Where the container's files are, once it is neither starting nor about to be at rest.
async fn reach(child: &Child) -> Result<Reach, Refusal> {
    let mut view = child.view.clone();
    let gone = || Refusal::not_found("the container is gone");
    loop {
        let settled = |phase| !matches!(phase, Phase::Preparing | Phase::Starting | Phase::Leaving);
        view.wait_for(|view| settled(view.phase)).await.map_err(|_| gone())?;
        match ask(child, Root).await?? {
            RootNow::Running(root, first) => return Ok(Reach::Running(root, first)),
            RootNow::Still(plan, files) => {
                let guard = files.lock_owned().await;
                // It may have been started while another copy was waited for.
                let phase = view.borrow().phase;
                if matches!(phase, Phase::Created | Phase::Exited) {
                    return Ok(Reach::Still(plan, guard));
                }
            }
            RootNow::Changing => view.changed().await.map_err(|_| gone())?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_side_has_a_name() {
        let out = |from: &str, to: &str| Way::Out { from: from.into(), to: to.into() };
        assert_eq!(ways("web:/a:/b", "/x").unwrap(), ("web".into(), out("/a:/b", "/x")));
        assert_eq!(ways("web:1:/a", "/x:/y").unwrap(), ("web:1".into(), out("/a", "/x:/y")));
        assert!(matches!(ways("/x", "web:/").unwrap(), (name, Way::In { .. }) if name == "web"));
        for (source, target) in
            [("/a", "/b"), ("a:/b", "c:/d"), ("a", "/b"), (":/a", "/b"), ("web:a", "/b"), ("web", "/b")]
        {
            assert!(ways(source, target).is_err(), "{source} {target}");
        }
    }
}
