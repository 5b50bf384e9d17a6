//! What is shipped beside the programs: scripts that shells can read, completions that complete.

use super::shell;

#[test]
fn every_script_can_be_read() {
    let scripts =
        "shopt -s nullglob; for f in packaging/*.sh packaging/debian/* tests/*.sh tests/vm/*.sh tests/pictures/*.sh examples/*.sh; do
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

#[test]
fn the_daemons_pages_tell_what_the_daemon_goes_by() {
    let directory = std::env::temp_dir().join(format!("gantry-pages-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let writer = shell::binary("gantryd").with_file_name("examples").join("manual");
    shell::finish(shell::command(writer).arg(&directory)).succeeds();
    let page = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap().replace("\\-", "-");
    let (daemon, file, protocol) = (page("gantryd.8"), page("gantry.toml.5"), page("gantry-protocol.7"));
    for verb in gantry::verbs::VERBS {
        assert!(
            protocol.contains(&format!(".SS \"{}", verb.form.name))
                || protocol.contains(&format!(".SS {}", verb.form.name))
        );
        for option in verb.form.options {
            assert!(protocol.contains(&format!("{}=", option.key)), "{} {}", verb.form.name, option.key);
        }
    }
    for flag in gantry::config::command().get_arguments().filter_map(|flag| flag.get_long()) {
        assert!(daemon.contains(&format!("--{flag}")), "{flag}");
    }
    assert!(file.contains("max-image-size") && file.contains(".TH GANTRY.TOML 5"), "{file}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn what_is_installed_is_all_taken_away_again() {
    let script = "dir=$(mktemp -d); trap 'rm -rf $dir' EXIT; cp -r packaging $dir; cd $dir
        mkdir -p target/release target/man target/completions
        touch target/release/gantry target/release/gantryd target/completions/gantry.{bash,zsh,fish}
        touch target/man/gantry.1 target/man/gantryd.8 target/man/gantry.toml.5 target/man/gantry-protocol.7
        packaging/install.sh install $dir/to /opt; test -x to/opt/bin/gantry; test -s to/etc/gantry/gantry.toml
        grep -q '^ExecStart=/opt/bin/gantryd' to/opt/lib/systemd/system/gantry.service
        echo mine >to/etc/gantry/gantry.toml; packaging/install.sh install $dir/to /opt; grep -q mine to/etc/gantry/gantry.toml
        packaging/install.sh uninstall $dir/to /opt; find to -type f";
    assert_eq!(shell::sh(script).succeeds(), "to/etc/gantry/gantry.toml\n");
}

#[test]
fn a_host_that_is_not_fit_is_told_what_to_do() {
    let nothing = std::env::temp_dir().join(format!("gantry-no-tools-{}", std::process::id()));
    std::fs::create_dir(&nothing).unwrap();
    let checked = shell::finish(shell::command(shell::binary("gantryd")).arg("--check").arg("--tools").arg(&nothing));
    std::fs::remove_dir(&nothing).unwrap();
    assert_eq!(checked.status.code(), Some(1), "{}", checked.stdout);
    for tool in ["skopeo", "umoci", "crun", "conmon"] {
        let remedy = format!("; install the package {tool}\"");
        let told = checked.stdout.lines().find(|line| line.starts_with(&format!("ROW check={tool} ok=no detail=")));
        assert!(told.is_some_and(|line| line.ends_with(&remedy)), "{tool}: {}", checked.stdout);
    }
}
