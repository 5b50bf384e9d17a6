//! Questions that are not ours, put to the host's name servers: by UDP, by TCP where the answer is truncated, each from a
//! port and under a number drawn at random, and within a time limit.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use domain::base::{Header, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::resolv;
use crate::worker::look;

/// How long a question may take in all: less than the five seconds after which an asker gives up by default.
const LIMIT: Duration = Duration::from_secs(4);
/// How often at least a server is asked in that time: a datagram may be lost.
const TRIES_MIN: usize = 2;
/// How long a server that did not answer is asked last.
const SHUNNED: Duration = Duration::from_secs(20);
/// How many servers are remembered for that; the oldest memory matters little.
const SHUNNED_MAX: usize = 64;
/// How long what was read of the host's file is taken for true.
const FRESH: Duration = Duration::from_secs(1);
/// How many answers are fetched by TCP at once: each may take 64 KiB.
const STREAMS_MAX: usize = 32;
/// The longest message.
const MESSAGE_MAX: usize = u16::MAX as usize;

/// Whoever asks others. One serves all networks.
pub struct Forwarder {
    /// The servers that the configuration names, in place of the host's.
    configured: Vec<SocketAddr>,
    /// The host's, and when they were read last.
    host: RefCell<Option<(Instant, Rc<[SocketAddr]>)>>,
    /// Servers that did not answer, and until when they are asked last.
    shunned: RefCell<HashMap<SocketAddr, Instant>>,
    streams: Semaphore,
    /// Where a datagram is received; never borrowed across an await.
    scratch: RefCell<Box<[u8]>>,
}

impl Forwarder {
    /// One that asks `configured`, or the host's servers where that is empty.
    pub fn new(configured: &[SocketAddr]) -> Self {
        Self {
            configured: configured.to_vec(),
            host: RefCell::default(),
            shunned: RefCell::default(),
            streams: Semaphore::new(STREAMS_MAX),
            scratch: RefCell::new(vec![0; MESSAGE_MAX].into()),
        }
    }

    /// Puts `question`, a whole message, to the servers at `own`, or to the host's where there are none. The answer bears
    /// the question's number. None where no server answers in time.
    pub async fn ask(&self, question: &[u8], own: &[IpAddr]) -> Option<Vec<u8>> {
        let servers = if own.is_empty() { self.servers().await } else { resolv::at(own).into() };
        let mut answer = timeout(LIMIT, self.ask_around(question, &servers)).await.ok().flatten()?;
        let id = Message::from_slice(question).ok()?.header().id();
        header_of(&mut answer)?.set_id(id);
        Some(answer)
    }

    /// Asks one server after the other, those first that answered lately. One that can or will not answer (SERVFAIL,
    /// REFUSED) is passed over as long as there are others.
    async fn ask_around(&self, question: &[u8], servers: &[SocketAddr]) -> Option<Vec<u8>> {
        let patience = LIMIT / u32::try_from(servers.len().max(TRIES_MIN)).unwrap_or(1);
        let mut last = None;
        let mut silent = self.in_order(servers);
        // A second round for those that kept silent; after that the time is up.
        for _ in 0..TRIES_MIN {
            for server in std::mem::take(&mut silent) {
                match timeout(patience, self.ask_one(question, server)).await {
                    Ok(Ok(answer)) => {
                        self.shunned.borrow_mut().remove(&server);
                        if is_final(&answer) {
                            return Some(answer);
                        }
                        last = Some(answer);
                    }
                    Ok(Err(error)) => {
                        log::debug!("the name server {server}: {error}");
                        self.shun(server);
                    }
                    Err(_) => {
                        self.shun(server);
                        silent.push(server);
                    }
                }
            }
            if last.is_some() {
                break;
            }
        }
        last
    }

