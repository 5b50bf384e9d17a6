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

use super::message::Endpoint;
use super::rtnl::{Changes, Rtnl};
use super::sysctls::{Procs, Sysctls};
use super::ula::{self, Ula};
use super::v6;

/// What a container's links are called inside, before their numbers.
pub const LINK: &str = "eth";
/// The loopback link, which every namespace is born with as its first.
const LOOPBACK_INDEX: u32 = 1;

/// A network namespace with nothing in it but its loopback link, which is up.
pub struct Namespace {
    descriptor: OwnedFd,
    /// A socket opened inside: it serves to configure the namespace without entering it again.
    inside: Rtnl,
}

/// What those of containers are made by. Cheap to clone.
#[derive(Clone)]
pub struct Mould {
    /// They are for links with IPv6.
    v6: bool,
    procs: Procs,
}

impl Mould {
    /// Of namespaces for links with IPv6, or without.
    pub fn new(v6: bool) -> Self {
        Self { v6, procs: Procs::default() }
    }

    /// Makes one. Blocks for half a millisecond.
    pub fn create(&self) -> io::Result<Namespace> {
        let (v6, sysctls) = (self.v6, self.procs.one());
        Namespace::apart(move || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let descriptor = open("/proc/thread-self/ns/net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
            Namespace::furnish(v6, &sysctls, descriptor)
        })
    }

    /// Takes one that somebody else made, and that is as it was born.
    pub fn adopt(&self, descriptor: OwnedFd) -> io::Result<Namespace> {
        let (v6, sysctls) = (self.v6, self.procs.one());
        Namespace::apart(move || {
            setns(&descriptor, CloneFlags::CLONE_NEWNET)?;
            Namespace::furnish(v6, &sysctls, descriptor)
        })
    }
}

impl Namespace {
    /// One that is in use already.
    pub fn of(descriptor: OwnedFd) -> io::Result<Self> {
        Self::apart(|| {
            setns(&descriptor, CloneFlags::CLONE_NEWNET)?;
            Ok(Self { descriptor, inside: Rtnl::open()? })
        })
    }

    /// What enters a namespace stays there, so it is a thread that ends.
    fn apart(enter: impl FnOnce() -> io::Result<Self> + Send + 'static) -> io::Result<Self> {
        let visitor = std::thread::Builder::new().name("netns".to_owned()).stack_size(256 << 10).spawn(enter)?;
        visitor.join().map_err(|_| io::Error::other("the thread that enters a network namespace panicked"))?
    }

    /// For a thread that is in it.
    fn furnish(v6: bool, sysctls: &Sysctls, descriptor: OwnedFd) -> io::Result<Self> {
        let mut inside = Rtnl::open()?;
        inside.set_link(LinkUnspec::new_with_index(LOOPBACK_INDEX).up().build())?;
        // For the links to come. (The loopback link has its own already.)
        match v6 {
            true => v6::admit(sysctls, "default"),
            false => v6::silence(sysctls, "default"),
        }
        // It is born with the habits of the host, which forwards for its containers, and a container is no router unless it
        // asks to be (`sysctl=`, which comes after).
        v6::stop_forwarding(sysctls);
        sysctls.set("ipv4/ip_forward", "0");
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

    /// Gives the link that was moved here its addresses. (Not the gateway's hardware address: it is asked for until the port of
    /// the bridge forwards, which may be a while after its link is up, and what was sent before that would be lost.)
    pub fn configure(&mut self, endpoint: &Endpoint) -> io::Result<()> {
        let Endpoint { interface, ip, prefix, .. } = endpoint;
        let index = self.index(interface)?;
        let mut changes = Changes::default();
        changes.set_link(LinkUnspec::new_with_index(index).up().build());
        changes.add_address(AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(*ip, *prefix).build());
        if let Some(v6) = endpoint.v6 {
            changes.add_address(v6::address_alone(index, v6.ip));
            changes.add_address(v6::address(index, ula::link_local(*ip, *prefix), Ula::PREFIX));
            changes.add_route(v6::way_about(index, v6.ula));
        }
        self.inside.carry_out(changes)
    }

    /// Leads what is for elsewhere out by the link of `endpoint`.
    pub fn route(&mut self, endpoint: &Endpoint) -> io::Result<()> {
        let index = self.index(&endpoint.interface)?;
        let mut changes = Changes::default();
        let way_out = RouteMessageBuilder::<Ipv4Addr>::new().gateway(endpoint.gateway).output_interface(index);
        changes.add_route(way_out.build());
        if endpoint.v6.is_some() {
            changes.add_route(v6::way_out(index));
        }
        self.inside.carry_out(changes)
    }

    fn index(&mut self, link: &str) -> io::Result<u32> {
        let link = self.inside.link(link)?.ok_or_else(|| io::Error::from_raw_os_error(nix::libc::ENODEV))?;
        Ok(link.header.index)
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
