//! A program as a sealed copy in memory, that nobody can write to.
//!
//! crun, started from a file that is not sealed, first makes itself such a copy, mounting it, and starts again from there,
//! lest a container overwrite the host's program through `/proc/PID/exe` (CVE-2019-5736). Started from a sealed memfd it
//! need not (`cloned_binary.c`, which provides for this): that halves what each start of it costs. It must be sealed in
//! exactly these four ways to be taken for one.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, Mode, SealFlags, fchmod, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

/// The largest program that is copied: crun has half a megabyte.
const SIZE_MAX: u64 = 16 << 20;
/// What an executable that is no script begins with. A script's interpreter would be told another name of it.
const ELF: &[u8] = b"\x7fELF";

/// A sealed copy of a program. Good until it is dropped.
#[derive(Debug)]
pub struct Sealed {
    copy: OwnedFd,
    of: Version,
}

/// Tells a program from the one that an upgrade puts in its place.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Version {
    fn of(file: &Metadata) -> Self {
        let (device, inode, size) = (file.dev(), file.ino(), file.size());
        Self { device, inode, size, changed: (file.ctime(), file.ctime_nsec()) }
    }
}

impl Sealed {
    /// Copies the program at `path`. Reads it whole, which blocks for less than a millisecond where it was run before.
    pub fn copy(path: &Path) -> io::Result<Self> {
        let mut program = Vec::new();
        let file = File::open(path)?;
        let of = Version::of(&file.metadata()?);
        file.take(SIZE_MAX + 1).read_to_end(&mut program)?;
        if !program.starts_with(ELF) || program.len() as u64 > SIZE_MAX {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        let copy = File::from(executable_memory()?);
        copy.write_all_at(&program, 0)?;
        let copy = OwnedFd::from(copy);
        fchmod(&copy, Mode::from_raw_mode(0o555))?;
        fcntl_add_seals(&copy, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
        Ok(Self { copy, of })
    }

    /// Whether the program at `path` is still the one that was copied.
    pub fn is_of(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|file| Version::of(&file) == self.of)
    }

    /// Where others find the copy.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.copy.as_raw_fd()).into()
    }
}

/// Kernels before 6.3 do not know the flag, and need none.
fn executable_memory() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create("gantry:crun", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => Ok(memfd_create("gantry:crun", flags)?),
        made => Ok(made?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_runs_and_is_told_from_another() {
        let dir = std::env::temp_dir().join(format!("gantry-sealed-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let program = dir.join("program");
        fs::copy("/bin/true", &program).unwrap();
        let sealed = Sealed::copy(&program).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test starts what it made")]
        let status = std::process::Command::new(sealed.path()).status().unwrap();
        assert!(status.success());
        assert!(File::options().write(true).open(sealed.path()).and_then(|f| f.write_all_at(b"x", 0)).is_err());
        assert!(sealed.is_of(&program) && !sealed.is_of(Path::new("/bin/false")));
        fs::write(&program, "#!/bin/sh\n").unwrap();
        assert!(!sealed.is_of(&program) && Sealed::copy(&program).is_err());
        fs::remove_dir_all(&dir).unwrap();
    }
}
