//! Images out of archives and layouts that other tools wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::archive::{self, Kind};
use super::bound::Bound;
use super::digest::Digest;
use super::disk::read_document;
use super::layout::Layout;
use super::manifest::{Document, Platform, choose};
use super::shared::{Arrival, Shared};
use super::unpack::{self, Copied};
use crate::id::ImageRef;
use crate::refusal::{Code, Refusal};
use crate::tools::skopeo::{self, Access};
use crate::worker::{self, beside};

/// The most images that one archive may give.
const IMAGES_MAX: usize = 64;
/// The stack of the thread that unpacks an archive, in bytes.
const STACK: usize = 256 << 10;
/// Where an index says what an image in it is called.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What is to be loaded.
struct Source {
    /// In skopeo's notation, by a path of ours: what stands behind a colon is something else to skopeo.
    transport: String,
    /// Where the layout is, where it is one.
    layout: Option<PathBuf>,
    images: Vec<Named>,
    /// What stands for the name that an image lacks.
    basename: String,
}

/// An image in an archive or a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// What it is called; `None` where the one image is called nothing.
    name: Option<String>,
    /// Its manifest, or an index of them, where that is said.
    manifest: Option<Digest>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    digest: Digest,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Reads every image at `path`, a file or `oci:DIR[:TAG]`.
pub async fn load(shared: &Shared, path: &str) -> Result<Vec<Arrival>, Refusal> {
    let _turn = shared.turn().await?;
    let (disk, bound, text) = (shared.disk.clone(), shared.bound, path.to_owned());
    let look = move || {
        let staging = disk.stage("load")?;
        let source = examine(&text, &staging.path("source"), bound)?;
        Ok((staging, source))
    };
    let (_staging, mut source) = worker::apart("load", STACK, look).await?;
    if source.layout.is_none() {
        let names = skopeo::names(&shared.tools, &source.transport).await?.into_iter();
        source.images = names.map(|name| Named { name: Some(name), manifest: None }).collect();
    }
    must_be_some(path, &source.images)?;
    let mut arrivals: Vec<Arrival> = Vec::new();
    for image in &source.images {
        let copied = copy(shared, &source, image).await?;
        let arrival = unpack::unpack(shared, copied, &arrivals).await?;
        match arrivals.iter().find(|other| other.record.name == arrival.record.name) {
            None => arrivals.push(arrival),
            Some(other) if other.record == arrival.record => {}
            Some(_) => {
                let name = &arrival.record.name;
                return Err(Refusal::bad_value(format_args!("{path}: two images would be called {name}")));
            }
        }
    }
    Ok(arrivals)
}

fn must_be_some(path: &str, images: &[Named]) -> Result<(), Refusal> {
    match images.len() {
        1..=IMAGES_MAX => Ok(()),
        many => Err(Refusal::bad_value(format_args!("{path}: holds {many} images, not 1 to {IMAGES_MAX}"))),
    }
}

/// Finds out what `text` means, and brings it to `to`, where it has a plain name.
fn examine(text: &str, to: &Path, bound: Bound) -> Result<Source, Refusal> {
    let (path, tag) = match text.strip_prefix("oci:") {
        None => (PathBuf::from(text), None),
        Some(rest) => layout_path(rest),
    };
    let wrong = |e: std::io::Error| Refusal::io(path.display(), &e);
    let real = path.canonicalize().map_err(wrong)?;
    let link = || std::os::unix::fs::symlink(&real, to).map_err(wrong);
    let source = |kind: &str, layout: Option<&Path>, images| Source {
        transport: format!("{kind}:{}", to.display()),
        layout: layout.map(Path::to_owned),
        images,
        basename: basename(&path),
    };
    if text.starts_with("oci:") {
        let images = names(&read_document(&real.join("index.json"))?, tag)?;
        link()?;
        return Ok(source("oci", Some(to), images));
    }
    if !real.is_file() {
        return Err(Refusal::bad_value(format_args!("{text}: not a file; an OCI layout is oci:DIR[:TAG]")));
    }
    match archive::kind(&real)? {
        Kind::Docker => {
            link()?;
            Ok(source("docker-archive", None, Vec::new()))
        }
        Kind::Oci(index) => {
            let images = names(&index, None)?;
            must_be_some(text, &images)?;
            // Each may take as much as one may, whatever they share.
            let admit = |bytes: u64| bound.admit(bytes / images.len().max(1) as u64);
            archive::extract(&real, &Layout::create(to.to_owned())?, admit)?;
            Ok(source("oci", Some(to), images))
        }
    }
}

/// `DIR[:TAG]`; a directory whose own name has a colon wins.
fn layout_path(rest: &str) -> (PathBuf, Option<&str>) {
    match rest.rsplit_once(':') {
        Some((dir, tag)) if !Path::new(rest).exists() => (PathBuf::from(dir), Some(tag)),
        _ => (PathBuf::from(rest), None),
    }
}

