//! What a container sees beside its root filesystem: volumes, tmpfs and shared memory. Says where, not how it is mounted.

use std::path::{Component, Path, PathBuf};

use super::volumes::VolumeWish;
use crate::refusal::Refusal;
use crate::wire::units::{number, size};

/// What a client wishes in place of the defaults.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    /// The root filesystem cannot be written.
    pub read_only: bool,
    /// Files of the host, and volumes.
    pub volumes: Vec<VolumeWish>,
    /// Filesystems in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// Bytes of `/dev/shm`.
    pub shm_size: Option<u64>,
}

/// A filesystem in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where.
    pub destination: PathBuf,
    /// As mount(8) has them.
    pub options: Vec<String>,
}

impl std::str::FromStr for Tmpfs {
    type Err = Refusal;

    /// `DST[:OPTION,…]`, with Docker's defaults.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let (destination, given) = text.split_once(':').unwrap_or((text, ""));
        let (mut exec, mut write, mut mode, mut rest) = ("noexec", "rw", "mode=1777".to_owned(), Vec::new());
        for option in given.split(',').filter(|option| !option.is_empty()) {
            match (option, option.split_once('=')) {
                ("exec", _) => exec = "exec",
                ("noexec", _) => exec = "noexec",
                ("rw", _) => write = "rw",
                ("ro", _) => write = "ro",
                (_, Some(("mode", value))) if is_mode(value) => mode = option.to_owned(),
                (_, Some(("size", value))) => rest.push(format!("size={}", size(value)?)),
                (_, Some(("uid" | "gid", value))) if number::<u32>(value).is_some() => rest.push(option.to_owned()),
                _ => {
                    return Err(Refusal::bad_value(format_args!(
                        "{option:?} is none of size=SIZE, mode=OCTAL, uid=N, gid=N, exec, ro"
                    )));
                }
            }
        }
        let mut options = ["nosuid", "nodev", exec, write].map(str::to_owned).to_vec();
        options.push(mode);
        options.extend(rest);
        Ok(Self { destination: self::destination(destination)?, options })
    }
}

fn is_mode(text: &str) -> bool {
    (1..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b))
}

/// A path in a container where something can be mounted.
pub fn destination(text: &str) -> Result<PathBuf, Refusal> {
    let path = Path::new(text);
    if !path.is_absolute() {
        return Err(Refusal::bad_value(format_args!("{text:?} is not an absolute path in the container")));
    }
    // As Docker does, before anything is looked at: a/../b is b.
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    if clean == Path::new("/") {
        return Err(Refusal::bad_value("nothing can be mounted over a container's root"));
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_tmpfs() {
        let options = |text: &str| text.parse::<Tmpfs>().map(|tmpfs| tmpfs.options.join(","));
        assert_eq!(options("/t").unwrap(), "nosuid,nodev,noexec,rw,mode=1777");
        assert_eq!(options("/t:size=1m,mode=700,exec").unwrap(), "nosuid,nodev,exec,rw,mode=700,size=1048576");
        for bad in ["", "t", "/", "/t:size=x", "/t:mode=8", "/t:mode=", "/t:suid", "/t:uid=x", "/a/.."] {
            assert!(options(bad).is_err(), "{bad}");
        }
        assert_eq!("/a/../b//c/.".parse::<Tmpfs>().unwrap().destination, Path::new("/b/c"));
    }
}
