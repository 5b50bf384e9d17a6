//! An image as others hold it, and what is written down of it.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::config::{Document, ImageConfig};
use super::digest::Digest;
use super::disk::{Disk, Keep, read_document};
use super::manifest::{self, Platform};
use super::pending::Pending;
use crate::id::ImageRef;
use crate::refusal::Refusal;

/// An image as a container uses it, under one of its names. Holding it keeps it: while an `Arc<Image>` lives outside
/// the store, the image is in use, and its tree stays even where its name is given to another.
#[derive(Clone, Debug)]
pub struct Image {
    /// The full reference it is kept under.
    pub name: ImageRef,
    /// Its digest as the registry names it: of the index where there is one. An image made here has its manifest's.
    pub digest: String,
    /// Bytes of its configuration and its compressed layers, as its manifest says: what a pull fetches where nothing
    /// of it is there yet.
    pub size: u64,
    /// When it was made, as it says itself.
    pub created: Option<String>,
    /// What it runs on.
    pub platform: Platform,
    /// Its unpacked tree, never written to: the lower directory of overlay mounts.
    pub rootfs: PathBuf,
    /// How it wants to be run.
    pub config: ImageConfig,
    pub(super) record: Record,
    /// Its layers, lowest first.
    pub(super) layers: Vec<Digest>,
    config_blob: Digest,
    /// Whether it was lent to somebody outside, who uses it.
    pub(super) is_lent: bool,
    /// Told when the last who held it lets go of it.
    let_go: Arc<Pending>,
}

/// What a name's file says. All else is read from the blobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// The full reference.
    pub name: String,
    /// The digest as the registry names it.
    pub digest: Digest,
    /// The digest of this platform's manifest as the registry has it: the same, or what an index holds.
    pub source: Digest,
    /// The digest of the manifest in the store: the same, or what skopeo converted it into.
    pub manifest: Digest,
    /// The configuration before it was converted, where it was.
    pub docker_config: Option<Digest>,
}

impl Record {
    /// Whether it is of the same image, whatever that is called.
    pub fn is_same_image(&self, other: &Self) -> bool {
        *self == Self { name: self.name.clone(), ..other.clone() }
    }
}

impl Image {
    /// Reads what the blobs say of the image that `record` names. Not for the daemon's thread.
    pub(super) fn load(disk: &Disk, record: Record, let_go: Arc<Pending>) -> Result<Self, Refusal> {
        let name = record.name.parse()?;
        let manifest::Document::Image(manifest) =
            manifest::Document::read(&read_document(&disk.blob(&record.manifest))?)?
        else {
            return Err(Refusal::tool_failed(format_args!("{}: its manifest is an index", record.manifest)));
        };
        let document = record.docker_config.as_ref().unwrap_or(&manifest.config.digest);
        let document = Document::read(&read_document(&disk.blob(document))?)?;
        let rootfs = disk.rootfs(&record.manifest);
        std::fs::metadata(&rootfs).map_err(|e| Refusal::io(rootfs.display(), &e))?;
        Ok(Self {
            name,
            digest: record.digest.to_string(),
            size: manifest.size(),
            created: document.created,
            platform: document.platform,
            rootfs,
            config: document.config,
            record,
            layers: manifest.layers.into_iter().map(|layer| layer.digest).collect(),
            config_blob: manifest.config.digest,
            is_lent: false,
            let_go,
        })
    }

    /// The document of how it wants to be run, as its maker wrote it.
    pub(super) fn config_blob(&self) -> &Digest {
        self.record.docker_config.as_ref().unwrap_or(&self.config_blob)
    }

    /// Every blob it needs.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Digest> {
        [&self.record.manifest, &self.config_blob].into_iter().chain(&self.record.docker_config).chain(&self.layers)
    }

    /// Adds what it needs to what is kept.
    pub(super) fn keep(&self, keep: &mut Keep) {
        keep.trees.insert(self.record.manifest.hex().to_owned());
        keep.blobs.extend(self.blobs().map(|digest| digest.hex().to_owned()));
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        match self.is_lent {
            true => self.let_go.tell(&self.name),
            false => self.let_go.wake(),
        }
    }
}
