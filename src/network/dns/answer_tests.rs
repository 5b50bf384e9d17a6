//! Tests of `answer.rs`: what is answered, how long it is, and that no bytes do harm.

use domain::base::iana::Class;
use domain::rdata::AllRecordData;
use proptest::prelude::*;

use super::super::super::ula::Ula;
use super::super::names::Entry;
use super::*;

fn entry(name: &str, tag: &str, ip: [u8; 4]) -> Entry {
    let (name, tag) = (name.to_owned(), tag.to_owned());
    Entry { name, tag, aliases: Vec::new(), addresses: vec![ip.into()], servers: Vec::new() }
}

/// `web` with two tags, and `db` with an address of IPv6 too.
fn names() -> Names {
    let mut names = Names::default();
    names.enter(entry("web", "v1", [10, 67, 0, 2]));
    names.enter(entry("web", "v2", [10, 67, 0, 3]));
    let mut db = entry("db", "latest", [10, 67, 0, 4]);
    db.addresses.push("fd00::4".parse().unwrap());
    names.enter(db);
    names
}

fn range() -> Range {
    Range { subnet: "10.67.0.0/16".parse().unwrap(), ula: Ula::choose("", "gantry0", "bridge", &[]) }
}

fn question(name: &str, rtype: Rtype) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec().question();
    builder.header_mut().set_id(0x1234);
    builder.header_mut().set_rd(true);
    builder.push((Name::<Vec<u8>>::vec_from_str(name).unwrap(), rtype)).unwrap();
    builder.finish()
}

fn with_edns(name: &str, rtype: Rtype, size: u16, version: u8) -> Vec<u8> {
    let mut message = question(name, rtype);
    message[11] = 1;
    message.extend([0, 0, 41]);
    message.extend(size.to_be_bytes());
    message.extend([0, version, 0x80, 0, 0, 0]);
    message
}

fn ask(question: &[u8], by: Transport) -> (Verdict, Vec<u8>) {
    let mut reply = Vec::new();
    (answer(question, by, &names(), range(), &mut reply), reply)
}

/// The answer in words: the code, then each record's data.
fn told(name: &str, rtype: Rtype) -> String {
    let (verdict, reply) = ask(&question(name, rtype), Transport::Udp);
    if verdict != Verdict::Answer {
        return format!("{verdict:?}");
    }
    let message = Message::from_slice(&reply).unwrap();
    let header = message.header();
    assert!(header.qr() && header.ra() && header.rd() && header.aa() && !header.tc() && header.id() == 0x1234);
    assert_eq!(message.sole_question().unwrap().qname().to_string(), name.trim_end_matches('.'), "as it was spelled");
    let records = message.answer().unwrap().limit_to::<AllRecordData<_, _>>().map(|record| {
        let record = record.unwrap();
        assert!(record.ttl().as_secs() == 0 && record.class() == Class::IN);
        record.data().to_string()
    });
    std::iter::once(header.rcode().to_string()).chain(records).collect::<Vec<_>>().join(" ")
}

#[test]
fn names_of_ours_are_answered() {
    for (name, rtype, expected) in [
        ("web.", Rtype::A, "NOERROR 10.67.0.2 10.67.0.3"),
        ("V1.Web.", Rtype::A, "NOERROR 10.67.0.2"),
        ("web.", Rtype::AAAA, "NOERROR"),
        ("web.", Rtype::MX, "NOERROR"),
        ("db.", Rtype::AAAA, "NOERROR fd00::4"),
        ("db.", Rtype::ANY, "NOERROR 10.67.0.4 fd00::4"),
        ("2.0.67.10.in-addr.arpa.", Rtype::PTR, "NOERROR v1.web."),
        ("4.0.67.10.IN-ADDR.arpa.", Rtype::PTR, "NOERROR latest.db."),
        ("2.0.67.10.in-addr.arpa.", Rtype::A, "NOERROR"),
    ] {
        assert_eq!(told(name, rtype), expected, "{name} {rtype}");
    }
    let six = format!("4.{}d.f.ip6.arpa.", "0.".repeat(29));
    assert_eq!(told(&six, Rtype::PTR), "NOERROR latest.db.");
}

