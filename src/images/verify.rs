//! Checking images in full: blobs against their digests, trees against a second unpacking.

use std::sync::Arc;

use super::compare::differences;
use super::digest::Digest;
use super::disk::Staging;
use super::image::Image;
use super::index::unknown;
use super::layout::{Layout, TAG};
use super::shared::Shared;
use super::unpack::ROOTFS;
use crate::id::ImageRef;
use crate::refusal::Refusal;
use crate::tools::umoci;
use crate::worker::beside;

/// What the check of one image came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The image.
    pub name: ImageRef,
    /// Its digest as the registry names it.
    pub digest: String,
    /// What is wrong; nothing where it is as it should be.
    pub faults: Vec<String>,
}

/// Checks the image that `reference` means, or every one.
pub async fn verify(shared: &Shared, reference: Option<&ImageRef>) -> Result<Vec<Verified>, Refusal> {
    let names: Vec<ImageRef> = match reference {
        Some(reference) => vec![shared.index.borrow().name(reference).ok_or_else(|| unknown(reference))?],
        None => shared.index.borrow().iter().map(|entry| entry.image().name.clone()).collect(),
    };
    let mut verified = Vec::new();
    for name in names {
        // Held only while it is its turn; one removed meanwhile needs no check.
        let image = shared.index.borrow_mut().hold(&name);
        if let Some(image) = image {
            let faults = check(shared, &image).await?;
            shared.index.borrow_mut().mark(&image.record.manifest, !faults.is_empty());
            verified.push(Verified { name, digest: image.digest.clone(), faults });
        }
    }
    Ok(verified)
}

async fn check(shared: &Shared, image: &Arc<Image>) -> Result<Vec<String>, Refusal> {
    let _turn = shared.turn().await?;
    let faults = {
        let (disk, image) = (shared.disk.clone(), image.clone());
        beside(move || Ok(image.blobs().filter_map(|blob| fault(blob, &disk.blob(blob))).collect::<Vec<_>>())).await?
    };
    if !faults.is_empty() {
        return Ok(faults);
    }
    let (staging, layout) = staged(shared, image, "verify").await?;
    let fresh = staging.path(ROOTFS);
    if let Err(refusal) = umoci::unpack(&shared.tools, layout.dir(), TAG, &fresh).await {
        return if umoci::found_damage(&refusal) { Ok(vec![refusal.message().to_owned()]) } else { Err(refusal) };
    }
    let kept = image.rootfs.clone();
    beside(move || differences(&fresh, &kept).map_err(|e| Refusal::io("comparing trees", &e))).await
}

fn fault(blob: &Digest, path: &std::path::Path) -> Option<String> {
    match Digest::of_file(path) {
        Ok(found) if found == *blob => None,
        Ok(found) => Some(format!("blob {blob} is {found}")),
        Err(e) => Some(format!("blob {blob}: {e}")),
    }
}

/// A layout with an image of the store in it, for a tool to read. It shares the blobs and outlives their removal.
pub async fn staged(shared: &Shared, image: &Arc<Image>, what: &'static str) -> Result<(Staging, Layout), Refusal> {
    let (disk, image) = (shared.disk.clone(), image.clone());
    beside(move || {
        let staging = disk.stage(what)?;
        let layout = Layout::create(staging.path("layout"))?;
        for blob in image.blobs() {
            let linked = std::fs::hard_link(disk.blob(blob), layout.blob(blob));
            linked.or_else(already_there).map_err(|e| Refusal::io(blob, &e))?;
        }
        let size = std::fs::metadata(disk.blob(&image.record.manifest)).map_or(0, |file| file.len());
        layout.point_at(&image.record.manifest, size)?;
        Ok((staging, layout))
    })
    .await
}

/// An image may have the same layer twice.
fn already_there(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}
