//! Host ports held for a container: a bound socket each, or one of each family, so that no process of the host and no other daemon
//! can have what we answer for, nor we what they have. Nothing is ever read from them: the rules turn traffic away before.
//!
//! A little of IPv6 they do not (`rules.rs`): who asks [::1], or from a link-local address. So a port of TCP is held there by a
//! socket that is bound and does not listen: the kernel refuses for it, and whoever asked tries the next address.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{
    AddressFamily, Backlog, Shutdown, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, SockaddrStorage,
    accept4, bind, getsockname, listen, setsockopt, shutdown, socket, sockopt,
};

use crate::id::{At, HostPorts, Proto, Publish, PublishedPort};
use crate::refusal::Refusal;

/// How long a copy of a socket is waited for, in turns, in milliseconds.
const COPIES_GO: [u64; 7] = [2, 5, 10, 20, 40, 80, 160];

/// How many ports one container may publish: each is a descriptor of the daemon's.
pub const PORTS_MAX: usize = 4096;

/// How often a free port is drawn that may be somebody else's in the other family.
const DRAWS_MAX: usize = 32;

/// How many ports all containers together may publish, so that descriptors are left for everything else.
pub fn bound_for_all(v6: bool) -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(if v6 { limit / 4 } else { limit / 2 }).unwrap_or(usize::MAX)
}

/// How many ports `publish` asks for.
pub fn count(publish: &[Publish]) -> usize {
    publish.iter().map(|publish| usize::from(publish.count)).sum()
}

/// The ports that one container has of the host. Dropped, they are free again.
#[derive(Debug, Default)]
pub struct Reserved {
    sockets: Vec<Hold>,
    ports: Vec<PublishedPort>,
}

/// A socket that holds a port.
#[derive(Debug)]
struct Hold {
    socket: OwnedFd,
    how: How,
}

/// What a socket does that holds a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Of TCP: it listens, and nobody accepts from it.
    Listens,
    /// Of TCP: it is bound, and the kernel refuses.
    Refuses,
    /// Of UDP: it is bound, and has no room for what it hears.
    IsDeaf,
}

/// Why a port cannot be had.
#[derive(Debug)]
pub enum Unavailable {
    /// It is taken: by us if the actor knows of it, else by a process of the host.
    Taken(Option<IpAddr>, u16, Proto),
    /// Anything else, told already.
    Refused(Refusal),
}

impl Reserved {
    /// All that `publish` asks for, or nothing. Where any port will do, the one that stands at its place in `before` is
    /// tried first. Where networks have no IPv6 (`v6`), every address is every one of IPv4.
    pub fn take(publish: &[Publish], before: &[PublishedPort], v6: bool) -> Result<Self, Unavailable> {
        let wanted = count(publish);
        if wanted > PORTS_MAX {
            let message = format!("{wanted} published ports; a container may have {PORTS_MAX}");
            return Err(Unavailable::Refused(Refusal::bad_value(message)));
        }
        let mut reserved = Self::default();
        for publish in publish {
            if publish.ip.is_some_and(|ip| ip.is_ipv6()) && !v6 {
                let message = format_args!("publish={}: networks have no IPv6 here", At(publish.ip, 0));
                return Err(Unavailable::Refused(Refusal::unsupported(message)));
            }
            for nth in 0..publish.count {
                let again = before.get(reserved.ports.len());
                reserved.take_one(publish, nth, again, v6)?;
            }
        }
        Ok(reserved)
    }

    /// The ports, in the order asked for.
    pub fn ports(&self) -> &[PublishedPort] {
        &self.ports
    }

    /// Hangs up on whoever connected between the reservation and the rules: they reached our socket, which nobody
    /// answers, and would wait there for good. To be called once the rules stand.
    pub fn turn_away_the_early(&self) {
        for Hold { socket, .. } in self.sockets.iter().filter(|hold| hold.how == How::Listens) {
            while let Ok(early) = accept4(socket.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK) {
                #[expect(unsafe_code, reason = "nix gives an accepted socket as a bare number")]
                // SAFETY: the number was just made for us and is nobody else's.
                drop(unsafe { OwnedFd::from_raw_fd(early) });
            }
        }
    }

