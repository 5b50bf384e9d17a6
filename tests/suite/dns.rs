//! Questions of the DNS as a container asks them, and a name server elsewhere that answers as its names say.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name};
use domain::rdata::{A, AllRecordData};

use super::network::world::inside;
use super::shell;

/// An answer: its code, what its records hold, and whether it was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub rcode: String,
    pub data: Vec<String>,
    pub truncated: bool,
}

impl Told {
    fn read(reply: &[u8], question: &[u8]) -> Self {
        let message = Message::from_slice(reply).expect("a message");
        assert!(message.is_answer(Message::from_slice(question).unwrap()), "another question's answer");
        let records = message.answer().unwrap().limit_to::<AllRecordData<_, _>>();
        let data = records.map(|record| record.unwrap().data().to_string().trim_end_matches('.').to_owned()).collect();
        Self { rcode: message.header().rcode().to_string(), data, truncated: message.header().tc() }
    }

    /// Its one record, or its code.
    pub fn one(&self) -> &str {
        match self.data.as_slice() {
            [] => &self.rcode,
            [one] => one,
            more => panic!("{more:?}"),
        }
    }
}

/// A question under a number that is easily told from another's.
pub fn question(name: &str, rtype: &str) -> Vec<u8> {
    static NUMBER: AtomicUsize = AtomicUsize::new(1);
    let mut builder = MessageBuilder::new_vec().question();
    builder.header_mut().set_id(NUMBER.fetch_add(1, Ordering::SeqCst) as u16);
    builder.header_mut().set_rd(true);
    let rtype: Rtype = rtype.parse().unwrap();
    builder.push((Name::<Vec<u8>>::vec_from_str(name).unwrap(), rtype)).unwrap();
    builder.finish()
}

/// Asks `server` from the network namespace at `from`, by UDP.
pub fn ask(from: &Path, server: (Ipv4Addr, u16), name: &str, rtype: &str, patience: Duration) -> io::Result<Told> {
    let question = question(name, rtype);
    inside(from, || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(patience))?;
        socket.send(&question)?;
        let mut reply = vec![0; 65535];
        let length = socket.recv(&mut reply)?;
        Ok(Told::read(&reply[..length], &question))
    })
}

/// The same by TCP.
pub fn ask_by_tcp(from: &Path, server: (Ipv4Addr, u16), name: &str, rtype: &str) -> io::Result<Told> {
    let question = question(name, rtype);
    inside(from, || {
        let patience = shell::patience(30);
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(server), patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(&framed(&question))?;
        Ok(Told::read(&read_framed(&mut stream)?, &question))
    })
}

pub fn framed(message: &[u8]) -> Vec<u8> {
    [(message.len() as u16).to_be_bytes().as_slice(), message].concat()
}

pub fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message)?;
    Ok(message)
}

/// A name server of the host on 127.0.0.1. It answers 192.0.2.1, but for names that begin with
/// - `big`: a hundred addresses, by TCP alone;
/// - `refused`, `unknown`: that;
/// - `forged`: with another number first;
/// - `silent`: nothing.
pub struct Upstream {
    datagrams: Arc<UdpSocket>,
    listener: Arc<TcpListener>,
    threads: Vec<std::thread::JoinHandle<()>>,
    /// How many datagrams it was asked.
    asked: Arc<AtomicUsize>,
}

impl Upstream {
    pub fn start() -> Self {
        // Another process may have the port of the same number.
        let draw = || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let datagrams = UdpSocket::bind(listener.local_addr().unwrap()).ok()?;
            Some((Arc::new(listener), Arc::new(datagrams)))
        };
        let (listener, datagrams) = (0..32).find_map(|_| draw()).expect("a port that is free for both");
        let asked = Arc::new(AtomicUsize::new(0));
        let threads = vec![
            std::thread::spawn({
                let (socket, asked) = (datagrams.clone(), asked.clone());
                move || serve_datagrams(&socket, &asked)
            }),
            std::thread::spawn({
                let listener = listener.clone();
                move || serve_connections(&listener)
            }),
        ];
        Self { datagrams, listener, threads, asked }
    }

    pub fn address(&self) -> SocketAddr {
        self.datagrams.local_addr().unwrap()
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        use nix::sys::socket::{Shutdown, shutdown};
        use std::os::fd::AsRawFd;
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
        let _ = shutdown(self.datagrams.as_raw_fd(), Shutdown::Both);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn serve_datagrams(socket: &UdpSocket, asked: &AtomicUsize) {
    let mut question = vec![0; 4096];
    while let Ok((length @ 1.., who)) = socket.recv_from(&mut question) {
        asked.fetch_add(1, Ordering::SeqCst);
        let question = &question[..length];
        let name = name_of(question);
        if name.starts_with("silent") {
            continue;
        }
        if name.starts_with("forged") {
            let mut forged = reply(question, true);
            forged[0] ^= 0xff;
            let last = forged.len() - 1;
            forged[last] = 66;
            let _ = socket.send_to(&forged, who);
        }
        let _ = socket.send_to(&reply(question, true), who);
    }
}

fn serve_connections(listener: &TcpListener) {
    while let Ok((mut stream, _)) = listener.accept() {
        if let Ok(question) = read_framed(&mut stream) {
            let _ = stream.write_all(&framed(&reply(&question, false)));
        }
    }
}

fn name_of(question: &[u8]) -> String {
    Message::from_slice(question).unwrap().sole_question().unwrap().qname().to_string()
}

fn reply(question: &[u8], is_datagram: bool) -> Vec<u8> {
    let (message, name) = (Message::from_slice(question).unwrap(), name_of(question));
    let rcode = match name.split('.').next() {
        Some("refused") => Rcode::REFUSED,
        Some("unknown") => Rcode::NXDOMAIN,
        _ => Rcode::NOERROR,
    };
    let mut builder = MessageBuilder::new_vec().start_answer(message, rcode).unwrap();
    let asked = message.sole_question().unwrap();
    let big = name.starts_with("big");
    builder.header_mut().set_tc(big && is_datagram);
    let count = if big && is_datagram || rcode != Rcode::NOERROR { 0 } else { if big { 100 } else { 1 } };
    for last in 1..=count {
        builder.push((asked.qname(), 60, A::from_octets(192, 0, 2, last))).unwrap();
    }
    builder.finish()
}
