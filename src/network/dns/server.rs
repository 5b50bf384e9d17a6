//! The server of one network: its two sockets, and the one task that serves both, with everything that waits for an
//! answer from elsewhere. When that task is dropped, all of it is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

use super::answer::{self, QUESTION_MAX, Transport, Verdict};
use super::forward::{self, Forwarder};
use super::pace::{Meter, Meters, Place, Places};
use super::{Seen, Shown};

/// At most so many questions are read in one go, and then one each so long, which bounds what a flood takes of the
/// daemon's thread.
const PACE: (u32, Duration) = (32, Duration::from_micros(30));
/// The same for each asker; what it asks beyond is not answered.
const PACE_EACH: (u32, Duration) = (500, Duration::from_micros(200));
/// How many questions wait for an answer from elsewhere, and how many of one asker.
const WAITING_MAX: (usize, usize) = (256, 64);
/// How many connections there are, and how many of one asker.
const CONNECTIONS_MAX: (usize, usize) = (64, 8);
/// How long a connection may be idle, or its peer slow.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// How long the server rests where its socket fails.
const REST: Duration = Duration::from_millis(100);

/// What waits: a question for its answer, or a connection for its end.
type Waiting = FuturesUnordered<Pin<Box<dyn Future<Output = ()>>>>;

/// What all that is served on a network has in common.
pub struct Desk {
    own: Seen,
    shown: Shown,
    /// None on a network without a way out.
    forwarder: Option<Rc<Forwarder>>,
    pace: Meter,
    paces: Meters,
    waiting: Places,
    connections: Places,
}

impl Desk {
    /// The desk of a network's `own` names, where containers on others too are `shown` those.
    pub fn new(own: Seen, shown: Shown, forwarder: Option<Rc<Forwarder>>) -> Self {
        Self {
            own,
            shown,
            forwarder,
            pace: Meter::new(PACE.0, PACE.1),
            paces: Meters::new(PACE_EACH.0, PACE_EACH.1),
            waiting: Places::new(WAITING_MAX.0, WAITING_MAX.1),
            connections: Places::new(CONNECTIONS_MAX.0, CONNECTIONS_MAX.1),
        }
    }

    /// Whether `asker` may ask now. Who does not belong to the network has forged its address, and an answer would go to
    /// somebody else.
    fn admits(&self, asker: Ipv4Addr) -> bool {
        let now = Instant::now();
        self.pace.count(now);
        self.own.range.contains(asker.into()) && self.paces.admit(asker, now)
    }

