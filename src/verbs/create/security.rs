//! Options of what a container may do.

use super::super::{Args, Refusal};
use crate::container::security::{Capabilities, Security, sysctl};

/// Reads them all.
pub fn security(args: &mut Args) -> Result<Security, Refusal> {
    Ok(Security {
        cap_add: capabilities(args, "cap-add")?,
        cap_drop: capabilities(args, "cap-drop")?,
        privileged: args.flag("privileged")?,
        no_new_privileges: args.flag("no-new-privileges")?,
        sysctls: args.values("sysctl", sysctl)?.into_iter().collect(),
    })
}

fn capabilities(args: &mut Args, key: &str) -> Result<Capabilities, Refusal> {
    let named = args.values(key, str::parse::<Capabilities>)?;
    Ok(named.into_iter().fold(Capabilities::default(), Capabilities::with))
}
