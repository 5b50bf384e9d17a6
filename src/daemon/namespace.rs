//! A mount namespace of the daemon's own: the host's mount table stays as it is, and a crash leaves nothing mounted for
//! longer than the last process in here lives.

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::cgroup::Cgroups;
use crate::refusal::Refusal;

/// Enters it. Only the calling thread does, so that it must be the first.
pub fn enter() -> Result<(), Refusal> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|e| match e {
        Errno::EPERM => Refusal::denied("a mount namespace of its own: not permitted; start the daemon as root"),
        e => Refusal::errno("a mount namespace of its own", e),
    })?;
    // Slaves: what the host mounts later is seen here, what is mounted here is not seen there.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
        .map_err(|e| Refusal::errno("parting the mount namespace from the host's", e))?;
    hide_leftover_cgroup2()
}

/// crun (1.8.1, `cgroup-utils.c`) refuses a host where v1 and v2 are both mounted and v2 still holds a controller.
/// Unmounted in here, where nobody else sees it, v2 is not there. Never `rmdir` its mount point: that takes the mount
/// from the host as well.
fn hide_leftover_cgroup2() -> Result<(), Refusal> {
    let cgroups = Cgroups::discover().map_err(|e| Refusal::io("the mount table", &e))?;
    let (Some(left), Some(mount)) = (cgroups.hybrid_leftover(), cgroups.hybrid_mount()) else { return Ok(()) };
    log::info!(
        "cgroup v2 at {} still holds {left} beside v1; it is unmounted in the daemon's own mount namespace",
        mount.display()
    );
    umount2(mount, MntFlags::MNT_DETACH).map_err(|e| Refusal::errno(mount.display(), e))
}
