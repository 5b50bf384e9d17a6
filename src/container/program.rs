//! Whether a container's program can be executed at all, asked before anything runs: once crun has let go, execve(2)'s
//! refusal is but a line in the log and an exit status of 1.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};

use crate::refusal::Refusal;

/// How much of a program says what it is: Linux reads as much (`BINPRM_BUF_SIZE`).
const HEAD: u64 = 256;
/// Formats that the host registered beside the kernel's own.
const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";

/// Refuses a program that is no format the kernel knows, or a script whose interpreter is not there; `env` and `workdir`
/// are those it would run with. Whatever cannot be told here (a program on a mount of its own, say) is left to crun.
pub fn check(program: &str, env: &[String], workdir: &str, rootfs: &Path) -> Result<(), Refusal> {
    let root = open(rootfs, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty());
    let Ok(root) = root else { return Ok(()) };
    let Some(head) = candidates(program, env, workdir).iter().find_map(|path| head_of(&root, path)) else {
        return Ok(());
    };
    let refused = |why: &str| Err(Refusal::not_executable(format_args!("{program}: {why}")));
    if head.starts_with(b"\x7fELF") || is_registered(program, &head) {
        return Ok(());
    }
    match interpreter(&head) {
        None => refused("neither a program nor a script that says its interpreter"),
        Some(interpreter) if !interpreter.starts_with('/') => Ok(()),
        Some(interpreter) if is_missing(&root, &interpreter) => {
            refused(&format!("its interpreter {interpreter} is not there"))
        }
        Some(_) => Ok(()),
    }
}

/// Where the program is looked for, as execvpe(3) does.
fn candidates(program: &str, env: &[String], workdir: &str) -> Vec<String> {
    if program.starts_with('/') {
        return vec![program.to_owned()];
    }
    if program.contains('/') {
        return vec![format!("{workdir}/{program}")];
    }
    let path = env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or_default();
    path.split(':').filter(|dir| dir.starts_with('/')).map(|dir| format!("{dir}/{program}")).collect()
}

/// The beginning of a file of the container, where there is one.
fn head_of(root: &OwnedFd, path: &str) -> Option<Vec<u8>> {
    let found = File::from(find(root, path).ok()?);
    // Looked at before it is opened for reading, as what is no file may act on being opened.
    if !found.metadata().ok()?.is_file() {
        return None;
    }
    let opened = File::open(format!("/proc/self/fd/{}", found.as_raw_fd())).ok()?;
    let mut head = Vec::new();
    opened.take(HEAD).read_to_end(&mut head).ok()?;
    Some(head)
}

/// A file of the container, links followed within it.
pub(super) fn find<P: ?Sized + nix::NixPath>(root: &OwnedFd, path: &P) -> nix::Result<OwnedFd> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    openat2(root, path, how)
}

fn is_missing(root: &OwnedFd, path: &str) -> bool {
    matches!(find(root, path), Err(Errno::ENOENT | Errno::ENOTDIR))
}

/// What a script's first line names, if it is one.
fn interpreter(head: &[u8]) -> Option<String> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let text = String::from_utf8_lossy(line).into_owned();
    text.split_whitespace().next().map(str::to_owned)
}

/// Whether the host has an interpreter for it, as Debian's Python has for its compiled files.
fn is_registered(program: &str, head: &[u8]) -> bool {
    let own = |name: &std::ffi::OsStr| name == "register" || name == "status";
    let formats = std::fs::read_dir(REGISTERED).into_iter().flatten().flatten().filter(|e| !own(&e.file_name()));
    formats.filter_map(|format| std::fs::read_to_string(format.path()).ok()).any(|format| takes(&format, program, head))
}

/// Whether a registered format is the program's; kernel `Documentation/admin-guide/binfmt-misc.rst` has how it is told: by
/// what a name ends with, or by bytes at an offset, of which a mask says what counts.
fn takes(format: &str, program: &str, head: &[u8]) -> bool {
    let value = |key: &str| format.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    if format.lines().next() != Some("enabled") {
        return false;
    }
    if let Some(extension) = value("extension") {
        return program.ends_with(extension);
    }
    let offset = value("offset").and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
    let (magic, mask) = (bytes(value("magic").unwrap_or_default()), value("mask").map(bytes));
    let there = head.get(offset..).unwrap_or_default();
    let counts = |at: usize| mask.as_ref().and_then(|mask| mask.get(at).copied()).unwrap_or(0xff);
    there.len() >= magic.len() && magic.iter().zip(there).enumerate().all(|(at, (m, t))| (m ^ t) & counts(at) == 0)
}

/// What hexadecimal digits stand for.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_formats_are_told_apart() {
        let python = "enabled\ninterpreter /usr/bin/python3.13\nflags: \noffset 0\nmagic f30d0d0a\n";
        assert!(takes(python, "/x", b"\xf3\x0d\x0d\x0a code") && !takes(python, "/x", b"\xf3\x0d"));
        assert!(
            !takes(python, "/x", b"junk\n")
                && !takes(&python.replace("enabled", "disabled"), "/x", b"\xf3\x0d\x0d\x0a")
        );
        let masked = "enabled\ninterpreter /x\nflags: F\noffset 1\nmagic 4142\nmask ff00\n";
        assert!(takes(masked, "/x", b"-A-") && !takes(masked, "/x", b"-B-"));
        let jar = "enabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n";
        assert!(takes(jar, "/a.jar", b"junk") && !takes(jar, "/a", b"junk"));
    }

    #[test]
    fn a_first_line_names_the_interpreter() {
        for (head, named) in [
            (&b"#!/bin/sh\necho"[..], Some("/bin/sh")),
            (b"#! /usr/bin/env python3\n", Some("/usr/bin/env")),
            (b"#!\n", None),
            (b"\x7fELF", None),
            (b"echo", None),
        ] {
            assert_eq!(interpreter(head).as_deref(), named);
        }
    }
}