#[test]
fn what_would_be_ours_is_nobody_s_and_the_rest_is_left_to_others() {
    for (name, rtype, expected) in [
        ("nobody.", Rtype::A, "NXDOMAIN"),
        ("nobody.", Rtype::AAAA, "NXDOMAIN"),
        ("9.9.67.10.in-addr.arpa.", Rtype::PTR, "NXDOMAIN"),
        ("nobody.", Rtype::MX, "Forward"),
        ("com.", Rtype::NS, "Forward"),
        (".", Rtype::NS, "Forward"),
        ("v3.web.", Rtype::A, "Forward"),
        ("example.org.", Rtype::A, "Forward"),
        ("1.2.0.192.in-addr.arpa.", Rtype::PTR, "Forward"),
        ("02.0.67.10.in-addr.arpa.", Rtype::PTR, "Forward"),
        ("0.67.10.in-addr.arpa.", Rtype::PTR, "Forward"),
    ] {
        assert_eq!(told(name, rtype), expected, "{name} {rtype}");
    }
    let reversed = |ip: Ipv6Addr| {
        let nibbles = ip.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
        nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa."
    };
    assert_eq!(told(&reversed(range().ula.unwrap().gateway()), Rtype::PTR), "NXDOMAIN");
    assert_eq!(told(&reversed(Ipv6Addr::LOCALHOST), Rtype::PTR), "Forward");
}

#[test]
fn addresses_are_read_from_reverse_names() {
    let key = |labels: &[&str]| {
        let mut key = Vec::new();
        for label in labels {
            key.push(label.len() as u8);
            key.extend(label.as_bytes());
        }
        key.push(0);
        reverse(&key)
    };
    assert_eq!(key(&["4", "3", "2", "1", "in-addr", "arpa"]), Some([1, 2, 3, 4].into()));
    for wrong in
        [&["4", "3", "2", "in-addr", "arpa"][..], &["+4", "3", "2", "1", "in-addr", "arpa"], &["in-addr", "arpa"]]
    {
        assert_eq!(key(wrong), None);
    }
    assert_eq!(key(&["256", "3", "2", "1", "in-addr", "arpa"]), None);
    assert_eq!(key(&["5", "4", "3", "2", "1", "in-addr", "arpa"]), None);
}

fn rcode(reply: &[u8]) -> Rcode {
    Message::from_slice(reply).unwrap().header().rcode()
}

#[test]
fn what_is_no_question_is_refused_or_passed_over() {
    let good = question("web.", Rtype::A);
    let changed = |at: usize, to: u8| {
        let mut message = good.clone();
        message[at] = to;
        ask(&message, Transport::Udp)
    };
    assert_eq!(changed(2, 0x80).0, Verdict::Silence, "an answer");
    assert_eq!(ask(&good[..11], Transport::Udp).0, Verdict::Silence);
    assert_eq!(rcode(&changed(2, 5 << 3).1), Rcode::NOTIMP, "an update");
    assert_eq!(rcode(&changed(5, 2).1), Rcode::FORMERR, "two questions");
    assert_eq!(rcode(&changed(5, 0).1), Rcode::FORMERR, "none");
    assert_eq!(rcode(&changed(12, 0xff).1), Rcode::FORMERR, "a pointer out of the message");
    assert_eq!(rcode(&changed(good.len() - 1, 3).1), Rcode::REFUSED, "another class");
    let mut circle = good[..12].to_vec();
    circle.extend([0xc0, 12, 0, 1, 0, 1]);
    assert_eq!(rcode(&ask(&circle, Transport::Udp).1), Rcode::FORMERR, "a name that leads to itself");
    assert_eq!(rcode(&ask(&question("web.", Rtype::AXFR), Transport::Tcp).1), Rcode::REFUSED);
    let (_, reply) = ask(&with_edns("web.", Rtype::A, 1232, 1), Transport::Udp);
    assert_eq!(Message::from_slice(&reply).unwrap().opt_rcode(), OptRcode::BADVERS);
}

