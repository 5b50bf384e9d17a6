//! An image out of a directory or a tar archive: how an image is made with no registry.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::disk::Staging;
use super::layout::{Layout, TAG};
use super::manifest::Platform;
use super::shared::{Arrival, Shared};
use super::unpack::{self, Copied};
use crate::id::ImageRef;
use crate::refusal::{Code, Refusal};
use crate::tools::{skopeo, umoci};
use crate::worker::beside;

/// How an image that is made here wants to be run; what is empty is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportConfig {
    /// The arguments.
    pub cmd: Vec<String>,
    /// What comes before them.
    pub entrypoint: Vec<String>,
    /// `KEY=VALUE` each.
    pub env: Vec<String>,
    /// The working directory.
    pub workdir: Option<String>,
    /// `USER[:GROUP]`.
    pub user: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    Archive,
}

/// Makes a one-layer image of `path` that is to be kept under `name`.
pub async fn import(shared: &Shared, path: PathBuf, name: ImageRef, config: ImportConfig) -> Result<Arrival, Refusal> {
    let _turn = shared.turn().await?;
    let disk = shared.disk.clone();
    let (path, kind, staging, layout) = beside(move || {
        let (path, kind) = examine(&path, disk.root())?;
        let staging = disk.stage("import")?;
        let layout = Layout::create(staging.path("layout"))?;
        Ok((path, kind, staging, layout))
    })
    .await?;
    let made = async {
        pack(shared, &path, kind, &staging, &layout).await?;
        let layout = beside(move || describe(&layout, &config).map(|()| layout)).await?;
        let copied = Copied { staging, layout, name, registry: None, docker_config: None, wanted: None };
        unpack::unpack(shared, copied, &[]).await
    };
    made.await.map_err(|refusal| if kind == Kind::Archive { not_a_tar(&path, refusal) } else { refusal })
}

/// What lies at `path`, and its real place.
fn examine(path: &Path, store: &Path) -> Result<(PathBuf, Kind), Refusal> {
    let unreadable = |e: std::io::Error| Refusal::io(path.display(), &e);
    let real = path.canonicalize().map_err(unreadable)?;
    let metadata = real.metadata().map_err(unreadable)?;
    if metadata.is_file() {
        return Ok((real, Kind::Archive));
    }
    if !metadata.is_dir() {
        return Err(Refusal::bad_value(format_args!("{}: neither a directory nor a tar archive", path.display())));
    }
    // The layer grows in the store: it would be packed into itself.
    if store.canonicalize().map_err(unreadable)?.starts_with(&real) {
        return Err(Refusal::bad_value(format_args!("{}: the image store lies in there", path.display())));
    }
    Ok((real, Kind::Directory))
}

/// Makes the layer, and around it an image that says nothing yet.
async fn pack(shared: &Shared, path: &Path, kind: Kind, staging: &Staging, layout: &Layout) -> Result<(), Refusal> {
    match kind {
        Kind::Directory => pack_tree(shared, path, layout).await,
        Kind::Archive => pack_archive(shared, path, staging, layout).await,
    }
}

/// Makes `dir` the one layer of the layout's image, which says nothing yet.
pub async fn pack_directory(shared: &Shared, dir: PathBuf, layout: &Layout) -> Result<(), Refusal> {
    let disk = shared.disk.clone();
    let (dir, _) = beside(move || examine(&dir, disk.root())).await?;
    pack_tree(shared, &dir, layout).await
}

async fn pack_tree(shared: &Shared, dir: &Path, layout: &Layout) -> Result<(), Refusal> {
    let blank = layout.clone();
    beside(move || blank.configure(&blank_config(), &[])).await?;
    shared.bound.hold(layout.dir(), umoci::insert(&shared.tools, layout.dir(), TAG, dir)).await
}

/// Makes a tar archive the one layer of the layout's image, which says nothing yet.
pub async fn pack_archive(shared: &Shared, path: &Path, staging: &Staging, layout: &Layout) -> Result<(), Refusal> {
    // skopeo takes a colon in a path for the start of another one, so that it is given a name of ours.
    let link = staging.path("layer.tar");
    let target = path.to_owned();
    let from = format!("tarball:{}", link.display());
    beside(move || std::os::unix::fs::symlink(target, link).map_err(|e| Refusal::io("a link to the archive", &e)))
        .await?;
    let (to, access) = (layout.transport(), skopeo::Access::default());
    let copied = skopeo::copy(&shared.tools, &from, &to, staging.dir(), &access);
    shared.bound.hold(staging.dir(), copied).await
}

/// The configuration of an image that says nothing.
pub fn blank_config() -> Value {
    let platform = Platform::host();
    json!({
        "os": platform.os,
        "architecture": platform.architecture,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": []},
    })
}

/// Gives the layout's image its configuration.
fn describe(layout: &Layout, config: &ImportConfig) -> Result<(), Refusal> {
    let content = layout.content()?;
    let made = layout.json(&content.manifest.config.digest)?;
    let layers = layout.json(&content.digest)?.get("layers").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut document = blank_config();
    let created = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    document["history"] = json!([{"created": created, "created_by": "gantry image import"}]);
    document["created"] = created.into();
    document["config"] = wishes(config);
    document["rootfs"] = made.get("rootfs").cloned().unwrap_or_default();
    layout.configure(&document, &layers)
}

fn wishes(config: &ImportConfig) -> Value {
    let lists = [("Entrypoint", &config.entrypoint), ("Cmd", &config.cmd), ("Env", &config.env)];
    let words = [("WorkingDir", &config.workdir), ("User", &config.user)];
    let lists = lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(key, list)| (key.to_owned(), json!(list)));
    let words = words.into_iter().filter_map(|(key, word)| Some((key.to_owned(), json!(word.as_ref()?))));
    Value::Object(lists.chain(words).collect())
}

/// What the tools say of an archive that is none is about layers; the asker gave a file.
fn not_a_tar(path: &Path, refusal: Refusal) -> Refusal {
    if !umoci::speaks_of_damage(&refusal) {
        return refusal;
    }
    let words = refusal.message();
    Refusal::new(Code::BadValue, format_args!("{}: not a tar archive, plain or gzipped ({words})", path.display()))
}
