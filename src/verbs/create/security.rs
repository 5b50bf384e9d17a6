//! Options of what a container may do.

use super::super::{Args, Refusal};
use crate::container::seccomp::Seccomp;
use crate::container::security::{Capabilities, Security, sysctl};
use crate::wire::args::absolute;

/// Reads them all.
pub fn security(args: &mut Args) -> Result<Security, Refusal> {
    let (privileged, own_ids) = (args.flag("privileged")?, args.value("userns", userns)?.unwrap_or(false));
    if privileged && own_ids {
        return Err(Refusal::bad_option("userns=auto takes from root what privileged=yes gives: say one of them"));
    }
    Ok(Security {
        cap_add: capabilities(args, "cap-add")?,
        cap_drop: capabilities(args, "cap-drop")?,
        privileged,
        own_ids,
        no_new_privileges: args.flag("no-new-privileges")?,
        seccomp: args.value("seccomp", seccomp)?.unwrap_or_default(),
        sysctls: args.values("sysctl", sysctl)?.into_iter().collect(),
    })
}

/// Whether it has ids of its own.
fn userns(text: &str) -> Result<bool, Refusal> {
    match text {
        "host" => Ok(false),
        "auto" => Ok(true),
        other => Err(Refusal::bad_value(format_args!("{other:?} is neither host nor auto"))),
    }
}

fn seccomp(text: &str) -> Result<Seccomp, Refusal> {
    match text {
        "default" => Ok(Seccomp::Default),
        "unconfined" => Ok(Seccomp::Unconfined),
        path => absolute(path).map(Seccomp::File),
    }
}

fn capabilities(args: &mut Args, key: &str) -> Result<Capabilities, Refusal> {
    let named = args.values(key, str::parse::<Capabilities>)?;
    Ok(named.into_iter().fold(Capabilities::default(), Capabilities::with))
}
