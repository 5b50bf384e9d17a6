//! `manual`: the client's own page, gantry(1), written from the registry that the client itself goes by.

use roff::{Roff, bold, italic, roman};

use crate::cli;
use crate::command::{Call, Entry, Outcome};
use crate::registry::ENTRIES;

/// Prints it, for `man -l -`, or for whoever installs it.
pub fn manual(call: &mut Call<'_>) -> Outcome {
    call.console.say(page().trim_end())?;
    Ok(0)
}

fn page() -> String {
    let mut page = Roff::new();
    page.control("TH", ["GANTRY", "1", "", concat!("gantry ", env!("CARGO_PKG_VERSION")), "gantry"]);
    page.control("SH", ["NAME"]).text([roman("gantry - run OCI containers: the client of gantryd")]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([bold("gantry"), roman(" [--socket "), italic("PATH"), roman("] COMMAND …")]);
    page.control("SH", ["DESCRIPTION"]).text([roman(
        "The command line is docker's, where gantry has the same. The exit status of run, create, exec and attach is the \
         container's own; 125 is a failure of gantry, 126 a program that cannot be executed, 127 one that is not there.",
    )]);
    page.control("SH", ["COMMANDS"]);
    ENTRIES.iter().for_each(|entry| command(&mut page, entry));
    page.control("SH", ["ENVIRONMENT"]);
    item(&mut page, "GANTRY_SOCKET", "The daemon's socket, where --socket does not say.");
    item(&mut page, "NO_COLOR", "No colours, even on a terminal.");
    page.control("SH", ["SEE ALSO"]).text([roman("gantryd(8), gantry.toml(5), gantry-protocol(7)")]);
    page.render()
}

fn command(page: &mut Roff, entry: &'static Entry) {
    page.control("SS", [&*format!("gantry {}", cli::form(entry))]).text([roman(entry.about)]);
    for (form, about) in entry.all_flags().filter_map(|flag| flag.help()) {
        item(page, form.trim(), about);
    }
}

fn item(page: &mut Roff, form: &str, about: &str) {
    page.control("TP", []).text([bold(form)]).text([roman(about)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_flag_is_there() {
        let page = page().replace("\\-", "-");
        for entry in ENTRIES {
            assert!(page.contains(&format!("gantry {}", entry.name)), "{}", entry.name);
            for (form, _) in entry.all_flags().filter_map(|flag| flag.help()) {
                assert!(page.contains(form.trim()), "{form}");
            }
        }
    }
}
