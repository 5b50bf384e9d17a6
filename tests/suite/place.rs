//! A place for one daemon: a number that no other test holds, in this process or another, and what derives from it.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many places there are: a /24 each from 10.200.0.0 on.
const COUNT: u32 = 56 * 256;

/// A claimed place. Dropped, it is free for others.
pub struct Place {
    number: u32,
    /// An abstract socket's name is bound by one process at a time, and freed by the kernel whatever becomes of it.
    _claim: UnixDatagram,
}

impl Place {
    /// The next free place.
    pub fn claim() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "the suite works on the real kernel: run it as root");
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Processes that run at the same time start far from each other, so that they seldom meet.
        let first = std::process::id().wrapping_mul(977);
        for _ in 0..COUNT {
            let number = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let name = SocketAddr::from_abstract_name(format!("gantry-suite-{number}")).unwrap();
            if let Ok(claim) = UnixDatagram::bind_addr(&name) {
                let place = Self { number, _claim: claim };
                place.make_dir();
                return place;
            }
        }
        panic!("all {COUNT} places are taken");
    }

    fn make_dir(&self) {
        let dir = self.dir();
        // A suite that was killed may have left its directory; nothing that runs can hold it, as the claim is ours.
        if dir.exists() {
            std::fs::remove_dir_all(&dir).unwrap();
        }
        std::fs::create_dir(&dir).unwrap();
    }

    /// The directory under which all of it lies; short, as a socket's path has 107 bytes.
    pub fn dir(&self) -> PathBuf {
        PathBuf::from(format!("/tmp/{}", self.bridge()))
    }

    /// The bridge's name. Never a prefix of another's.
    pub fn bridge(&self) -> String {
        format!("gt{:04x}", self.number)
    }

    /// The bridge's subnet.
    pub fn subnet(&self) -> String {
        format!("10.{}.{}.0/24", 200 + self.number / 256, self.number % 256)
    }

    /// The two ends of a /30 between the host and a host of the test's own, in the range kept for benchmarks.
    pub fn link(&self) -> (String, String) {
        let base = self.number * 4;
        let address = |n: u32| format!("198.{}.{}.{}", 18 + (n >> 16), (n >> 8) & 255, n & 255);
        (address(base + 1), address(base + 2))
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.run().join("gantry.sock")
    }

    /// The daemon's root directory.
    pub fn root(&self) -> PathBuf {
        self.dir().join("root")
    }

    /// The daemon's run directory.
    pub fn run(&self) -> PathBuf {
        self.dir().join("run")
    }

    /// What the daemon says.
    pub fn log(&self) -> PathBuf {
        self.dir().join("log")
    }

    /// The cgroup under which the daemon's containers lie.
    pub fn cgroup(&self) -> String {
        format!("gantry-{}", self.bridge())
    }
}

#[test]
fn places_differ_in_everything() {
    let (a, b) = (Place::claim(), Place::claim());
    assert_ne!(a.bridge(), b.bridge());
    assert_ne!(a.subnet(), b.subnet());
    assert_ne!(a.link(), b.link());
    assert!(a.subnet().parse::<gantry::config::Subnet>().is_ok());
    assert!(a.socket().as_os_str().len() < 60);
    for place in [a, b] {
        std::fs::remove_dir(place.dir()).unwrap();
    }
}
