//! Writes the manual pages gantryd(8), gantry.toml(5) and gantry-protocol(7) into a directory, from the tables that the
//! daemon itself goes by. (The client prints its own: `gantry manual`.) `make man` is this.

use std::path::Path;

use clap_mangen::Man;
use gantry::config;
use gantry::refusal::Code;
use gantry::verbs::{VERBS, usage};
use roff::{Roff, bold, roman};

const SOURCE: &str = concat!("gantry ", env!("CARGO_PKG_VERSION"));

fn main() -> std::io::Result<()> {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("manual: which directory?");
        std::process::exit(2);
    };
    let write = |name: &str, page: Vec<u8>| std::fs::write(Path::new(&dir).join(name), page);
    write("gantryd.8", daemon()?)?;
    write("gantry.toml.5", file().into_bytes())?;
    write("gantry-protocol.7", protocol().into_bytes())
}

fn page(name: &str, section: &str, about: &str) -> Roff {
    let mut page = Roff::new();
    page.control("TH", [&*name.to_uppercase(), section, "", SOURCE, "gantry"]);
    page.control("SH", ["NAME"]).text([roman(format!("{name} - {about}"))]);
    page
}

fn section(page: &mut Roff, title: &str, text: &str) {
    page.control("SH", [title]).text([roman(text)]);
}

fn item(page: &mut Roff, form: &str, about: &str) {
    page.control("TP", []).text([bold(form)]).text([roman(about)]);
}

fn daemon() -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(config::command()).section("8").source(SOURCE).manual("gantry").render(&mut page)?;
    let mut rest = Roff::new();
    section(
        &mut rest,
        "SIGNALS",
        "TERM, INT and HUP stop every container, each within its stop timeout, and end the daemon with the host as it was \
         found; a second one kills what still runs. After KILL, the next start sweeps what was left.",
    );
    section(
        &mut rest,
        "SYSTEMD",
        "A socket that the service manager opened at the path of the control socket, or of the read-only one, is served \
         (sd_listen_fds(3)); readiness, end and watchdog are told (sd_notify(3)).",
    );
    section(&mut rest, "FILES", "");
    item(&mut rest, "/etc/gantry/gantry.toml", "The configuration, gantry.toml(5).");
    item(&mut rest, "/run/gantry", "The sockets, and the state of this run.");
    item(&mut rest, "/var/lib/gantry", "Images, volumes and the writable layers of containers.");
    section(&mut rest, "SEE ALSO", "gantry(1), gantry.toml(5), gantry-protocol(7), crun(1), conmon(8)");
    page.extend(rest.to_roff().into_bytes());
    Ok(page)
}

fn file() -> String {
    let mut page = page("gantry.toml", "5", "configuration of gantryd");
    section(
        &mut page,
        "DESCRIPTION",
        "The file is TOML (https://toml.io). Flags and environment of gantryd(8) outweigh it; a key that is not known is an \
         error. Every key, with what holds where it is left out:",
    );
    page.control("PP", []).control("nf", []);
    for line in include_str!("../packaging/gantry.toml").lines().skip(1) {
        page.text([roman(line)]);
    }
    page.control("fi", []);
    section(&mut page, "SEE ALSO", "gantryd(8)");
    page.render()
}

fn protocol() -> String {
    let mut page = page("gantry-protocol", "7", "the line protocol of gantryd");
    section(
        &mut page,
        "DESCRIPTION",
        "One request a line on a Unix socket: words parted by blanks, in double quotes where they hold some; options are \
         key=value. Each is answered by data lines and one final line, OK … or ERR CODE text. A word @TAG before a request \
         comes back before every line of its reply. The whole of it is told in protocol.md, which comes with gantry.",
    );
    page.control("SH", ["VERBS"]);
    for verb in VERBS {
        page.control("SS", [&*usage(&verb.form)]).text([roman(verb.about)]);
        verb.form.options.iter().for_each(|option| {
            item(&mut page, &format!("{}={}", option.key, option.value), option.about);
        });
    }
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    section(&mut page, "ERRORS", &codes.join(", "));
    section(&mut page, "SEE ALSO", "gantry(1), gantryd(8)");
    page.render()
}