/// A network where `web` has 300 tags.
fn crowd() -> Names {
    let mut names = Names::default();
    (0..300u16).for_each(|n| names.enter(entry("web", &format!("v{n}"), [10, 67, (n >> 8) as u8, n as u8])));
    names
}

#[test]
fn an_answer_is_as_long_as_the_asker_takes() {
    let names = crowd();
    for (question, by, longest, records) in [
        (question("web.", Rtype::A), Transport::Udp, 512, 29..=30),
        (with_edns("web.", Rtype::A, 100, 0), Transport::Udp, 512, 29..=30),
        (with_edns("web.", Rtype::A, 1232, 0), Transport::Udp, 1232, 74..=75),
        (with_edns("web.", Rtype::A, u16::MAX, 0), Transport::Udp, DATAGRAM_MAX, 253..=254),
        (question("web.", Rtype::A), Transport::Tcp, 65535, 300..=300),
    ] {
        let mut reply = Vec::new();
        answer(&question, by, &names, range(), &mut reply);
        let message = Message::from_slice(&reply).unwrap();
        let counts = message.header_counts();
        assert!(reply.len() <= longest, "{} of {longest}", reply.len());
        assert!(records.contains(&counts.ancount()), "{} records", counts.ancount());
        assert_eq!(message.header().tc(), by == Transport::Udp);
        assert_eq!(message.opt().is_some(), question.len() > 30, "as the asker has it");
        assert_eq!(message.answer().unwrap().count(), usize::from(counts.ancount()), "whole");
    }
}

#[test]
fn an_answer_from_elsewhere_is_cut_to_the_hint() {
    let asked = question("example.org.", Rtype::TXT);
    let mut long = asked.clone();
    long[2] |= 0x80;
    long.resize(700, 0);
    let mut fitted = long.clone();
    fit(&with_edns("example.org.", Rtype::TXT, 1232, 0), Transport::Udp, &mut fitted);
    assert_eq!(fitted, long);
    fit(&asked, Transport::Udp, &mut fitted);
    let message = Message::from_slice(&fitted).unwrap();
    assert!(message.header().tc() && !message.header().aa() && message.header_counts().ancount() == 0);
    assert!(message.is_answer(Message::from_slice(&asked).unwrap()));
    let mut failed = Vec::new();
    assert_eq!(fail(&asked, Transport::Udp, &mut failed), Verdict::Answer);
    assert_eq!(rcode(&failed), Rcode::SERVFAIL);
}

proptest! {
    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..600), tcp: bool) {
        check_any(&bytes, tcp)?;
    }

    /// Nearly right, and so further in.
    #[test]
    fn no_change_of_a_question_does_harm(
        changes in proptest::collection::vec((0usize..80, any::<u8>()), 0..6),
        more in proptest::collection::vec(any::<u8>(), 0..60),
        tcp: bool,
    ) {
        let mut bytes = with_edns("v1.web.", Rtype::A, 1232, 0);
        bytes.extend(more);
        for (at, to) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
        }
        check_any(&bytes, tcp)?;
    }
}

fn check_any(bytes: &[u8], tcp: bool) -> Result<(), TestCaseError> {
    let by = if tcp { Transport::Tcp } else { Transport::Udp };
    let (verdict, mut reply) = ask(bytes, by);
    if verdict == Verdict::Answer {
        prop_assert!(tcp || reply.len() <= DATAGRAM_MAX);
        let message = Message::from_slice(&reply).unwrap();
        prop_assert!(message.header().qr() && message.header().id().to_be_bytes() == bytes[..2]);
        prop_assert!(message.answer().is_ok_and(|mut records| records.all(|record| record.is_ok())));
    }
    // What came from elsewhere is as little to be trusted.
    let mut other = bytes.to_vec();
    fit(&with_edns("v1.web.", Rtype::A, 512, 0), by, &mut other);
    prop_assert!(tcp || other.len() <= 512);
    fail(bytes, by, &mut reply);
    Ok(())
}
