//! From a layout to an image that is ready to get its name: the tree is unpacked once for each image, however many names
//! it has.

use std::collections::BTreeSet;

use super::config;
use super::digest::Digest;
use super::disk::{Staging, read_document};
use super::image::Record;
use super::layout::{Layout, TAG};
use super::manifest::Platform;
use super::shared::{Arrival, Shared, Staged};
use crate::id::ImageRef;
use crate::refusal::Refusal;
use crate::tools::umoci;
use crate::worker::beside;

/// The name of the tree in a staging directory.
pub const ROOTFS: &str = "rootfs";

/// A layout with an image in it, and what is known of that.
pub struct Copied {
    /// The directory that both lie in.
    pub staging: Staging,
    /// The layout.
    pub layout: Layout,
    /// What the image is to be called.
    pub name: ImageRef,
    /// Its digest as the registry names it, and that of this platform's manifest there, where there is a registry.
    pub registry: Option<(Digest, Digest)>,
    /// Its configuration before it was converted, where it was.
    pub docker_config: Option<Digest>,
    /// What it must run on.
    pub wanted: Option<Platform>,
}

/// Unpacks what was copied, unless an image in the store has the same tree, which is held in its place, or one of the
/// `others` that are to be brought in before it.
pub async fn unpack(shared: &Shared, copied: Copied, others: &[Arrival]) -> Result<Arrival, Refusal> {
    let Copied { staging, layout, name, registry, docker_config, wanted } = copied;
    let (layout, content, platform) = {
        let docker_config = docker_config.clone();
        beside(move || {
            let content = layout.content()?;
            let config = docker_config.as_ref().unwrap_or(&content.manifest.config.digest);
            let platform = config::Document::read(&read_document(&layout.blob(config))?)?.platform;
            Ok((layout, content, platform))
        })
        .await?
    };
    must_suit(&platform, wanted.as_ref())?;
    // An image may have the same layer twice.
    let blobs: BTreeSet<Digest> = content.blobs().chain(&docker_config).cloned().collect();
    let manifest = content.digest;
    // Whoever made an archive can have it say any digest.
    let name =
        if registry.is_none() && name.digest().is_some() { name.with_digest(&manifest.to_string()) } else { name };
    let (digest, source) = registry.unwrap_or_else(|| (manifest.clone(), manifest.clone()));
    let record = Record { name: name.to_string(), digest, source, manifest, docker_config };
    if others.iter().any(|other| other.record.is_same_image(&record)) {
        return Ok(Arrival { record, staged: None, _twin: None });
    }
    let twin = shared.index.borrow_mut().find_manifest(&record.manifest);
    if twin.is_none() {
        let rootfs = staging.path(ROOTFS);
        shared.bound.hold(&rootfs, umoci::unpack(&shared.tools, layout.dir(), TAG, &rootfs)).await?;
    }
    Ok(Arrival { record, staged: Some(Staged { staging, layout, blobs }), _twin: twin })
}

/// Refuses an image for another platform than the one asked for.
pub fn must_suit(platform: &Platform, wanted: Option<&Platform>) -> Result<(), Refusal> {
    match wanted {
        Some(wanted) if !platform.suits(wanted) => {
            Err(Refusal::not_found(format_args!("there is none for {wanted}; there is {platform}")))
        }
        _ => Ok(()),
    }
}