    fn take_one(
        &mut self,
        publish: &Publish,
        nth: u16,
        again: Option<&PublishedPort>,
        v6: bool,
    ) -> Result<(), Unavailable> {
        let (proto, ip) = (publish.proto, publish.ip);
        let (Some(container), Some(host)) = (publish.container.checked_add(nth), host_port(publish.host, nth)) else {
            return Err(Unavailable::Refused(Refusal::bad_value("a range of ports goes beyond 65535")));
        };
        let again = again.filter(|_| host == 0).and_then(|again| hold_patiently((ip, v6), again.host, proto).ok());
        let taken = again.map_or_else(|| hold_patiently((ip, v6), host, proto), Ok);
        let (sockets, host) = taken.map_err(|errno| unavailable(ip, host, proto, errno))?;
        self.sockets.extend(sockets);
        self.ports.push(PublishedPort { ip, host, container, proto });
        Ok(())
    }
}

impl Drop for Reserved {
    /// A process that is just being started has a copy of every socket until its program begins: closing ours would free
    /// a port only then. One that is shut down listens no more, whoever has it, and a server can have its port.
    fn drop(&mut self) {
        for Hold { socket, how } in &self.sockets {
            // The first can fail for a socket that does not listen, and all of these do; the second for none.
            let _ = match how {
                How::Listens => shutdown(socket.as_raw_fd(), Shutdown::Both),
                How::Refuses => setsockopt(socket, sockopt::ReuseAddr, &true),
                How::IsDeaf => Ok(()),
            };
        }
    }
}

/// The host's `nth` port of a range; 0 is any.
fn host_port(host: HostPorts, nth: u16) -> Option<u16> {
    match host {
        HostPorts::Free => Some(0),
        HostPorts::From(first) => first.checked_add(nth),
    }
}

/// Asks once more for a port of UDP that is in use: unlike one of TCP it is not free while a process that is just being
/// started has a copy of its last socket, which is for a millisecond or two.
#[expect(clippy::disallowed_methods, reason = "a worker's thread, for less time than what else it does takes")]
fn hold_patiently(at: (Option<IpAddr>, bool), port: u16, proto: Proto) -> Result<(Vec<Hold>, u16), Errno> {
    for pause in COPIES_GO {
        match hold(at, port, proto) {
            Err(Errno::EADDRINUSE) if proto == Proto::Udp && port != 0 => {
                std::thread::sleep(Duration::from_millis(pause));
            }
            held => return held,
        }
    }
    hold(at, port, proto)
}

/// Holds a port, or any where it is 0, on an address, on all of IPv4, or on all there are.
fn hold((ip, v6): (Option<IpAddr>, bool), port: u16, proto: Proto) -> Result<(Vec<Hold>, u16), Errno> {
    match ip {
        Some(IpAddr::V4(ip)) => hold4(ip, port, proto),
        Some(IpAddr::V6(ip)) => hold6(ip, port, proto),
        None if !v6 => hold4(Ipv4Addr::UNSPECIFIED, port, proto),
        None => {
            let mut draws = 0;
            loop {
                let (mut held, number) = hold4(Ipv4Addr::UNSPECIFIED, port, proto)?;
                match hold6(Ipv6Addr::UNSPECIFIED, number, proto) {
                    Err(Errno::EADDRINUSE) if port == 0 && draws < DRAWS_MAX => draws += 1,
                    other => {
                        held.extend(other?.0);
                        return Ok((held, number));
                    }
                }
            }
        }
    }
}

fn hold4(ip: Ipv4Addr, port: u16, proto: Proto) -> Result<(Vec<Hold>, u16), Errno> {
    let socket = open(AddressFamily::Inet, proto)?;
    if proto == Proto::Tcp {
        // A port whose last connections are still in TIME_WAIT is free for a server, and so it is for us. With this
        // option alone two could bind the same port: it is `listen` that makes the check exact, in both directions.
        // (Where any port will do, one without such a past is better.)
        setsockopt(&socket, sockopt::ReuseAddr, &(port != 0))?;
        // Whom `turn_away_the_early` hangs up on is told at once, by a reset.
        setsockopt(&socket, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })?;
    }
    bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(ip, port)))?;
    let bound: SockaddrIn = getsockname(socket.as_raw_fd())?;
    if proto == Proto::Udp {
        return Ok((vec![Hold { socket, how: How::IsDeaf }], bound.port()));
    }
    listen(&socket, Backlog::new(1)?)?;
    Ok((vec![Hold { socket, how: How::Listens }], bound.port()))
}

