//! A small init that is put before a container's own program: reaps what that leaves, and passes signals on. It is found
//! on the host and runs in containers, never here.

use std::path::PathBuf;

use crate::refusal::Refusal;

/// What Debian, Docker and Podman install, the ones linked statically first.
const KNOWN: [&str; 7] = [
    "/usr/bin/catatonit",
    "/usr/libexec/podman/catatonit",
    "/usr/libexec/catatonit/catatonit",
    "/usr/bin/tini-static",
    "/usr/libexec/docker/docker-init",
    "/usr/bin/docker-init",
    "/usr/bin/tini",
];

/// `PT_INTERP` of elf(5): the program header of one that needs a loader.
const PT_INTERP: u32 = 3;

/// Where it is. Looks at the disk: not for the daemon's thread.
pub fn find() -> Result<PathBuf, Refusal> {
    let fit = |path: &PathBuf| std::fs::read(path).is_ok_and(|bytes| is_static(&bytes));
    let missing =
        || Refusal::unsupported("init=yes: this host has no init for containers; install the package catatonit");
    KNOWN.iter().map(PathBuf::from).find(fit).ok_or_else(missing)
}

/// Whether a program runs in any image: a 64-bit ELF file that asks for no loader, which the image need not have.
fn is_static(bytes: &[u8]) -> bool {
    let number = |at: usize, length: usize| {
        let field = bytes.get(at..at.checked_add(length)?)?;
        Some(field.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let headers = || {
        // Offset, size of one and count of the program headers, in a file of 64 bits, least byte first.
        let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count)
            .map(|nth| number(usize::try_from(start.checked_add(nth * size)?).ok()?, 4))
            .collect::<Option<Vec<_>>>()
    };
    bytes.starts_with(b"\x7fELF\x02\x01")
        && headers().is_some_and(|kinds| !kinds.is_empty() && !kinds.contains(&u64::from(PT_INTERP)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_static_program_will_do() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert!(!is_static(&own) && !is_static(b"#!/bin/sh") && !is_static(b"\x7fELF\x02\x01"));
        assert!(!is_static(&own[..100]), "cut short");
    }
}
