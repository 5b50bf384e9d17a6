//! Where the sysctls of the calling thread's network namespace are found: at a price that does not grow with the namespaces
//! there are.
//!
//! Of each network namespace that is looked at, `/proc/sys` keeps an entry of its own called `net`, all of them in one chain of
//! the kernel's cache of names, which every look at any sysctl below walks along (`proc_sys_compare` in the kernel's
//! `fs/proc/proc_sysctl.c`): at five hundred containers a tenth of a millisecond, for everyone on the host. A procfs that is
//! mounted apart (Linux 5.8) has a chain of its own, which goes with it.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// The sysctls of networks.
pub const ROOT: &str = "/proc/sys/net";
/// How many namespaces are looked at by one mount: one each would cost two tenths of a millisecond.
const LOOKS_MAX: usize = 16;

/// The one mount for the namespaces to come. Cheap to clone.
#[derive(Clone, Default)]
pub struct Procs(Arc<Mutex<Option<Proc>>>);

struct Proc {
    root: Arc<OwnedFd>,
    left: usize,
}

/// The sysctls of whatever network namespace the thread is in that reads or writes them.
pub struct Sysctls {
    /// The mount, where they are not in the host's own.
    mount: Option<Arc<OwnedFd>>,
}

impl Procs {
    /// For one namespace more. Where no procfs may be mounted, the one that is there serves as well, but more slowly.
    pub fn one(&self) -> Sysctls {
        let mut proc = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if proc.as_ref().is_none_or(|proc| proc.left == 0) {
            let mounted = mount().inspect_err(|error| log::debug!("no procfs apart: {error}"));
            *proc = mounted.ok().map(|root| Proc { root: Arc::new(root), left: LOOKS_MAX });
        }
        let Some(proc) = &mut *proc else { return Sysctls::HOST };
        proc.left -= 1;
        Sysctls { mount: Some(proc.root.clone()) }
    }
}

impl Sysctls {
    /// By the host's own procfs.
    pub const HOST: Self = Self { mount: None };

    /// Where the sysctl `net/KEY` is.
    pub fn path(&self, key: &str) -> PathBuf {
        match &self.mount {
            Some(mount) => format!("/proc/self/fd/{}/sys/net/{key}", mount.as_raw_fd()).into(),
            None => [ROOT, key].iter().collect(),
        }
    }

    /// What it is; none where there is no such sysctl.
    pub fn read(&self, key: &str) -> Option<String> {
        std::fs::read_to_string(self.path(key)).ok().map(|value| value.trim().to_owned())
    }

    /// Sets it, where it is there and another. (Writing takes the lock on all links of the host.)
    pub fn set(&self, key: &str, value: &str) {
        if self.read(key).is_some_and(|is| is != value) {
            self.write(key, value);
        }
    }

    /// Sets it without looking. What cannot be set, or is not there, stays as it is.
    pub fn write(&self, key: &str, value: &str) {
        if let Err(error) = std::fs::write(self.path(key), value) {
            log::debug!("net/{key} is not {value}: {error}");
        }
    }
}

/// A procfs that nobody else sees.
fn mount() -> rustix::io::Result<OwnedFd> {
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_serves_a_bounded_number_of_namespaces() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let procs = Procs::default();
        let taken: Vec<Sysctls> = (0..=LOOKS_MAX).map(|_| procs.one()).collect();
        let mounts: Vec<i32> = taken.iter().map(|one| one.mount.as_ref().unwrap().as_raw_fd()).collect();
        assert!(mounts[..LOOKS_MAX].iter().all(|mount| *mount == mounts[0]) && mounts[LOOKS_MAX] != mounts[0]);
        let here = Sysctls::HOST.read("core/somaxconn");
        assert!(here.is_some() && taken.iter().all(|one| one.read("core/somaxconn") == here));
    }
}