    /// Waits for the time of the next question.
    async fn next_turn(&self) {
        let wait = self.pace.wait(Instant::now());
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    /// What is known here, or else on another network of the asker's.
    fn answer(&self, question: &[u8], by: Transport, asker: Ipv4Addr, reply: &mut Vec<u8>) -> Verdict {
        let verdict = answer::answer(question, by, &self.own.names.borrow(), self.own.range, reply);
        let shown = self.shown.borrow();
        let Some(others) = shown.get(&asker).filter(|_| !is_known(verdict, reply)) else { return verdict };
        let mut other_reply = Vec::new();
        for Seen { names, range } in others {
            let other = answer::answer(question, by, &names.borrow(), *range, &mut other_reply);
            if is_known(other, &other_reply) {
                *reply = other_reply;
                return other;
            }
        }
        verdict
    }

    /// The answer from elsewhere, or that there is none.
    async fn forward(&self, question: &[u8], by: Transport, asker: Ipv4Addr) -> Vec<u8> {
        let servers = self.own.names.borrow().servers(asker.into()).to_vec();
        let mut reply = Vec::new();
        let answer = match &self.forwarder {
            Some(forwarder) => forwarder.ask(question, &servers).await,
            None => None,
        };
        match answer {
            Some(answer) => {
                reply = answer;
                answer::fit(question, by, &mut reply);
            }
            None => drop(answer::fail(question, by, &mut reply)),
        }
        reply
    }
}

/// Whether it is an answer, rather than that there is no such name: the low bits of the fourth byte (RFC 1035, 4.1.1).
fn is_known(verdict: Verdict, reply: &[u8]) -> bool {
    const NO_SUCH_NAME: u8 = 3;
    verdict != Verdict::Forward && reply.get(3).is_none_or(|flags| flags & 0x0f != NO_SUCH_NAME)
}

/// Serves until it is dropped.
pub async fn serve(desk: Desk, datagrams: UdpSocket, listener: TcpListener) {
    let (desk, datagrams) = (Rc::new(desk), Rc::new(datagrams));
    let mut waiting = Waiting::new();
    let (mut question, mut reply) = (vec![0; QUESTION_MAX], Vec::with_capacity(QUESTION_MAX));
    loop {
        tokio::select! {
            Some(()) = waiting.next(), if !waiting.is_empty() => {}
            received = receive(&desk, &datagrams, &mut question) => match received {
                Ok((length, asker)) => {
                    let question = question.get(..length).unwrap_or_default();
                    waiting.extend(hear(&desk, &datagrams, question, asker, &mut reply));
                }
                Err(error) => rest(&error).await,
            },
            accepted = listener.accept() => match accepted {
                Ok((stream, asker)) => waiting.extend(greet(&desk, stream, asker)),
                Err(error) => rest(&error).await,
            },
        }
    }
}

/// The bridge may be down, or descriptors short: neither is told by readiness.
async fn rest(error: &io::Error) {
    log::debug!("a name server's socket: {error}");
    sleep(REST).await;
}

async fn receive(desk: &Desk, datagrams: &UdpSocket, question: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    desk.next_turn().await;
    datagrams.recv_from(question).await
}

/// Answers a datagram at once, or gives what will.
fn hear(
    desk: &Rc<Desk>,
    datagrams: &Rc<UdpSocket>,
    question: &[u8],
    asker: SocketAddr,
    reply: &mut Vec<u8>,
) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
    let IpAddr::V4(ip) = asker.ip() else { return None };
    if !desk.admits(ip) {
        return None;
    }
    let mut verdict = desk.answer(question, Transport::Udp, ip, reply);
    if verdict == Verdict::Forward {
        if let Some(place) = desk.waiting.take(ip) {
            return Some(Box::pin(look_elsewhere(desk.clone(), datagrams.clone(), question.to_vec(), asker, place)));
        }
        verdict = answer::fail(question, Transport::Udp, reply);
    }
    if verdict == Verdict::Answer {
        send(datagrams, reply, asker);
    }
    None
}

async fn look_elsewhere(desk: Rc<Desk>, datagrams: Rc<UdpSocket>, question: Vec<u8>, asker: SocketAddr, _place: Place) {
    if let IpAddr::V4(ip) = asker.ip() {
        let reply = desk.forward(&question, Transport::Udp, ip).await;
        send(&datagrams, &reply, asker);
    }
}

fn send(datagrams: &UdpSocket, reply: &[u8], asker: SocketAddr) {
    // An answer can be lost on its way too: whoever does not get it asks again.
    if let Err(error) = datagrams.try_send_to(reply, asker) {
        log::debug!("an answer to {asker}: {error}");
    }
}

/// Begins a connection, or ends it where there are too many.
fn greet(desk: &Rc<Desk>, stream: TcpStream, asker: SocketAddr) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
    let IpAddr::V4(ip) = asker.ip() else { return None };
    let place = desk.connections.take(ip)?;
    let desk = desk.clone();
    Some(Box::pin(async move {
        if let Err(error) = converse(&desk, stream, ip).await {
            log::debug!("a connection of {ip}: {error}");
        }
        drop(place);
    }))
}

/// Answers one question after the other, until the peer has no more.
async fn converse(desk: &Desk, mut stream: TcpStream, asker: Ipv4Addr) -> io::Result<()> {
    let mut reply = Vec::new();
    loop {
        let question = timeout(IDLE_MAX, forward::read_framed(&mut stream, QUESTION_MAX)).await??;
        desk.next_turn().await;
        if !desk.admits(asker) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        match desk.answer(&question, Transport::Tcp, asker, &mut reply) {
            Verdict::Answer => {}
            Verdict::Silence => return Err(io::ErrorKind::InvalidData.into()),
            Verdict::Forward => match desk.waiting.take(asker) {
                Some(_place) => reply = desk.forward(&question, Transport::Tcp, asker).await,
                None => drop(answer::fail(&question, Transport::Tcp, &mut reply)),
            },
        }
        timeout(IDLE_MAX, stream.write_all(&forward::framed(&reply))).await??;
    }
}
