//! Where the daemon can be made to die, for tests: behind each step of what the network makes and takes away, as KILL or a
//! loss of power would have it. `GANTRY_FAULT=STEP` in its environment says where.
//!
//! In builds with debug assertions alone, which is what `cargo test` makes: a build that is meant for use has nothing of
//! it, and no feature that somebody could turn on.

/// The steps of a daemon's start.
pub const START: [&str; 4] = ["sysctls", "bridge", "sockets", "table"];
/// The steps of a container's way on its network.
pub const ATTACH: [&str; 6] = ["ports", "namespace", "link", "address", "route", "published"];
/// The steps of its way off.
pub const DETACH: [&str; 3] = ["unpublished", "ports-freed", "namespace-dropped"];
/// The steps of making a further network, and of removing it.
pub const NETWORK: ([&str; 2], [&str; 2]) = (["further-bridge", "further-rules"], ["further-gone", "further-unruled"]);
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

/// Nothing, in a build that is meant for use.
#[cfg(not(debug_assertions))]
pub fn point(_: &str) {}
