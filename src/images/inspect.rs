//! What there is to say of an image, as JSON.

use serde_json::{Value, json};

use super::disk::read_document;
use super::index::{Entry, unknown};
use super::shared::Shared;
use crate::id::ImageRef;
use crate::refusal::Refusal;
use crate::worker::beside;

/// The document: what the store knows under keys of its own, what the image says of itself as it says it.
pub async fn inspect(shared: &Shared, reference: &ImageRef) -> Result<Value, Refusal> {
    let image = shared.index.borrow_mut().hold(reference).ok_or_else(|| unknown(reference))?;
    let names: Vec<String> = {
        let index = shared.index.borrow();
        let same = index.iter().map(Entry::image).filter(|other| other.record.manifest == image.record.manifest);
        same.map(|other| other.name.to_string()).collect()
    };
    let path = shared.disk.blob(image.config_blob());
    let own = beside(move || {
        serde_json::from_slice::<Value>(&read_document(&path)?)
            .map_err(|e| Refusal::internal(format_args!("{}: {e}", path.display())))
    })
    .await?;
    let layers: Vec<String> = image.layers.iter().map(ToString::to_string).collect();
    Ok(json!({
        "name": image.name.to_string(),
        "names": names,
        "digest": image.digest,
        "manifest": image.record.manifest.to_string(),
        "size": image.size,
        "created": image.created,
        "platform": image.platform.to_string(),
        "layers": layers,
        "rootfs": image.rootfs.to_string_lossy(),
        "config": own.get("config").cloned().unwrap_or_else(|| json!({})),
        "history": own.get("history").cloned().unwrap_or_else(|| json!([])),
    }))
}