fn hold6(ip: Ipv6Addr, port: u16, proto: Proto) -> Result<(Vec<Hold>, u16), Errno> {
    // A port that was asked for by its number stays bound when its socket listens no more; one of the kernel's choice does
    // not (`SOCK_BINDPORT_LOCK`). So that is drawn first.
    let drawn = if port == 0 { Some(open6(ip, 0, proto)?) } else { None };
    let port = match &drawn {
        Some(drawn) => getsockname::<SockaddrIn6>(drawn.as_raw_fd())?.port(),
        None => port,
    };
    if let (Proto::Udp, Some(drawn)) = (proto, drawn) {
        return Ok((vec![Hold { socket: drawn, how: How::IsDeaf }], port));
    }
    let socket = open6(ip, port, proto)?;
    if proto == Proto::Udp {
        return Ok((vec![Hold { socket, how: How::IsDeaf }], port));
    }
    // The exact check, as above. And then it listens no more, and lets nobody beside it.
    listen(&socket, Backlog::new(1)?)?;
    shutdown(socket.as_raw_fd(), Shutdown::Both)?;
    setsockopt(&socket, sockopt::ReuseAddr, &false)?;
    Ok((vec![Hold { socket, how: How::Refuses }], port))
}

fn open6(ip: Ipv6Addr, port: u16, proto: Proto) -> Result<OwnedFd, Errno> {
    let socket = open(AddressFamily::Inet6, proto)?;
    setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    if proto == Proto::Tcp {
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(ip.into(), port)))?;
    Ok(socket)
}

fn open(family: AddressFamily, proto: Proto) -> Result<OwnedFd, Errno> {
    let (kind, protocol) = match proto {
        Proto::Tcp => (SockType::Stream, SockProtocol::Tcp),
        Proto::Udp => (SockType::Datagram, SockProtocol::Udp),
    };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, protocol)?;
    if proto == Proto::Udp {
        // What arrives before the rules stand is kept for nobody.
        setsockopt(&socket, sockopt::RcvBuf, &0)?;
    }
    Ok(socket)
}

