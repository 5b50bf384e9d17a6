//! An image into an oci-archive.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::disk::Staging;
use super::image::Record;
use super::index::{Entry, unknown};
use super::layout::Layout;
use super::shared::Shared;
use super::verify::staged;
use crate::id::ImageRef;
use crate::refusal::Refusal;
use crate::tools::skopeo::{self, Access};
use crate::worker::beside;

/// Writes the image to `path`.
pub async fn save(shared: &Shared, reference: &ImageRef, path: PathBuf) -> Result<(), Refusal> {
    let image = shared.index.borrow_mut().find(reference).map(Entry::lend).ok_or_else(|| unknown(reference))?;
    let _turn = shared.turn().await?;
    let (staging, layout) = staged(shared, &image, "save").await?;
    let (record, name) = (image.record.clone(), image.name.clone());
    let layout = beside(move || keep_docker_config(layout, &record)).await?;
    // In a place of ours, whose name has no colon that would end it for skopeo.
    let archive = staging.path("archive.tar");
    let to = format!("oci-archive:{}:{name}", archive.display());
    skopeo::copy(&shared.tools, &layout.transport(), &to, staging.dir(), &Access::default()).await?;
    beside(move || deliver(&staging, &archive, &path)).await
}

/// Has the layout's image say what it said before it was converted: its health check, its shell. OCI has no word for
/// these, and forbids none; docker, podman and we read them.
fn keep_docker_config(layout: Layout, record: &Record) -> Result<Layout, Refusal> {
    if let Some(config) = &record.docker_config {
        let layers =
            layout.json(&record.manifest)?.get("layers").and_then(Value::as_array).cloned().unwrap_or_default();
        let size = std::fs::metadata(layout.blob(config)).map_err(|e| Refusal::io(config, &e))?.len();
        layout.describe(config, size, &layers)?;
    }
    Ok(layout)
}

/// Moves the archive to where it was asked for, in one step there.
fn deliver(_staging: &Staging, archive: &Path, path: &Path) -> Result<(), Refusal> {
    let wrong = |e: std::io::Error| Refusal::io(path.display(), &e);
    if path.is_dir() {
        return Err(Refusal::bad_value(format_args!("{}: a directory; say the archive's file name", path.display())));
    }
    if std::fs::rename(archive, path).is_ok() {
        return Ok(());
    }
    // Another file system.
    let mut aside = path.as_os_str().to_owned();
    aside.push(".part");
    let aside = PathBuf::from(aside);
    let copied = std::fs::copy(archive, &aside).and_then(|_| std::fs::rename(&aside, path));
    copied.map_err(|e| {
        let _ = std::fs::remove_file(&aside);
        wrong(e)
    })
}
