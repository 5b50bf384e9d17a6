//! The name server of each network of ours, at the bridge's own address: it knows the containers on that network, and
//! asks the host's servers for the rest.
//!
//! Pure: `names` (who is called what), `answer` (bytes to bytes), `pace` (how much of it), `resolv` (`resolv.conf`). On
//! sockets: `server` (one task a network), `forward` (to the host's servers).
//!
//! The sockets are bound to the bridge as a device: nobody elsewhere is heard, whatever address they ask. And to ports
//! of the kernel's choice, to which the rules lead what is sent to port 53 of the bridge's address: another server of
//! this host may have that port on every address.

mod answer;
mod forward;
mod names;
mod pace;
pub mod resolv;
mod server;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrIn, bind, listen, setsockopt, socket, sockopt,
};

pub use self::forward::Forwarder;
pub use self::names::Entry;
use self::names::Names;
use self::server::Desk;
use super::ula::Range;
use crate::refusal::Refusal;

/// How many connections wait to be accepted.
const BACKLOG: i32 = 64;

/// The bound sockets of a network's server.
#[derive(Debug)]
pub struct Sockets {
    datagrams: UdpSocket,
    listener: TcpListener,
}

/// Where a network's server listens, for the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// For datagrams.
    pub udp: u16,
    /// For connections.
    pub tcp: u16,
}

impl Sockets {
    /// Binds them to the bridge `name`, which has the address `gateway`.
    pub fn bind(name: &str, gateway: Ipv4Addr) -> Result<Self, Refusal> {
        let bound = || {
            let datagrams = open(name, gateway, SockType::Datagram, SockProtocol::Udp)?;
            let listener = open(name, gateway, SockType::Stream, SockProtocol::Tcp)?;
            listen(&listener, Backlog::new(BACKLOG)?)?;
            Ok(Self { datagrams: datagrams.into(), listener: listener.into() })
        };
        bound().map_err(|errno: Errno| Refusal::errno(format_args!("the name server on the bridge {name}"), errno))
    }

    /// Where they are.
    pub fn ports(&self) -> Result<Ports, Refusal> {
        let port = |address: std::io::Result<std::net::SocketAddr>| {
            address.map(|address| address.port()).map_err(|e| Refusal::io("the name server's port", &e))
        };
        Ok(Ports { udp: port(self.datagrams.local_addr())?, tcp: port(self.listener.local_addr())? })
    }
}

fn open(name: &str, gateway: Ipv4Addr, kind: SockType, protocol: SockProtocol) -> Result<OwnedFd, Errno> {
    let socket = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, protocol)?;
    setsockopt(&socket, sockopt::BindToDevice, &name.into())?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(gateway, 0)))?;
    Ok(socket)
}

/// The names of a network, as a server of another shows them.
#[derive(Clone)]
pub struct Seen {
    names: Rc<RefCell<Names>>,
    range: Range,
}

/// What a network's containers see beside its own names, by their addresses.
type Shown = Rc<RefCell<HashMap<Ipv4Addr, Vec<Seen>>>>;

/// A network's server. Dropped, it answers no more.
pub struct Server {
    own: Seen,
    shown: Shown,
    ports: Ports,
    task: actix_rt::task::JoinHandle<()>,
}

impl Server {
    /// Serves on `sockets`, for the containers of `range`. Without a `forwarder` nothing else is asked.
    pub fn start(sockets: Sockets, range: Range, forwarder: Option<Rc<Forwarder>>) -> Result<Self, Refusal> {
        Self::with(Seen { names: Rc::default(), range }, Shown::default(), sockets, forwarder)
    }

    fn with(own: Seen, shown: Shown, sockets: Sockets, forwarder: Option<Rc<Forwarder>>) -> Result<Self, Refusal> {
        let fail = |e: std::io::Error| Refusal::io("the name server's sockets", &e);
        let ports = sockets.ports()?;
        let datagrams = tokio::net::UdpSocket::from_std(sockets.datagrams).map_err(fail)?;
        let listener = tokio::net::TcpListener::from_std(sockets.listener).map_err(fail)?;
        let desk = Desk::new(own.clone(), shown.clone(), forwarder);
        Ok(Self { own, shown, ports, task: actix_rt::spawn(server::serve(desk, datagrams, listener)) })
    }

    /// Serves on further `sockets` what it serves on its own, until what it gives is dropped.
    pub fn also_on(&self, sockets: Sockets, forwarder: Option<Rc<Forwarder>>) -> Result<Self, Refusal> {
        Self::with(self.own.clone(), self.shown.clone(), sockets, forwarder)
    }

    /// Where it listens.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// From now on the container is found by its names.
    pub fn enter(&self, entry: Entry) {
        self.own.names.borrow_mut().enter(entry);
    }

    /// From now on the container at `address` is not found any more.
    pub fn remove(&self, address: IpAddr) {
        self.own.names.borrow_mut().remove(address);
    }

    /// Its names, for a server of another network to show.
    pub fn seen(&self) -> Seen {
        self.own.clone()
    }

    /// From now on whoever has the address `to` on this network sees `others` beside its names, and nothing else.
    pub fn show(&self, to: Ipv4Addr, others: Vec<Seen>) {
        match others.is_empty() {
            true => drop(self.shown.borrow_mut().remove(&to)),
            false => drop(self.shown.borrow_mut().insert(to, others)),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
