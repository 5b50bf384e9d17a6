//! Network namespaces of containers: made on a thread of their own, held by a descriptor, gone when that is dropped.
//! Nothing is mounted for them, so nothing of them is left on the host whatever becomes of the daemon.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use rtnetlink::{AddressMessageBuilder, LinkUnspec, RouteMessageBuilder};

use super::rtnl::Rtnl;

/// What a container's link is called inside.
pub const LINK: &str = "eth0";
/// The loopback link, which every namespace is born with as its first.
const LOOPBACK_INDEX: u32 = 1;

/// A network namespace with nothing in it but its loopback link, which is up.
pub struct Namespace {
    descriptor: OwnedFd,
    /// A socket opened inside: it serves to configure the namespace without entering it again.
    inside: Rtnl,
}

impl Namespace {
    /// Makes one. Blocks for half a millisecond.
    pub fn create() -> io::Result<Self> {
        // The thread that unshares stays in the new namespace, so it must be one that ends.
        Self::apart(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Ok(open("/proc/thread-self/ns/net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?)
        })
    }

    /// Takes one that somebody else made.
    pub fn adopt(descriptor: OwnedFd) -> io::Result<Self> {
        Self::apart(|| setns(&descriptor, CloneFlags::CLONE_NEWNET).map(|()| descriptor).map_err(io::Error::from))
    }

    fn apart(enter: impl FnOnce() -> io::Result<OwnedFd> + Send + 'static) -> io::Result<Self> {
        let make = || Self::furnish(enter()?);
        let maker = std::thread::Builder::new().name("netns".to_owned()).stack_size(256 << 10).spawn(make)?;
        maker.join().map_err(|_| io::Error::other("the thread that makes a network namespace panicked"))?
    }

    /// For a thread that is in it.
    fn furnish(descriptor: OwnedFd) -> io::Result<Self> {
        let mut inside = Rtnl::open()?;
        inside.set_link(LinkUnspec::new_with_index(LOOPBACK_INDEX).up().build())?;
        // For the link to come: the network has no IPv6 yet. (The loopback link has its own already.)
        silence_ipv6("default");
        Ok(Self { descriptor, inside })
    }

    /// The descriptor's number, for netlink to move a link here.
    pub fn raw(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// The socket inside.
    pub fn inside(&mut self) -> &mut Rtnl {
        &mut self.inside
    }

    /// Gives the link that was moved here its address and its way out.
    pub fn configure(&mut self, ip: Ipv4Addr, prefix: u8, gateway: Ipv4Addr) -> io::Result<()> {
        let link = self.inside.link(LINK)?.ok_or_else(|| io::Error::from_raw_os_error(nix::libc::ENODEV))?;
        let index = link.header.index;
        self.inside.set_link(LinkUnspec::new_with_index(index).up().build())?;
        self.inside.add_address(AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(ip, prefix).build())?;
        self.inside.add_route(RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(index).build())
    }

    /// The bare descriptor: the namespace, configured, lives on with it and with the processes in it.
    pub fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }
}

/// Where others (crun) find the namespace as long as `descriptor` is open.
pub fn path(descriptor: &OwnedFd) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), descriptor.as_raw_fd()).into()
}

/// Keeps IPv6 off a link of the calling thread's network namespace. With it every new link asks all others on the bridge
/// whether its link-local address is free, and which groups they are in: noise that grows with their number.
pub fn silence_ipv6(link: &str) {
    // Where the kernel has no IPv6 there is nothing to silence.
    if let Err(error) = std::fs::write(format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6"), "1") {
        log::debug!("{link} keeps its IPv6: {error}");
    }
}