    async fn ask_one(&self, question: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
        let mut question = question.to_vec();
        let mut id = [0; 2];
        getrandom::fill(&mut id).map_err(io::Error::other)?;
        let header = header_of(&mut question).ok_or(io::ErrorKind::InvalidData)?;
        header.set_id(u16::from_ne_bytes(id));
        let answer = self.by_udp(&question, server).await?;
        let truncated = Message::from_slice(&answer).is_ok_and(|answer| answer.header().tc());
        if !truncated {
            return Ok(answer);
        }
        match self.by_tcp(&question, server).await {
            Ok(whole) => Ok(whole),
            Err(error) => {
                log::debug!("the name server {server}, by TCP: {error}");
                Ok(answer)
            }
        }
    }

    async fn by_udp(&self, question: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        // A socket for each question: the kernel draws its port. Connected, it hears that server alone, and of its absence.
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(server).await?;
        socket.send(question).await?;
        loop {
            socket.readable().await?;
            let mut scratch = self.scratch.borrow_mut();
            match socket.try_recv(&mut scratch) {
                Ok(length) => {
                    let answer = scratch.get(..length).unwrap_or_default();
                    // Anything else that comes here is a forgery, or very late.
                    if is_answer(answer, question) {
                        return Ok(answer.to_vec());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn by_tcp(&self, question: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
        let _place = self.streams.acquire().await.map_err(io::Error::other)?;
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(&framed(question)).await?;
        let answer = read_framed(&mut stream, MESSAGE_MAX).await?;
        if is_answer(&answer, question) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// The servers to ask: the configuration's, or those that the host's file names now.
    async fn servers(&self) -> Rc<[SocketAddr]> {
        if !self.configured.is_empty() {
            return self.configured.as_slice().into();
        }
        if let Some((read, servers)) = &*self.host.borrow()
            && read.elapsed() <= FRESH
        {
            return servers.clone();
        }
        // Whoever else asks meanwhile reads it too: what was read before may be true no more.
        let now = Instant::now();
        let text = look(|| std::fs::read_to_string(resolv::PATH).unwrap_or_default()).await.unwrap_or_default();
        let servers: Rc<[_]> = resolv::servers(&text).into();
        *self.host.borrow_mut() = Some((now, servers.clone()));
        servers
    }

    fn in_order(&self, servers: &[SocketAddr]) -> Vec<SocketAddr> {
        let (shunned, now) = (self.shunned.borrow(), Instant::now());
        let is_shunned = |server: &SocketAddr| shunned.get(server).is_some_and(|until| *until > now);
        let mut servers = servers.to_vec();
        // Stable: the file's order is a preference.
        servers.sort_by_key(is_shunned);
        servers
    }

    fn shun(&self, server: SocketAddr) {
        let mut shunned = self.shunned.borrow_mut();
        if shunned.len() >= SHUNNED_MAX {
            shunned.clear();
        }
        shunned.insert(server, Instant::now() + SHUNNED);
    }
}

/// Whether another server need not be asked.
fn is_final(answer: &[u8]) -> bool {
    use domain::base::iana::Rcode;
    let rcode = Message::from_slice(answer).map(|answer| answer.header().rcode());
    !matches!(rcode, Err(_) | Ok(Rcode::SERVFAIL | Rcode::REFUSED | Rcode::NOTIMP))
}

fn is_answer(answer: &[u8], question: &[u8]) -> bool {
    match (Message::from_slice(answer), Message::from_slice(question)) {
        (Ok(answer), Ok(question)) => answer.is_answer(question),
        _ => false,
    }
}

fn header_of(message: &mut [u8]) -> Option<&mut Header> {
    // The crate panics where there is no whole header.
    Message::from_slice(message).ok()?;
    Some(Header::for_message_slice_mut(message))
}

/// `message` as it stands on a connection: behind its length (RFC 1035, 4.2.2). In one piece, lest it be two packets.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [length.to_be_bytes().as_slice(), message].concat()
}

/// The next message on a connection. `InvalidData` where it is longer than `longest`.
pub async fn read_framed(stream: &mut TcpStream, longest: usize) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > longest {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the C library asks, for both families of a name.
    #[tokio::test]
    async fn the_first_two_questions_at_once_are_put_to_the_same_servers() {
        let forwarder = Forwarder::new(&[]);
        let (one, two) = tokio::join!(forwarder.servers(), forwarder.servers());
        assert!(!one.is_empty() && one == two, "{one:?} {two:?}");
    }
}
