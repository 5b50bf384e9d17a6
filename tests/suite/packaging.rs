//! What is shipped beside the programs: scripts that shells can read, completions that complete.

use super::shell;

#[test]
fn every_script_can_be_read() {
    let scripts =
        "shopt -s nullglob; for f in packaging/*.sh packaging/debian/* tests/*.sh tests/vm/*.sh examples/*.sh; do
        [ -x $f ] || { echo $f cannot be executed; exit 1; }; bash -n $f; echo $f; done";
    let read = shell::sh(&format!("cd {}; {scripts}", shell::repository().display())).succeeds();
    assert!(read.lines().count() > 8, "{read}");
}

#[test]
fn a_line_is_completed() {
    let gantry = shell::binary("gantry");
    let completed = |words: &str, last: &str| {
        let script = format!(
            "source <({} completion bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _gantry gantry '{last}' gantry; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            gantry.display()
        );
        shell::sh(&script).succeeds()
    };
    assert!(completed("gantry net", "net").lines().eq(["network"]));
    assert!(completed("gantry network dis", "dis").lines().eq(["disconnect"]));
    assert!(completed("gantry compose res", "res").lines().eq(["restart"]));
    let flags = completed("gantry run --health", "--health");
    assert!(flags.lines().any(|flag| flag == "--health-cmd"), "{flags}");
}

#[test]
fn every_shell_and_no_other_is_known() {
    let gantry = |shell: &str| shell::finish(shell::command(shell::binary("gantry")).args(["completion", shell]));
    for shell in ["bash", "zsh", "fish"] {
        assert!(gantry(shell).succeeds().contains("unpause"), "{shell}");
    }
    let refused = gantry("csh");
    assert!(!refused.status.success() && refused.stderr.contains("bash, zsh and fish"), "{}", refused.stderr);
}

#[test]
fn the_page_tells_every_command() {
    let page = shell::finish(shell::command(shell::binary("gantry")).arg("manual")).succeeds();
    assert!(page.starts_with(".") && page.contains(".TH GANTRY 1"), "{page}");
}