/// The images in an index: all, or the one asked for.
pub(crate) fn names(index: &[u8], wanted: Option<&str>) -> Result<Vec<Named>, Refusal> {
    let index: Index =
        serde_json::from_slice(index).map_err(|e| Refusal::bad_value(format_args!("index.json: {e}")))?;
    let named = |mut entry: Entry| Named { name: entry.annotations.remove(REF_NAME), manifest: Some(entry.digest) };
    let all = index.manifests.into_iter().map(named);
    let images: Vec<Named> = all.filter(|image| wanted.is_none() || image.name.as_deref() == wanted).collect();
    if let (Some(wanted), true) = (wanted, images.is_empty()) {
        return Err(Refusal::not_found(format_args!("no image is tagged {wanted} there")));
    }
    if images.len() > 1 && images.iter().any(|image| image.name.is_none()) {
        return Err(Refusal::bad_value("several images, and not all of them have a name to tell them apart by"));
    }
    Ok(images)
}

async fn copy(shared: &Shared, source: &Source, image: &Named) -> Result<Copied, Refusal> {
    let name = full_name(image.name.as_deref(), &source.basename)?;
    let (disk, bound, parts) = (shared.disk.clone(), shared.bound, source.layout.clone().zip(image.manifest.clone()));
    let (staging, layout) = beside(move || {
        if let Some((dir, manifest)) = parts {
            must_be_readable(&Layout::at(dir), &manifest, bound)?;
        }
        let staging = disk.stage("load")?;
        let layout = Layout::create(staging.path("layout"))?;
        Ok((staging, layout))
    })
    .await?;
    let from = match &image.name {
        Some(name) => format!("{}:{name}", source.transport),
        None => source.transport.clone(),
    };
    let (to, access) = (layout.transport(), Access::default());
    let copied = skopeo::copy(&shared.tools, &from, &to, staging.dir(), &access);
    shared.bound.hold(staging.dir(), copied).await?;
    let docker_config = match source.layout {
        None => Some(docker_config(shared, &from, &layout).await?),
        Some(_) => None,
    };
    Ok(Copied { staging, layout, name, registry: None, docker_config, wanted: None })
}

/// Refuses an image of a layout that is too large, or of which a part is no file, or too long for what it is: skopeo
/// would wait for the one for good, and take all of the other into memory.
fn must_be_readable(layout: &Layout, digest: &Digest, bound: Bound) -> Result<(), Refusal> {
    let document = |digest: &Digest| match read_document(&layout.blob(digest)) {
        Err(refusal) if refusal.code() == Code::NotFound => {
            Err(Refusal::bad_value(format_args!("{digest} is not among its blobs")))
        }
        read => read,
    };
    let mut manifest = Document::read(&document(digest)?)?;
    if let Document::Index(index) = &manifest {
        manifest = Document::read(&document(&choose(index, &Platform::host())?.digest)?)?;
    }
    let Document::Image(manifest) = manifest else {
        return Err(Refusal::bad_value("an index in an index"));
    };
    bound.admit(manifest.size())?;
    document(&manifest.config.digest)?;
    // Of one that is not there skopeo knows whether it is to be had elsewhere.
    let is_other = |blob: &&Digest| layout.blob(blob).metadata().is_ok_and(|file| !file.is_file());
    match manifest.layers.iter().map(|layer| &layer.digest).find(is_other) {
        Some(blob) => Err(Refusal::bad_value(format_args!("its blob {blob} is not a file"))),
        None => Ok(()),
    }
}

/// What is lost when skopeo makes OCI of it: see the same in `pull`.
async fn docker_config(shared: &Shared, from: &str, layout: &Layout) -> Result<Digest, Refusal> {
    let bytes = skopeo::config(&shared.tools, from, &Access::default()).await?;
    let layout = layout.clone();
    beside(move || layout.put(&bytes)).await
}

/// The full name for what an archive calls `named`: a reference as it means it, a mere tag or nothing under the
/// archive's own name.
fn full_name(named: Option<&str>, basename: &str) -> Result<ImageRef, Refusal> {
    match named {
        Some(name) if name.contains(['/', ':']) => Ok(name.parse::<ImageRef>()?.remote().canonical()),
        Some(tag) if !tag.starts_with('@') => Ok(format!("localhost/{basename}:{tag}").parse()?),
        _ => Ok(format!("localhost/{basename}").parse::<ImageRef>()?.canonical()),
    }
}

/// A path's last component without its suffix, made fit for a repository's name.
fn basename(path: &Path) -> String {
    let name = path.file_stem().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let fit: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let fit = fit.trim_matches('-');
    if fit.is_empty() { "image".to_owned() } else { fit.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_archive_says_becomes_a_full_name() {
        let full = |named: Option<&str>| full_name(named, "box").map(|name| name.to_string());
        assert_eq!(full(Some("busybox:1")).unwrap(), "docker.io/library/busybox:1");
        assert_eq!(full(Some("r.example/a/b")).unwrap(), "r.example/a/b:latest");
        assert_eq!(full(Some("v1")).unwrap(), "localhost/box:v1");
        assert_eq!(
            (full(None).unwrap(), full(Some("@0")).unwrap()),
            ("localhost/box:latest".into(), "localhost/box:latest".into())
        );
        assert!(full(Some("bad tag:x y")).is_err());
        assert_eq!(basename(Path::new("/x/My Box_1.tar")), "my-box-1");
        assert_eq!(basename(Path::new("/")), "image");
    }
}
