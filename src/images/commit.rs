//! An image out of a container: its base, what was changed as one layer more, and how it is to be run.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::config::ImageConfig;
use super::disk::{Disk, read_document};
use super::image::Image;
use super::import;
use super::layout::Layout;
use super::shared::{Arrival, Shared};
use super::unpack::{self, Copied};
use crate::id::ImageRef;
use crate::refusal::Refusal;
use crate::worker::beside;

/// What of a configuration document is the image's own beside `config`; the rest tells of the container that Docker
/// made it in.
const KEPT: &[&str] = &["architecture", "os", "os.version", "os.features", "variant", "author"];

/// Makes an image of a container.
#[derive(Debug)]
pub struct Commit {
    /// What the container was made from.
    pub base: Base,
    /// What it changed: a tar archive, as a layer has it.
    pub layer: File,
    /// How it wants to be run.
    pub config: ImageConfig,
    /// The name it gets; a short one is of `localhost/`. Whoever had it loses it.
    pub reference: ImageRef,
}

/// What is below the layer.
#[derive(Debug)]
pub enum Base {
    /// The layers of an image.
    Image(Arc<Image>),
    /// One layer more, of a directory.
    Directory(PathBuf),
}

/// What an image is to be made of.
#[derive(Default)]
struct Parts {
    /// As a manifest has them, lowest first.
    layers: Vec<Value>,
    diff_ids: Vec<Value>,
    history: Vec<Value>,
    /// The rest of the configuration document.
    document: Map<String, Value>,
}

/// Makes it, to be kept under `name`.
pub async fn commit(shared: &Shared, commit: Commit, name: ImageRef) -> Result<Arrival, Refusal> {
    let _turn = shared.turn().await?;
    let disk = shared.disk.clone();
    let (staging, layout) = beside(move || {
        let staging = disk.stage("commit")?;
        let layout = Layout::create(staging.path("layout"))?;
        Ok((staging, layout))
    })
    .await?;
    let mut parts = match &commit.base {
        Base::Image(image) => {
            let (disk, image, layout) = (shared.disk.clone(), image.clone(), layout.clone());
            beside(move || of_image(&disk, &image, &layout)).await?
        }
        Base::Directory(dir) => of_directory(shared, dir.clone(), &layout).await?,
    };
    let layer = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), commit.layer.as_raw_fd()));
    import::pack_archive(shared, &layer, &staging, &layout).await?;
    let layout = beside(move || {
        parts.add(&layout)?;
        parts.finish(&layout, &commit.config)?;
        Ok(layout)
    })
    .await?;
    unpack::unpack(shared, Copied { staging, layout, name, registry: None, docker_config: None, wanted: None }, &[])
        .await
}

/// The base's layers, each under one name more.
fn of_image(disk: &Disk, image: &Image, layout: &Layout) -> Result<Parts, Refusal> {
    let document = |digest| -> Result<Value, Refusal> {
        let bytes = read_document(&disk.blob(digest))?;
        serde_json::from_slice(&bytes).map_err(|e| Refusal::tool_failed(format_args!("{digest}: {e}")))
    };
    for digest in &image.layers {
        let linked = std::fs::hard_link(disk.blob(digest), layout.blob(digest));
        // An image may have the same layer twice.
        linked
            .or_else(|e| if e.kind() == std::io::ErrorKind::AlreadyExists { Ok(()) } else { Err(e) })
            .map_err(|e| Refusal::io(digest, &e))?;
    }
    let manifest = document(&image.record.manifest)?;
    let config = document(image.config_blob())?;
    Ok(Parts {
        layers: list(&manifest, "/layers"),
        diff_ids: list(&config, "/rootfs/diff_ids"),
        history: list(&config, "/history"),
        document: config.as_object().cloned().unwrap_or_default(),
    })
}

async fn of_directory(shared: &Shared, dir: PathBuf, layout: &Layout) -> Result<Parts, Refusal> {
    import::pack_directory(shared, dir, layout).await?;
    let (layout, mut parts) = (layout.clone(), Parts::default());
    parts.document = import::blank_config().as_object().cloned().unwrap_or_default();
    beside(move || {
        parts.add(&layout)?;
        Ok(parts)
    })
    .await
}

impl Parts {
    /// Takes the one layer of the layout's image.
    fn add(&mut self, layout: &Layout) -> Result<(), Refusal> {
        let content = layout.content()?;
        self.layers.extend(list(&layout.json(&content.digest)?, "/layers"));
        self.diff_ids.extend(list(&layout.json(&content.manifest.config.digest)?, "/rootfs/diff_ids"));
        let created = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        self.history.push(json!({"created": created, "created_by": "gantry commit"}));
        Ok(())
    }

    /// Makes all of it the layout's image.
    fn finish(self, layout: &Layout, config: &ImageConfig) -> Result<(), Refusal> {
        let mut before = self.document;
        let wishes = before.remove("config").and_then(|config| config.as_object().cloned()).unwrap_or_default();
        let mut document: Map<String, Value> =
            before.into_iter().filter(|(key, _)| KEPT.contains(&key.as_str())).collect();
        document.insert("created".to_owned(), humantime::format_rfc3339_seconds(SystemTime::now()).to_string().into());
        document.insert("config".to_owned(), Value::Object(wanted(wishes, config)));
        document.insert("rootfs".to_owned(), json!({"type": "layers", "diff_ids": self.diff_ids}));
        document.insert("history".to_owned(), Value::Array(self.history));
        layout.configure(&Value::Object(document), &self.layers)
    }
}

/// The base's `config` with everything that is known of in its place; what is not stays.
fn wanted(mut base: Map<String, Value>, config: &ImageConfig) -> Map<String, Value> {
    let set = |words: &[String]| words.iter().map(|word| (word.clone(), json!({}))).collect::<Map<_, _>>();
    let known: BTreeMap<&str, Value> = BTreeMap::from([
        ("Entrypoint", json!(config.entrypoint)),
        ("Cmd", json!(config.cmd)),
        ("Env", json!(config.env)),
        ("WorkingDir", json!(config.workdir)),
        ("User", json!(config.user)),
        ("StopSignal", json!(config.stop_signal)),
        ("StopTimeout", json!(config.stop_timeout)),
        ("ExposedPorts", Value::Object(set(&config.exposed_ports))),
        ("Volumes", Value::Object(set(&config.volumes))),
        ("Labels", json!(config.labels)),
        ("Healthcheck", json!(config.healthcheck)),
        ("Shell", json!(config.shell)),
    ]);
    for (key, value) in known {
        base.remove(key);
        if !is_empty(&value) {
            base.insert(key.to_owned(), value);
        }
    }
    base
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn list(document: &Value, pointer: &str) -> Vec<Value> {
    document.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_of_stays() {
        let base = json!({"Cmd": ["old"], "OnBuild": ["RUN x"], "Labels": {"a": "b"}});
        let config = ImageConfig { cmd: vec!["new".into()], volumes: vec!["/v".into()], ..ImageConfig::default() };
        let made = Value::Object(wanted(base.as_object().cloned().unwrap(), &config));
        assert_eq!(made, json!({"Cmd": ["new"], "OnBuild": ["RUN x"], "Volumes": {"/v": {}}}));
    }
}
