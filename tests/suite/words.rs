//! The conformance vectors of the line grammar, `words.tsv`: by the code that splits words, and through a daemon.

use gantry::wire::line::{Frame, Framer};
use gantry::wire::words::split;

use super::harness::Daemon;

/// One line of the table.
struct Vector {
    line: Vec<u8>,
    expected: Expected,
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Words(Vec<Vec<u8>>),
    Code(String),
    Ignored,
}

fn vectors() -> Vec<Vector> {
    let table = include_str!("words.tsv").lines().filter(|line| !line.starts_with('#'));
    let vectors: Vec<_> = table.map(vector).collect();
    assert!(vectors.len() > 60, "the table is whole");
    vectors
}

fn vector(row: &str) -> Vector {
    let (line, expected) = row.split_once('\t').expect("two columns");
    let line = match line.split_once(" repeated ") {
        Some((text, times)) => bytes(text).repeat(times.trim_end_matches(" times").parse().unwrap()),
        None => bytes(line),
    };
    let expected = match expected {
        "ignored" => Expected::Ignored,
        "one word" => Expected::Words(vec![line.clone()]),
        words if words.starts_with('[') => {
            let words: Vec<serde_json::Value> = serde_json::from_str(words).unwrap();
            Expected::Words(words.iter().map(|word| bytes(&word.to_string())).collect())
        }
        code => Expected::Code(code.to_owned()),
    };
    Vector { line, expected }
}

/// A JSON string in which U+00HH stands for the byte HH.
fn bytes(json: &str) -> Vec<u8> {
    let text: String = serde_json::from_str(json).unwrap();
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("a byte")).collect()
}

#[test]
fn lines_split_as_the_vectors_say() {
    for Vector { line, expected } in vectors() {
        let mut framer = Framer::default();
        framer.push(&line).unwrap();
        framer.push(b"\n").unwrap();
        let got = match framer.next_frame().expect("a line") {
            Frame::TooLong => Expected::Code("too-long".into()),
            Frame::Line(line) => match split(&line) {
                Ok(words) if words.is_empty() => Expected::Ignored,
                Ok(words) => Expected::Words(words),
                Err(refusal) => Expected::Code(refusal.code().as_str().into()),
            },
        };
        assert_eq!(got, expected, "{}", String::from_utf8_lossy(&line[..line.len().min(80)]));
    }
}

/// What a vector's line is answered with; none where that depends on more than its words.
fn answer(vector: &Vector) -> Option<&str> {
    match &vector.expected {
        Expected::Ignored => Some(""),
        Expected::Code(code) => Some(code),
        Expected::Words(words) => match words[0].as_slice() {
            b"ping" if words.len() == 1 => Some("pong"),
            b"run" | b"--" => None,
            first if first.starts_with(b"@") || words[0].contains(&b'=') => None,
            _ => Some("unknown-verb"),
        },
    }
}

#[test]
fn a_daemon_answers_as_the_vectors_say() {
    let daemon = Daemon::start();
    for vector in vectors() {
        let Some(expected) = answer(&vector) else { continue };
        let mut conn = daemon.conn();
        conn.send_bytes(&[&vector.line, b"\nversion\n".as_slice()].concat());
        let shown = String::from_utf8_lossy(&vector.line[..vector.line.len().min(80)]).into_owned();
        if !expected.is_empty() {
            let reply = conn.reply();
            assert_eq!(reply.code(), expected, "{shown}");
        }
        assert_eq!(conn.reply().get("protocol"), "1", "{shown}");
    }
}
