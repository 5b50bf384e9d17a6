//! Where engines are compared: namespaces that end with this process, a directory, and a network for each engine.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use super::settings::{Settings, repository};

/// Set where the namespaces are entered already.
const INSIDE: &str = "VERSUS_INSIDE";
/// The beginning of the names of all cgroups that the engines make at the root of each hierarchy.
pub const CGROUP: &str = "gantry-versus";

/// Starts this program again as a child of an init in namespaces of its own, and does not return; returns in there. When
/// that init ends, so does every process of them.
pub fn enter(settings: &Settings) {
    assert!(nix::unistd::geteuid().is_root(), "containers need root");
    if std::env::var_os(INSIDE).is_none() {
        fs::create_dir_all(&settings.out).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["--", "catatonit", "--"]).arg(std::env::current_exe().unwrap()).args(std::env::args_os().skip(1));
        panic!("unshare: {}", command.env(INSIDE, "1").exec());
    }
    // As gantryd does: crun refuses a host with a v2 hierarchy that holds a controller beside v1.
    let cgroups = gantry::cgroup::Cgroups::discover().unwrap();
    if let (Some(_), Some(left)) = (cgroups.hybrid_leftover(), cgroups.hybrid_mount()) {
        umount2(left, MntFlags::MNT_DETACH).unwrap();
    }
    // What any engine keeps in memory lies there, as on a host that has booted by the book.
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    fs::create_dir("/run/lock").unwrap();
}

/// The place of a comparison. Dropped, it is gone.
pub struct Arena {
    work: PathBuf,
    _alone: Flock<File>,
}

/// The network of one engine: no other sees its bridges and rules.
pub struct Network(File);

impl Arena {
    /// Claims the directory, clears what an earlier run that was killed has left, and makes the image.
    pub fn new(settings: &Settings) -> Self {
        let lock = File::create(settings.out.join("lock")).unwrap();
        let alone = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| e);
        let arena = Self { work: settings.out.join("work"), _alone: alone.expect("another comparison is under way") };
        arena.clear();
        fs::create_dir_all(&arena.work).unwrap();
        let rootfs = arena.work.join("busybox");
        done(Command::new("sh").arg(repository().join("examples/busybox-rootfs.sh")).arg(&rootfs));
        done(Command::new("tar").arg("-C").arg(&rootfs).arg("-cf").arg(arena.image_tar()).arg("."));
        arena
    }

    /// A directory on the disk for what outlives a boot.
    pub fn disk(&self, name: &str) -> PathBuf {
        let dir = self.work.join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// A directory in memory for what does not.
    pub fn memory(&self, name: &str) -> PathBuf {
        let dir = Path::new("/run/versus").join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// The tree of busybox, with a page to serve.
    pub fn rootfs(&self) -> PathBuf {
        self.work.join("busybox")
    }

    /// The same as a tar archive: all three engines make their image of this one file.
    pub fn image_tar(&self) -> PathBuf {
        self.work.join("busybox.tar")
    }

    fn clear(&self) {
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            for entry in fs::read_dir(hierarchy.path()).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(CGROUP) {
                    remove_cgroup(&entry.path());
                }
            }
        }
        match fs::remove_dir_all(&self.work) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => eprintln!("{}: {e}", self.work.display()),
            _ => {}
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.clear();
    }
}

fn remove_cgroup(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        remove_cgroup(&entry.path());
    }
    let _ = fs::remove_dir(path);
}

impl Network {
    /// A new one, with its loopback up.
    pub fn new() -> Self {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            done(Command::new("ip").args(["link", "set", "lo", "up"]));
            Self(File::open("/proc/thread-self/ns/net").unwrap())
        };
        // A thread's network is its own: only this one's is changed.
        std::thread::spawn(make).join().unwrap()
    }

    /// What /proc/PID/ns/net of those inside has as inode.
    pub fn inode(&self) -> u64 {
        self.0.metadata().unwrap().ino()
    }

    /// Does something inside: what is started there belongs to it.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(enter).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Runs a command to its end, which must be a good one.
pub fn done(command: &mut Command) {
    said(command);
}

/// The same for what it writes.
pub fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
