//! Whom the kernel ends first where memory is out: containers, then the tools, the daemon that looks after all of them last.
//! By `oom_score_adj` (proc(5)), which a process inherits.

use std::fs;
use std::io;

/// What the daemon gives itself where nobody has given it anything, as Docker's does.
const PROTECTED: &str = "-500";
/// What nobody has changed.
const USUAL: &str = "0";

/// This process's own.
fn own() -> Option<i32> {
    fs::read_to_string("/proc/self/oom_score_adj").ok()?.trim().parse().ok()
}

/// Has the kernel end others first. To go down needs `CAP_SYS_RESOURCE`: without it everything stays as it is, and so does
/// what a service manager (`OOMScoreAdjust=`) has chosen.
pub fn protect() {
    if own() == Some(0)
        && let Err(e) = fs::write("/proc/self/oom_score_adj", PROTECTED)
    {
        log::debug!("no protection from the OOM killer: {e}");
    }
}

/// Takes from a process what it has inherited of our protection. To go up needs no privilege.
pub fn expose(pid: i32) -> io::Result<()> {
    if own().is_some_and(|own| own < 0) { fs::write(format!("/proc/{pid}/oom_score_adj"), USUAL) } else { Ok(()) }
}

/// What a container's processes are to have, where they would inherit our protection.
pub fn of_containers() -> Option<i32> {
    (own()? < 0).then_some(0)
}