fn unavailable(wanted: Option<IpAddr>, port: u16, proto: Proto, errno: Errno) -> Unavailable {
    let at = format!("{}/{}", At(wanted, port), proto.as_str());
    let ip = wanted.map_or_else(|| "this host".to_owned(), |ip| ip.to_string());
    Unavailable::Refused(match errno {
        // Port 0 is in use when no port is left.
        Errno::EADDRINUSE if port == 0 => Refusal::in_use(format_args!("no {} port is free on {ip}", proto.as_str())),
        Errno::EADDRINUSE => return Unavailable::Taken(wanted, port, proto),
        Errno::EADDRNOTAVAIL => Refusal::bad_value(format_args!("{at}: {ip} is no address of this host")),
        Errno::EMFILE | Errno::ENFILE => Refusal::busy(format_args!("{at}: the daemon has no descriptor left for it")),
        errno if Error::from(errno).kind() == ErrorKind::PermissionDenied => {
            Refusal::denied(format_args!("{at}: {}", errno.desc()))
        }
        errno => Refusal::errno(at, errno),
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    fn take(text: &str) -> Result<Reserved, Unavailable> {
        Reserved::take(&[text.parse().unwrap()], &[], true)
    }

    /// What was given back, and for UDP once no process that another test may be starting has a copy.
    fn take_again(text: &str) -> Reserved {
        (0..50).find_map(|_| take(text).ok()).expect("a port that was given back is free")
    }

    #[test]
    fn a_port_is_held_against_everyone_until_it_is_dropped() {
        for proto in ["tcp", "udp"] {
            let held = take(&format!("127.0.0.1::80/{proto}")).unwrap();
            let host = held.ports()[0].host;
            let again = format!("{host}:80/{proto}");
            assert!(matches!(take(&again), Err(Unavailable::Taken(_, port, _)) if port == host));
            let bound = match proto {
                "tcp" => TcpListener::bind(("0.0.0.0", host)).map(drop),
                _ => UdpSocket::bind(("0.0.0.0", host)).map(drop),
            };
            assert_eq!(bound.unwrap_err().kind(), ErrorKind::AddrInUse);
            drop(held);
            assert_eq!(take_again(&again).ports()[0].host, host);
        }
    }

    /// Where the host that tests has IPv6.
    #[test]
    fn a_port_is_held_in_both_families_and_refuses_where_it_is_not_led() {
        if TcpListener::bind("[::1]:0").is_err() {
            return;
        }
        for proto in ["tcp", "udp"] {
            let bind = |at: &str, port: u16| match proto {
                "tcp" => TcpListener::bind(format!("{at}:{port}")).map(drop),
                _ => UdpSocket::bind(format!("{at}:{port}")).map(drop),
            };
            for (ip, taken, free) in [
                ("", vec!["0.0.0.0", "127.0.0.1", "[::]", "[::1]"], vec![]),
                ("[::]:", vec!["[::]", "[::1]"], vec!["127.0.0.1"]),
            ] {
                let held = take(&format!("{ip}:80/{proto}")).unwrap();
                let host = held.ports()[0].host;
                for at in taken {
                    assert_eq!(bind(at, host).unwrap_err().kind(), ErrorKind::AddrInUse, "{at} {proto}");
                }
                free.iter().for_each(|at| bind(at, host).unwrap());
                assert!(matches!(take(&format!("[::]:{host}:80/{proto}")), Err(Unavailable::Taken(..))));
                if proto == "tcp" {
                    let refused = std::net::TcpStream::connect(("::1", host)).unwrap_err();
                    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
                }
                drop(held);
                take_again(&format!("[::]:{host}:80/{proto}"));
            }
        }
        let process = TcpListener::bind("[::1]:0").unwrap();
        let port = process.local_addr().unwrap().port();
        assert!(matches!(take(&format!("{port}:80")), Err(Unavailable::Taken(..))), "of one family");
        let without = Reserved::take(&["[::]:80:80".parse().unwrap()], &[], false);
        assert!(matches!(without, Err(Unavailable::Refused(_))));
    }

    #[test]
    fn a_port_is_free_at_once_though_a_starting_process_has_a_copy() {
        let mut held = take("127.0.0.1::80").unwrap();
        let host = held.ports()[0].host;
        let mut copies = Vec::new();
        for _ in 0..2 {
            copies.extend(held.sockets.iter().map(|hold| hold.socket.try_clone().unwrap()));
            drop(held);
            drop(TcpListener::bind(("127.0.0.1", host)).unwrap());
            held = take(&format!("{host}:80")).unwrap();
        }
    }

    #[test]
    fn a_free_port_is_had_again_where_nobody_took_it() {
        let publish = ["127.0.0.1::80-81".parse().unwrap(), "127.0.0.1::53/udp".parse().unwrap()];
        let before = take_all(&publish, &[]);
        // Now and then another test draws one of them, or a process that it starts has a copy, both for a moment.
        assert!((0..50).any(|_| take_all(&publish, &before) == before), "{before:?}");
        let process = (0..50).find_map(|_| TcpListener::bind(("127.0.0.1", before[1].host)).ok());
        let is_so = |had: &[PublishedPort]| had[1] != before[1] && (had[0], had[2]) == (before[0], before[2]);
        assert!(process.is_some() && (0..50).any(|_| is_so(&take_all(&publish, &before))), "{before:?}");
    }

    /// What was had, given back at once.
    fn take_all(publish: &[Publish], before: &[PublishedPort]) -> Vec<PublishedPort> {
        Reserved::take(publish, before, true).unwrap().ports().to_vec()
    }

    #[test]
    fn a_port_of_a_process_is_not_taken() {
        let process = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = process.local_addr().unwrap().port();
        assert!(matches!(take(&format!("{port}:80")), Err(Unavailable::Taken(..))));
    }

    #[test]
    fn ranges_are_had_whole_or_not_at_all() {
        let free = take("127.0.0.1::80-99").unwrap();
        assert_eq!(free.ports().len(), 20);
        assert!(free.ports().iter().zip(80..).all(|(port, container)| port.container == container && port.host > 0));
        assert!(matches!(take("1-65535:1-65535"), Err(Unavailable::Refused(_))));
        assert!(matches!(take("192.0.2.77:1:1"), Err(Unavailable::Refused(_))));
    }

    #[test]
    fn the_early_are_turned_away() {
        use std::io::Read;
        let held = take("127.0.0.1::80").unwrap();
        let mut early = std::net::TcpStream::connect(("127.0.0.1", held.ports()[0].host)).unwrap();
        held.turn_away_the_early();
        assert!(!matches!(early.read(&mut [0]), Ok(1..)));
    }
}
