//! An image into an archive that is OCI's and Docker's in one: the blobs are the same, and each has its own table of them.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::digest::Digest;
use super::disk::Staging;
use super::image::Record;
use super::index::unknown;
use super::layout::{Layout, index_of};
use super::shared::Shared;
use super::verify::staged;
use crate::id::ImageRef;
use crate::refusal::Refusal;
use crate::worker::beside;

/// Writes the image to `path`.
pub async fn save(shared: &Shared, reference: &ImageRef, path: PathBuf) -> Result<(), Refusal> {
    let image = shared.index.borrow_mut().hold(reference).ok_or_else(|| unknown(reference))?;
    let _turn = shared.turn().await?;
    let (staging, layout) = staged(shared, &image, "save").await?;
    let (record, name) = (image.record.clone(), image.name.clone());
    beside(move || {
        let layout = keep_docker_config(layout, &record)?;
        let archive = staging.path("archive.tar");
        pack(&layout, &name, &archive).map_err(|refusal| refusal.within("packing the archive"))?;
        deliver(&staging, &archive, &path)
    })
    .await
}

/// Packs a layout's image as `name` into a tar archive.
fn pack(layout: &Layout, name: &ImageRef, archive: &Path) -> Result<(), Refusal> {
    let content = layout.content()?;
    let wrong = |e: std::io::Error| Refusal::io(archive.display(), &e);
    let size = |blob: &Digest| layout.blob(blob).metadata().map(|file| file.len()).map_err(wrong);
    let at = |blob: &Digest| format!("blobs/sha256/{}", blob.hex());
    // An image that is known by its digest alone has no tag to be loaded under.
    let tags: Vec<String> = name.digest().is_none().then(|| name.to_string()).into_iter().collect();
    let layers: Vec<String> = content.manifest.layers.iter().map(|layer| at(&layer.digest)).collect();
    let docker = json!([{"Config": at(&content.manifest.config.digest), "RepoTags": tags, "Layers": layers}]);
    let index = index_of(&content.digest, size(&content.digest)?, &name.to_string());

    let mut tar = tar::Builder::new(std::fs::File::create_new(archive).map_err(wrong)?);
    tar.mode(tar::HeaderMode::Deterministic);
    for (name, text) in [
        ("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#.to_owned()),
        ("index.json", index.to_string()),
        ("manifest.json", docker.to_string()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, name, text.as_bytes()).map_err(wrong)?;
    }
    // An image may have the same layer twice.
    for blob in content.blobs().collect::<BTreeSet<_>>() {
        tar.append_path_with_name(layout.blob(blob), at(blob)).map_err(wrong)?;
    }
    tar.into_inner().and_then(|mut file| file.flush()).map_err(wrong)
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
fn deliver(staging: &Staging, archive: &Path, path: &Path) -> Result<(), Refusal> {
    let wrong = |e: std::io::Error| Refusal::io(path.display(), &e);
    // A device or a FIFO would be one no more.
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        return Err(Refusal::bad_value(format_args!("{}: not a file; say the archive's file name", path.display())));
    }
    if std::fs::rename(archive, path).is_ok() {
        return Ok(());
    }
    // Another file system. Of two who save to one path each has a file of its own until it is whole.
    let work = staging.dir().file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".gantry-{work}.part"));
    let mut file = std::fs::File::create_new(&aside).map_err(wrong)?;
    let copied = std::fs::File::open(archive).and_then(|mut archive| std::io::copy(&mut archive, &mut file));
    copied.and_then(|_| std::fs::rename(&aside, path)).map_err(|e| {
        let _ = std::fs::remove_file(&aside);
        wrong(e)
    })
}
