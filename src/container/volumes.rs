//! What of the host's files a container sees: directories that are named, named volumes, and nameless ones of its own.

use std::fs;
use std::path::{Path, PathBuf};

use super::fill::fill;
use super::plan::{Places, Wishes};
use super::propagation::{self, Propagation};
use super::storage::destination;
use crate::id::VolumeName;
use crate::refusal::Refusal;
use crate::volumes::data_dir;

/// A wish for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeWish {
    /// What is to be seen.
    pub source: VolumeSource,
    /// Where.
    pub destination: PathBuf,
    /// It cannot be written there.
    pub read_only: bool,
    /// Whether later mounts of the host are seen.
    pub propagation: Propagation,
}

/// What a volume comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeSource {
    /// A file or directory of the host.
    Host(PathBuf),
    /// A named volume.
    Named(VolumeName),
    /// A directory that goes with the container.
    Anonymous,
}

impl std::str::FromStr for VolumeWish {
    type Err = Refusal;

    /// `SRC:DST[:OPTION,…]`, or `DST` alone.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let wrong = || Refusal::bad_value(format_args!("{text:?} is not SRC:DST[:ro|:rslave|:ro,rslave]"));
        let mut parts = text.split(':');
        let (first, second, third, more) = (parts.next(), parts.next(), parts.next(), parts.next());
        let (source, target) = match (first, second) {
            (Some(source), Some(target)) if source.starts_with('/') => (VolumeSource::Host(source.into()), target),
            (Some(source), Some(target)) => (VolumeSource::Named(source.parse()?), target),
            (Some(target), None) if target.starts_with('/') => (VolumeSource::Anonymous, target),
            _ => return Err(wrong()),
        };
        let (mut access, mut propagation) = (None, None);
        for option in third.iter().flat_map(|options| options.split(',')) {
            let twice = match (option, Propagation::named(option)?) {
                (_, Some(named)) => propagation.replace(named).is_some(),
                ("ro" | "rw", None) => access.replace(option).is_some(),
                _ => true,
            };
            if twice {
                return Err(wrong());
            }
        }
        if more.is_some() {
            return Err(wrong());
        }
        if propagation.is_some() && !matches!(source, VolumeSource::Host(_)) {
            return Err(Refusal::bad_value(format_args!("{text:?}: propagation is of the host's directories alone")));
        }
        let (read_only, propagation) = (access == Some("ro"), propagation.unwrap_or_default());
        Ok(Self { source, destination: destination(target)?, read_only, propagation })
    }
}

/// A path of the host that is mounted in a container.
#[derive(Clone, Debug)]
pub struct Bind {
    /// On the host.
    pub source: PathBuf,
    /// In the container.
    pub destination: PathBuf,
    /// It cannot be written there.
    pub read_only: bool,
    /// Whether later mounts of the host are seen.
    pub propagation: Propagation,
    /// The volume's name, where it has one.
    pub volume: Option<VolumeName>,
    /// It begins with what the image has there.
    filled: bool,
}

/// What is to be mounted: the wishes, and what the image asks for beside them. It looks at the disk: not for the
/// daemon's thread.
pub fn plan(wishes: &Wishes, of_image: &[String], places: &Places) -> Result<Vec<Bind>, Refusal> {
    let mut all = wishes.storage.volumes.clone();
    let taken = |all: &[VolumeWish], at: &Path| {
        all.iter().any(|wish| wish.destination == at)
            || wishes.storage.tmpfs.iter().any(|tmpfs| tmpfs.destination == at)
    };
    // What an image says that makes no sense is not its user's mistake.
    for destination in of_image.iter().filter_map(|path| destination(path).ok()) {
        if !taken(&all, &destination) {
            let (source, propagation) = (VolumeSource::Anonymous, Propagation::default());
            all.push(VolumeWish { source, destination, read_only: false, propagation });
        }
    }
    all.into_iter().enumerate().map(|(nth, wish)| bind(wish, nth, places)).collect()
}

fn bind(wish: VolumeWish, nth: usize, places: &Places) -> Result<Bind, Refusal> {
    let (source, volume, filled) = match wish.source {
        VolumeSource::Host(path) => (existing(path)?, None, false),
        VolumeSource::Named(name) => (data_dir(&places.volumes, &name), Some(name), true),
        VolumeSource::Anonymous => (places.data.join("volumes").join(nth.to_string()), None, true),
    };
    if wish.propagation.is_slave() {
        propagation::check(&source)?;
    }
    let VolumeWish { destination, read_only, propagation, .. } = wish;
    Ok(Bind { source, destination, read_only, propagation, volume, filled })
}

fn existing(path: PathBuf) -> Result<PathBuf, Refusal> {
    match fs::metadata(&path) {
        Ok(_) => Ok(path),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(Refusal::not_found(format_args!(
            "volume=: there is no {} on the host; make it first, or name a volume without a /",
            path.display()
        ))),
        Err(e) => Err(Refusal::io(format_args!("volume={}", path.display()), &e)),
    }
}

/// Makes the nameless ones, and fills those that are empty with what the image has there. It blocks.
pub fn prepare(binds: &[Bind], lower_dir: &Path) -> Result<(), Refusal> {
    for bind in binds.iter().filter(|bind| bind.filled) {
        fs::create_dir_all(&bind.source).map_err(|e| Refusal::io(bind.source.display(), &e))?;
        fill(lower_dir, &bind.destination, &bind.source)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        let read = |text: &str| text.parse::<VolumeWish>().map(|wish| (wish.source, wish.read_only));
        assert_eq!(read("/a:/b:ro").unwrap(), (VolumeSource::Host("/a".into()), true));
        assert_eq!(read("a:/b").unwrap(), (VolumeSource::Named("a".parse().unwrap()), false));
        assert_eq!(read("/b").unwrap(), (VolumeSource::Anonymous, false));
        for bad in [
            "",
            "a",
            "a:",
            ":/b",
            "a:b",
            "/a:/",
            "/a:/b:rx",
            "/a:/b:ro:ro",
            "./a:/b",
            "a b:/c",
            "/a:/b:",
            "/a:/b:ro,",
            "/a:/b:ro,rw",
            "/a:/b:slave,rslave",
            "/a:/b:shared",
            "a:/b:rslave",
            "/b:rslave",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let propagation = |text: &str| text.parse::<VolumeWish>().unwrap().propagation;
        assert_eq!(propagation("/a:/b:rslave,ro"), Propagation::SlaveAll);
        assert_eq!(propagation("/a:/b:ro"), Propagation::PrivateAll);
    }
}
