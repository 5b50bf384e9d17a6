//! What is answered to a question, pure: bytes in, bytes out, whatever the bytes are. Names of ours are answered here;
//! what is not ours is left to the host's resolvers (`forward.rs`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::base::iana::{Class, Opcode, OptRcode, Rcode, Rtype};
use domain::base::message_builder::{AnswerBuilder, PushError};
use domain::base::name::ToName;
use domain::base::{Header, Message, MessageBuilder, Name, ParsedName, Question, StaticCompressor};
use domain::dep::octseq::array::Array;
use domain::rdata::{A, Aaaa, Ptr};

use super::super::ula::Range;
use super::names::{Family, Found, NAME_MAX, Names};

/// The longest question that is read, in bytes. A real one is a name and a few options.
pub const QUESTION_MAX: usize = 4096;
/// The longest answer by UDP, in bytes, however much the asker would take: what the loopback and a bridge carry in few
/// pieces.
const DATAGRAM_MAX: usize = 4096;
/// How much an asker takes that does not say (RFC 1035, 4.2.1).
const DATAGRAM_MIN: usize = 512;
/// Bytes of an OPT record without options.
const OPT: usize = 11;
/// How many seconds an answer may be kept: it can change at any moment.
const TTL: u32 = 0;

/// How a question came, and so what an answer may weigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// On a connection.
    Tcp,
}

/// What becomes of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is answered: the answer was written.
    Answer,
    /// It is the host's resolvers' to answer.
    Forward,
    /// It is no question. Nothing is said, so that two servers never talk to each other for ever.
    Silence,
}

type Asked<'a> = Question<ParsedName<&'a [u8]>>;
type Builder<'a> = AnswerBuilder<StaticCompressor<&'a mut Vec<u8>>>;

/// Decides about `question`, which a container on the network of `names` and `range` asked, and writes the answer to
/// `reply`, where there is one.
pub fn answer(question: &[u8], by: Transport, names: &Names, range: Range, reply: &mut Vec<u8>) -> Verdict {
    let Some(message) = Message::from_slice(question).ok().filter(|message| !message.header().qr()) else {
        return Verdict::Silence;
    };
    let edns = Edns::of(message);
    let refused = |rcode, reply| write(message, &edns, by, rcode, reply, |_| Ok(()));
    if message.header().opcode() != Opcode::QUERY {
        return refused(Rcode::NOTIMP, reply);
    }
    let Ok(asked) = message.sole_question() else { return refused(Rcode::FORMERR, reply) };
    if edns.as_ref().is_some_and(|edns| edns.version != 0) {
        // What makes it BADVERS stands in the OPT record.
        return refused(Rcode::NOERROR, reply);
    }
    if asked.qclass() != Class::IN || matches!(asked.qtype(), Rtype::AXFR | Rtype::IXFR) {
        return refused(Rcode::REFUSED, reply);
    }
    match look_up(&asked, names, range) {
        Known::Addresses(found) => write(message, &edns, by, Rcode::NOERROR, reply, |to| add(&asked, found, to)),
        Known::Called(name) => {
            let name = Name::from_octets(name).map_err(|_| PushError::ShortBuf);
            write(message, &edns, by, Rcode::NOERROR, reply, |to| to.push((asked.qname(), TTL, Ptr::new(name?))))
        }
        Known::Nothing => write(message, &edns, by, Rcode::NOERROR, reply, |_| Ok(())),
        Known::Nobody => write(message, &edns, by, Rcode::NXDOMAIN, reply, |_| Ok(())),
        Known::Elsewhere => Verdict::Forward,
    }
}

/// Writes that no server answers `question`.
pub fn fail(question: &[u8], by: Transport, reply: &mut Vec<u8>) -> Verdict {
    let Ok(message) = Message::from_slice(question) else { return Verdict::Silence };
    write(message, &Edns::of(message), by, Rcode::SERVFAIL, reply, |_| Ok(()))
}

/// Cuts an answer from elsewhere to what the asker takes: to nothing but the hint to ask by TCP, where it is too long.
pub fn fit(question: &[u8], by: Transport, answer: &mut Vec<u8>) {
    let Ok(message) = Message::from_slice(question) else { return };
    let (edns, rcode) =
        (Edns::of(message), Message::from_slice(answer).map_or(Rcode::SERVFAIL, |m| m.header().rcode()));
    if answer.len() > limit(by, edns.as_ref())
        && write(message, &edns, by, rcode, answer, |_| Err(PushError::LimitExceeded)) == Verdict::Answer
    {
        // It is not we who know.
        Header::for_message_slice_mut(answer).set_aa(false);
    }
}

