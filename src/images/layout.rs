//! One OCI image layout with one image in it: what skopeo and umoci read and write.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::digest::Digest;
use super::manifest::{Descriptor, Document, Manifest};
use crate::refusal::Refusal;

/// The tag under which a layout of ours holds its one image.
pub const TAG: &str = "image";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

/// A layout's directory. Its methods touch files: not for the daemon's thread.
#[derive(Clone, Debug)]
pub struct Layout {
    dir: PathBuf,
}

/// The one image of a layout.
pub struct Content {
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its manifest.
    pub manifest: Manifest,
}

impl Content {
    /// Every blob of it.
    pub fn blobs(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.digest).chain(self.manifest.blobs().map(|blob| &blob.digest))
    }
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

/// The index of a layout with one image.
pub fn index_of(manifest: &Digest, size: u64, name: &str) -> Value {
    json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": MANIFEST_TYPE,
            "digest": manifest,
            "size": size,
            "annotations": {"org.opencontainers.image.ref.name": name},
        }],
    })
}

impl Layout {
    /// A layout without an image, in `dir`, which is made.
    pub fn create(dir: PathBuf) -> Result<Self, Refusal> {
        let layout = Self { dir };
        let blobs = layout.blobs();
        std::fs::create_dir_all(&blobs).map_err(|e| Refusal::io(blobs.display(), &e))?;
        layout.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        layout.write("index.json", br#"{"schemaVersion":2,"manifests":[]}"#)?;
        Ok(layout)
    }

    /// The layout at `dir`, whatever is there.
    pub fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// It and its image in skopeo's notation.
    pub fn transport(&self) -> String {
        format!("oci:{}:{TAG}", self.dir.display())
    }

    /// Where its blobs are.
    pub fn blobs(&self) -> PathBuf {
        self.dir.join("blobs/sha256")
    }

    /// Where a blob of it is.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// What its index points at.
    pub fn content(&self) -> Result<Content, Refusal> {
        let index: Index =
            serde_json::from_slice(&self.read(&self.dir.join("index.json"))?).map_err(|e| self.broken(&e))?;
        let descriptor = index.manifests.into_iter().next_back().ok_or_else(|| self.broken(&"no image"))?;
        match Document::read(&self.read(&self.blob(&descriptor.digest))?)? {
            Document::Image(manifest) => Ok(Content { digest: descriptor.digest, manifest }),
            Document::Index(_) => Err(self.broken(&"an index in an index")),
        }
    }

    /// Adds a blob.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, Refusal> {
        let digest = Digest::of(bytes);
        let (blob, aside) = (self.blob(&digest), self.dir.join("blob"));
        // Not in place: what is there already may be a link to the store's own.
        let put = std::fs::write(&aside, bytes).and_then(|()| std::fs::rename(&aside, &blob));
        put.map_err(|e| Refusal::io("a blob", &e))?;
        Ok(digest)
    }

    /// Makes its image one with the configuration document `config` and, where there was an image, its layers.
    pub fn configure(&self, config: &Value, layers: &[Value]) -> Result<(), Refusal> {
        let config = config.to_string();
        let digest = self.put(config.as_bytes())?;
        self.describe(&digest, config.len() as u64, layers)
    }

    /// Makes its image one with a configuration that is among its blobs, and with these layers, as a manifest has them.
    pub fn describe(&self, config: &Digest, size: u64, layers: &[Value]) -> Result<(), Refusal> {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": config, "size": size},
            "layers": layers,
        });
        let manifest = manifest.to_string();
        let digest = self.put(manifest.as_bytes())?;
        self.point_at(&digest, manifest.len() as u64)
    }

    /// Makes a manifest that is among its blobs its image.
    pub fn point_at(&self, manifest: &Digest, size: u64) -> Result<(), Refusal> {
        let index = index_of(manifest, size, TAG);
        self.write("index.json", index.to_string().as_bytes())
    }

    /// A blob that is a JSON document.
    pub fn json(&self, digest: &Digest) -> Result<Value, Refusal> {
        serde_json::from_slice(&self.read(&self.blob(digest))?).map_err(|e| self.broken(&e))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Refusal> {
        std::fs::write(self.dir.join(name), bytes).map_err(|e| Refusal::io(name, &e))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, Refusal> {
        super::disk::read_document(path)
    }

    fn broken(&self, why: &dyn std::fmt::Display) -> Refusal {
        Refusal::tool_failed(format_args!("what the tool left is no image layout: {why}"))
    }
}
