//! Whether what is mounted beneath a directory of the host is seen in a container later on: the propagation of its bind
//! mount (the kernel's `filesystems/sharedsubtree.rst`). What a container mounts never comes out of it: the daemon's mount
//! namespace is a slave of the host's.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::refusal::Refusal;

/// How mounts on the host's side of a bind mount go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// What is mounted beneath it now is all that is ever seen.
    #[default]
    PrivateAll,
    /// The same for the directory's own mount; those beneath it stay as they are.
    Private,
    /// What the host mounts and unmounts beneath it later, at any depth, is seen.
    SlaveAll,
    /// The same for the directory's own mount.
    Slave,
}

impl Propagation {
    /// What a client says, where it is a word for one.
    pub fn named(word: &str) -> Result<Option<Self>, Refusal> {
        Ok(Some(match word {
            "rprivate" => Self::PrivateAll,
            "private" => Self::Private,
            "rslave" => Self::SlaveAll,
            "slave" => Self::Slave,
            "rshared" | "shared" => {
                return Err(Refusal::unsupported(format_args!(
                    "volume=: {word}: the daemon's mount namespace is a slave of the host's, so that no mount of a \
                     container comes out of it; rslave shows it what the host mounts"
                )));
            }
            _ => return Ok(None),
        }))
    }

    /// As the runtime spec has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::PrivateAll => "rprivate",
            Self::Private => "private",
            Self::SlaveAll => "rslave",
            Self::Slave => "slave",
        }
    }

    /// The host's mounts reach it.
    pub fn is_slave(self) -> bool {
        matches!(self, Self::SlaveAll | Self::Slave)
    }
}

/// Refuses a directory whose mount no other reaches: it would be a slave of nothing. It blocks.
pub fn check(source: &Path) -> Result<(), Refusal> {
    let failed = |e: std::io::Error| Refusal::io(format_args!("volume={}", source.display()), &e);
    // Linux 5.8 tells the mount's number.
    let id = statx(CWD, source, AtFlags::empty(), StatxFlags::MNT_ID).map_err(|e| failed(e.into()))?.stx_mnt_id;
    let table = fs::read_to_string("/proc/thread-self/mountinfo").map_err(failed)?;
    match private_mount(&table, id) {
        None => Ok(()),
        Some(at) => Err(Refusal::unsupported(format_args!(
            "volume=: rslave: {} is in the mount at {}, which was private when the daemon began; \
             `mount --make-rshared {1}` on the host, then start the daemon again",
            source.display(),
            at.display()
        ))),
    }
}

/// Where the mount numbered `id` is, if it has no master: a line of `table` (proc(5), mountinfo) with neither
/// `master:` nor `shared:` among its optional fields.
fn private_mount(table: &str, id: u64) -> Option<PathBuf> {
    let of = |line: &&str| line.split(' ').next().and_then(|number| number.parse().ok()) == Some(id);
    let (left, _) = table.lines().find(of)?.split_once(" - ")?;
    let mut fields = left.split(' ').skip(4);
    let at = fields.next()?;
    let reached = fields.skip(1).any(|field| field.starts_with("master:") || field.starts_with("shared:"));
    (!reached).then(|| at.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;

    #[test]
    fn words_are_the_runtime_specs() {
        for word in ["rprivate", "private", "rslave", "slave"] {
            assert_eq!(Propagation::named(word).unwrap().unwrap().word(), word);
        }
        assert_eq!(Propagation::named("ro").unwrap(), None);
        assert_eq!(Propagation::named("rshared").unwrap_err().code(), Code::Unsupported);
    }

    #[test]
    fn private_mounts_are_told() {
        let table = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
            23 22 0:39 / /srv rw,relatime master:7 - tmpfs none rw\n\
            24 22 0:40 / /mnt rw shared:9 - tmpfs none rw\n";
        assert_eq!(private_mount(table, 22), Some("/".into()));
        assert_eq!(private_mount(table, 23), None);
        assert_eq!(private_mount(table, 24), None);
        assert_eq!(private_mount(table, 2), None, "gone since");
    }
}
