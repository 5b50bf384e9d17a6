//! Where the daemon can be made to fail, for tests. `GANTRY_FAULT=STEP` in its environment has it die at a step of what the
//! network makes and takes away, as KILL or a loss of power would have it; with `GANTRY_PANIC=FILE` it panics at the place
//! that is written in that file, and takes the file away before: once for each time that it is written.
//!
//! In builds with debug assertions alone, which is what `cargo test` makes: a build that is meant for use has nothing of
//! it, and no feature that somebody could turn on.

use std::time::Duration;

/// The steps of a daemon's start.
pub const START: [&str; 4] = ["sysctls", "bridge", "sockets", "table"];
/// The steps of a container's way on its network.
pub const ATTACH: [&str; 6] = ["ports", "namespace", "link", "address", "route", "published"];
/// The steps of its way off.
pub const DETACH: [&str; 3] = ["unpublished", "ports-freed", "namespace-dropped"];
/// The steps of making a further network, and of removing it.
pub const NETWORK: ([&str; 2], [&str; 2]) = (["further-bridge", "further-rules"], ["further-gone", "further-unruled"]);
/// Where a container's actor can be made to panic: in hearing what came of its work, and in doing what its state asks for.
pub const CONTAINER: [&str; 9] =
    ["prepared", "launched", "ended", "released", "reaped", "act-launch", "act-signal", "act-release", "close"];
/// The same of what works for it.
pub const WORK: [&str; 3] = ["work-prepare", "work-launch", "work-undo"];
/// The same of the actors of which there is one.
pub const SINGLE: [&str; 7] =
    ["supervisor", "supervisor-list", "supervisor-close", "network", "network-attached", "network-notice", "images"];
/// The steps of a daemon's end.
pub const END: [&str; 3] = ["swept", "table-gone", "bridge-gone"];

/// Dies here, where that was asked for.
#[cfg(debug_assertions)]
pub fn point(step: &str) {
    debug_assert!(
        [&START[..], &ATTACH, &DETACH, &NETWORK.0, &NETWORK.1, &END].iter().any(|steps| steps.contains(&step)),
        "{step} is on no list, and no test dies there"
    );
    if std::env::var_os("GANTRY_FAULT").is_some_and(|wanted| wanted == step) {
        use nix::sys::signal::{Signal, kill};
        log::error!("dying behind the step {step}, as the environment says");
        // Nothing is undone and nothing flushed: no destructor runs.
        let _ = kill(nix::unistd::getpid(), Signal::SIGKILL);
    }
}

/// Panics here, where that was asked for.
#[cfg(debug_assertions)]
pub fn panic_at(place: &str) {
    debug_assert!(
        [&CONTAINER[..], &WORK, &SINGLE].iter().any(|places| places.contains(&place)),
        "{place} is on no list, and no test panics there"
    );
    let Some(file) = std::env::var_os("GANTRY_PANIC") else { return };
    if std::fs::read_to_string(&file).is_ok_and(|wanted| wanted == place) && std::fs::remove_file(&file).is_ok() {
        panic!("at {place}, as the environment says");
    }
}

/// How long a tool may take: `usual`, or as many seconds as `GANTRY_DEADLINE` in the environment says, so that a test need not
/// wait for one that hangs.
#[cfg(debug_assertions)]
pub fn deadline(usual: Duration) -> Duration {
    let wanted = std::env::var("GANTRY_DEADLINE").ok().and_then(|seconds| seconds.parse().ok());
    wanted.map_or(usual, |seconds| usual.min(Duration::from_secs(seconds)))
}

/// Whether the host is to be taken for one that has none of this left: `GANTRY_USED_UP` in the environment names it. To
/// really use it up would disturb everything else on the host.
#[cfg(debug_assertions)]
pub fn is_used_up(what: &str) -> bool {
    std::env::var_os("GANTRY_USED_UP").is_some_and(|named| named == what)
}

/// Nothing, in a build that is meant for use.
#[cfg(not(debug_assertions))]
pub fn point(_: &str) {}

/// The same.
#[cfg(not(debug_assertions))]
pub fn panic_at(_: &str) {}

/// No.
#[cfg(not(debug_assertions))]
pub fn is_used_up(_: &str) -> bool {
    false
}

/// How long a tool may take.
#[cfg(not(debug_assertions))]
pub fn deadline(usual: Duration) -> Duration {
    usual
}
