//! From layers to a tree: once for each image, however many names it has.

use std::sync::Arc;

use super::digest::Digest;
use super::disk::Staging;
use super::image::Image;
use super::layout::{Layout, TAG};
use super::shared::Shared;
use crate::refusal::Refusal;
use crate::tools::umoci;

/// The name of the tree in a staging directory.
pub const ROOTFS: &str = "rootfs";

/// Unpacks a layout's image beside it, unless an image in the store has the same manifest: that one is given back, to
/// be held until the new name is in the index.
pub async fn unpack(
    shared: &Shared,
    staging: &Staging,
    layout: &Layout,
    manifest: &Digest,
) -> Result<Option<Arc<Image>>, Refusal> {
    let twin = shared.index.borrow().find_manifest(manifest).cloned();
    if twin.is_none() {
        umoci::unpack(&shared.tools, layout.dir(), TAG, &staging.path(ROOTFS)).await?;
    }
    Ok(twin)
}
