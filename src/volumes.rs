//! Named volumes: directories that outlive containers, and who uses which. What is written into them is the containers'.
//!
//! A volume is `NAME/data` under one directory; what is being removed has a name there that no volume can have.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::du::{Du, Taken};
use crate::events::{Bus, Kind};
use crate::id::{Name, VolumeName};
use crate::refusal::Refusal;
use crate::removal;
use crate::worker::{self, beside};

/// The volumes. One thread's; cheap to clone.
#[derive(Clone)]
pub struct Volumes {
    root: Arc<Path>,
    users: Users,
    bus: Bus,
    /// Held by whoever makes or removes one: one at a time, so that none is removed while it is being claimed.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// Who uses which volume.
#[derive(Clone, Default)]
struct Users(Arc<Mutex<BTreeMap<VolumeName, Vec<Name>>>>);

/// A volume in use: it is not removed while this is there.
pub struct Held {
    users: Users,
    volume: VolumeName,
    by: Name,
}

/// A volume as listings show it.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its name.
    pub name: VolumeName,
    /// Where its files lie.
    pub path: PathBuf,
    /// When it was made.
    pub created: Option<SystemTime>,
    /// The containers that use it, whether or not they run.
    pub containers: Vec<Name>,
}

impl Users {
    /// Never held across anything that waits, so that it can be taken on the daemon's thread.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<VolumeName, Vec<Name>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, volume: &VolumeName) -> Vec<Name> {
        self.lock().get(volume).cloned().unwrap_or_default()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut users = self.users.lock();
        let Some(names) = users.get_mut(&self.volume) else { return };
        if let Some(at) = names.iter().position(|name| *name == self.by) {
            names.remove(at);
        }
        if names.is_empty() {
            users.remove(&self.volume);
        }
    }
}

impl Volumes {
    /// The volumes under `root`.
    pub fn new(root: &Path, bus: Bus) -> Self {
        Self { root: root.into(), users: Users::default(), bus, turn: Arc::default() }
    }

    /// Removes what a run that died was removing. It walks trees: not for the daemon's thread.
    pub fn sweep(root: &Path) {
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with('.') {
                warn_of(&entry.path(), removal::remove(&entry.path()));
            }
        }
    }

    /// Makes one. Refused where it is there.
    pub async fn create(&self, name: &VolumeName) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        if self.make(name).await? {
            return Ok(());
        }
        Err(Refusal::exists(format_args!("a volume {name} is there already")))
    }

    /// Takes one into use for a container, making it where it is not there. Tells whether it was made.
    pub async fn claim(&self, name: &VolumeName, by: &Name) -> Result<(Held, bool), Refusal> {
        let _turn = self.turn.lock().await;
        let made = self.make(name).await?;
        self.users.lock().entry(name.clone()).or_default().push(by.clone());
        Ok((Held { users: self.users.clone(), volume: name.clone(), by: by.clone() }, made))
    }

    /// Removes one that nobody uses: at once for everyone, though its files may take a while.
    pub async fn remove(&self, name: &VolumeName) -> Result<(), Refusal> {
        let gone = self.take_away(name).await?;
        warn_of(&gone, removal::beside(gone.clone()).await);
        self.bus.publish(Kind::Volume, name.as_str(), "remove", Vec::new());
        Ok(())
    }

    /// Gives the volume a name that none can have, and that no other has which is being removed.
    async fn take_away(&self, name: &VolumeName) -> Result<PathBuf, Refusal> {
        let _turn = self.turn.lock().await;
        let users = self.users.of(name);
        if !users.is_empty() {
            let users = users.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
            return Err(Refusal::in_use(format_args!("the volume {name} is used by {users}")));
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let (path, gone) = (self.root.join(name.as_str()), self.root.join(format!(".{now}-{name}")));
        let named = name.clone();
        beside(move || match fs::rename(&path, &gone) {
            Ok(()) => Ok(gone),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Err(Refusal::not_found(format_args!("no volume {named}")))
            }
            Err(e) => Err(Refusal::io(path.display(), &e)),
        })
        .await
    }

    /// Removes those that nobody uses, and tells their names.
    pub async fn prune(&self) -> Result<Vec<VolumeName>, Refusal> {
        let mut removed = Vec::new();
        for volume in self.list().await?.into_iter().filter(|volume| volume.containers.is_empty()) {
            // One that was taken into use, or removed, meanwhile is none of these.
            if self.remove(&volume.name).await.is_ok() {
                removed.push(volume.name);
            }
        }
        Ok(removed)
    }

    /// Every volume, by name.
    pub async fn list(&self) -> Result<Vec<Volume>, Refusal> {
        let root = self.root.clone();
        let mut found: Vec<Volume> = beside(move || {
            let entries = fs::read_dir(&root).map_err(|e| Refusal::io(root.display(), &e))?;
            Ok(entries.flatten().filter_map(|entry| Volume::at(&entry.path())).collect())
        })
        .await?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        for volume in &mut found {
            volume.containers = self.users.of(&volume.name);
        }
        Ok(found)
    }

    /// One volume.
    pub async fn find(&self, name: &VolumeName) -> Result<Volume, Refusal> {
        let found = self.list().await?.into_iter().find(|volume| volume.name == *name);
        found.ok_or_else(|| Refusal::not_found(format_args!("no volume {name}; 'volume ls' lists those there are")))
    }

    /// How many there are, and what takes how much of the disk.
    pub async fn measure(&self) -> Result<Taken, Refusal> {
        let count = self.list().await?.len();
        let root = self.root.clone();
        let measured = move || Du::default().tree(&root).map_err(|e| Refusal::io("measuring volumes", &e));
        Ok(Taken { count, bytes: worker::long(measured).await? })
    }

    /// Tells whether it was made now.
    async fn make(&self, name: &VolumeName) -> Result<bool, Refusal> {
        let data = data_dir(&self.root, name);
        let made = beside(move || {
            let there = data.is_dir();
            // The mode of the volume's root is seen in containers; the way to it is closed to the host's users.
            let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(&data);
            made.map(|()| !there).map_err(|e| Refusal::io(data.display(), &e))
        })
        .await?;
        if made {
            self.bus.publish(Kind::Volume, name.as_str(), "create", Vec::new());
        }
        Ok(made)
    }
}

impl Volume {
    fn at(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.parse().ok()?;
        let data = path.join("data");
        let created = fs::metadata(path).ok()?.created().ok();
        data.is_dir().then_some(Self { name, path: data, created, containers: Vec::new() })
    }
}

/// Where the files of a volume lie, where volumes are kept under `root`.
pub fn data_dir(root: &Path, name: &VolumeName) -> PathBuf {
    root.join(name.as_str()).join("data")
}

/// What could not be removed is tried again at the next start.
fn warn_of(path: &Path, removed: Result<(), impl std::fmt::Display>) {
    if let Err(e) = removed {
        log::warn!("{}: {e}", path.display());
    }
}