/// What is known of a question.
enum Known<'a> {
    /// The name has these.
    Addresses(Found<'a>),
    /// The address is called so.
    Called(&'a [u8]),
    /// It is ours, and has nothing of the kind that was asked for.
    Nothing,
    /// It would be ours, and is nobody's.
    Nobody,
    /// It is not ours.
    Elsewhere,
}

fn look_up<'a>(asked: &Asked<'_>, names: &'a Names, range: Range) -> Known<'a> {
    let mut key = Array::<NAME_MAX>::new();
    if asked.qname().compose_canonical(&mut key).is_err() {
        return Known::Elsewhere;
    }
    let key = key.as_slice();
    if let Some(found) = names.find(key) {
        return Known::Addresses(found);
    }
    if let Some(address) = reverse(key) {
        return match names.called(address) {
            Some(name) if matches!(asked.qtype(), Rtype::PTR | Rtype::ANY) => Known::Called(name),
            Some(_) => Known::Nothing,
            None if range.contains(address) => Known::Nobody,
            None => Known::Elsewhere,
        };
    }
    // A name of one label is a container's or nobody's: hosts of that kind are not in the public DNS (RFC 7085), and
    // others' names of this kind would be sent out for everyone to see. What is asked of a top-level domain beyond an
    // address is real, though.
    let single = key.first().is_some_and(|first| key.len() == usize::from(*first) + 2);
    match asked.qtype() {
        Rtype::A | Rtype::AAAA if single => Known::Nobody,
        _ => Known::Elsewhere,
    }
}

fn add(asked: &Asked<'_>, found: Found<'_>, to: &mut Builder<'_>) -> Result<(), PushError> {
    let wants = |rtype| asked.qtype() == rtype || asked.qtype() == Rtype::ANY;
    if wants(Rtype::A) {
        let v4 = |ip: &IpAddr| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None };
        found.in_turn(Family::V4, v4).try_for_each(|ip| to.push((asked.qname(), TTL, A::new(ip))))?;
    }
    if wants(Rtype::AAAA) {
        let v6 = |ip: &IpAddr| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None };
        found.in_turn(Family::V6, v6).try_for_each(|ip| to.push((asked.qname(), TTL, Aaaa::new(ip))))?;
    }
    Ok(())
}

/// The extension that a question came with (RFC 6891).
struct Edns {
    /// How long a datagram the asker takes.
    size: u16,
    version: u8,
    dnssec_ok: bool,
}

impl Edns {
    fn of(message: &Message<[u8]>) -> Option<Self> {
        let opt = message.opt()?;
        Some(Self { size: opt.udp_payload_size(), version: opt.version(), dnssec_ok: opt.dnssec_ok() })
    }
}

/// The longest answer, in bytes.
fn limit(by: Transport, edns: Option<&Edns>) -> usize {
    match by {
        Transport::Tcp => usize::from(u16::MAX),
        Transport::Udp => edns.map_or(DATAGRAM_MIN, |edns| usize::from(edns.size).clamp(DATAGRAM_MIN, DATAGRAM_MAX)),
    }
}

/// Writes an answer to `to`, whatever was in it: `add` adds its records, and where they do not all fit, those that do
/// stay and it is marked as truncated.
fn write(
    message: &Message<[u8]>,
    edns: &Option<Edns>,
    by: Transport,
    rcode: Rcode,
    to: &mut Vec<u8>,
    add: impl FnOnce(&mut Builder<'_>) -> Result<(), PushError>,
) -> Verdict {
    to.clear();
    let limit = limit(by, edns.as_ref());
    let Ok(mut builder) = MessageBuilder::from_target(StaticCompressor::new(to));
    // The limit of the crate is one that is not reached.
    builder.set_push_limit(limit - OPT + 1);
    let mut builder = builder.start_error(message, rcode);
    let header = builder.header_mut();
    header.set_cd(message.header().cd());
    header.set_ra(true);
    header.set_aa(matches!(rcode, Rcode::NOERROR | Rcode::NXDOMAIN));
    if add(&mut builder).is_err() {
        builder.header_mut().set_tc(true);
    }
    let mut builder = builder.additional();
    builder.clear_push_limit();
    let Some(edns) = edns else { return Verdict::Answer };
    let written = builder.opt(|opt| {
        opt.set_udp_payload_size(DATAGRAM_MAX as u16);
        opt.set_dnssec_ok(edns.dnssec_ok);
        if edns.version != 0 {
            opt.set_rcode(OptRcode::BADVERS);
        }
        Ok(())
    });
    if written.is_ok() { Verdict::Answer } else { Verdict::Silence }
}

/// The address that `name`, in lower case, asks after: `4.3.2.1.in-addr.arpa`, or 32 digits under `ip6.arpa`.
fn reverse(name: &[u8]) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(b"\x07in-addr\x04arpa\0") {
        let mut octets = [0; 4];
        let mut rest = digits;
        for octet in octets.iter_mut().rev() {
            let (length, behind) = rest.split_first()?;
            let (label, behind) = behind.split_at_checked(usize::from(*length))?;
            let text = std::str::from_utf8(label).ok()?;
            // One spelling only: no sign, no leading zero.
            *octet = text.parse().ok().filter(|octet: &u8| octet.to_string() == text)?;
            rest = behind;
        }
        return rest.is_empty().then(|| Ipv4Addr::from_octets(octets).into());
    }
    let digits = name.strip_suffix(b"\x03ip6\x04arpa\0").filter(|digits| digits.len() == 64)?;
    let mut bits = 0u128;
    for pair in digits.chunks_exact(2).rev() {
        let &[1, digit] = pair else { return None };
        bits = bits << 4 | u128::from(char::from(digit).to_digit(16)?);
    }
    Some(Ipv6Addr::from_bits(bits).into())
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
