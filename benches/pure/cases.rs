//! The cases: each is made ready once, and then done as often as somebody likes.

use gantry::verbs::VERBS;
use gantry::wire::args::Args;
use gantry::wire::line::{Frame, Framer};
use gantry::wire::reply::{Line, Parsed};
use gantry::wire::words;

/// Something that is done again and again; what it returns says how much it did.
pub type Case = Box<dyn FnMut() -> usize>;

/// How a case is made ready.
pub type Make = fn() -> Case;

/// The cases, by name.
pub const ALL: [(&str, Make); 5] = [
    ("ping", ping),
    ("ps row", ps_row),
    ("ps row read back", ps_row_read),
    ("words of a run", words_of_a_run),
    ("arguments of a run", arguments_of_a_run),
];

/// A request as people write it.
const RUN: &[u8] = br#"run busybox name=web:1 env="GREETING=hello world" publish=8080:80 memory=64m rm=yes label='a=b c' -- httpd -f -p 80 -h /www"#;

/// All of a ping but the socket: its bytes, its line, its words, its arguments, its reply.
fn ping() -> Case {
    let mut framer = Framer::default();
    Box::new(move || {
        framer.push(b"ping\n").ok();
        let Some(Frame::Line(line)) = framer.next_frame() else { return 0 };
        let mut words = words::split(&line).unwrap();
        let verb = VERBS.iter().find(|verb| verb.form.name.as_bytes() == words[0]).unwrap();
        words.remove(0);
        let _ = Args::parse(&verb.form, words).unwrap();
        Line::pong().as_bytes().len()
    })
}

fn row() -> Line {
    let keys = [
        "name", "id", "image", "state", "pid", "ip", "ports", "exit", "restarts", "health", "created", "started",
        "finished",
    ];
    let (id, time) = ("5e1446a89490870eeaaae80d894a6da09798e73af2e42ca2e9f8d7121d198806", "2026-11-22T05:41:50.924Z");
    Line::row(
        &keys,
        &[
            &"web:1",
            &id,
            &"localhost/busybox:latest",
            &"running",
            &4711,
            &"10.67.0.2",
            &"0.0.0.0:8080->80/tcp",
            &"",
            &0,
            &"",
            &time,
            &time,
            &"",
        ],
    )
}

fn ps_row() -> Case {
    Box::new(|| row().as_bytes().len())
}

fn ps_row_read() -> Case {
    let line = row();
    Box::new(move || Parsed::read(line.as_bytes().trim_ascii_end()).pairs().unwrap().len())
}

fn words_of_a_run() -> Case {
    Box::new(|| words::split(RUN).unwrap().len())
}

fn arguments_of_a_run() -> Case {
    let form = &VERBS.iter().find(|verb| verb.form.name == "run").unwrap().form;
    let words = words::split(RUN).unwrap().split_off(1);
    Box::new(move || Args::parse(form, words.clone()).unwrap().all_text("env").unwrap().len())
}
