//! Images out of archives and layouts that other tools wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::archive::{self, Kind};
use super::disk::{Staging, read_document};
use super::layout::Layout;
use super::shared::{Arrival, Shared};
use super::unpack::{self, Copied};
use crate::id::ImageRef;
use crate::refusal::Refusal;
use crate::tools::skopeo::{self, Access};
use crate::worker::beside;

/// The most images that one archive may give.
const IMAGES_MAX: usize = 64;
/// Where an index says what an image in it is called.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What is to be loaded.
struct Source {
    /// In skopeo's notation, by a link of ours: what stands behind a colon is something else to skopeo.
    transport: String,
    /// What it says that its images are called; `None` where the one image is called nothing.
    names: Vec<Option<String>>,
    /// What stands for the name that an image lacks.
    basename: String,
    is_docker: bool,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Reads every image at `path`, a file or `oci:DIR[:TAG]`.
pub async fn load(shared: &Shared, path: &str) -> Result<Vec<Arrival>, Refusal> {
    let _turn = shared.turn().await?;
    let (disk, text) = (shared.disk.clone(), path.to_owned());
    let (_link, mut source) = beside(move || {
        let staging = disk.stage("load")?;
        let source = examine(&text, &staging.path("source"))?;
        Ok((staging, source))
    })
    .await?;
    if source.is_docker {
        source.names = skopeo::names(&shared.tools, &source.transport).await?.into_iter().map(Some).collect();
    }
    if source.names.is_empty() || source.names.len() > IMAGES_MAX {
        return Err(Refusal::bad_value(format_args!(
            "{path}: holds {} images, not 1 to {IMAGES_MAX}",
            source.names.len()
        )));
    }
    let mut arrivals = Vec::new();
    for name in &source.names {
        arrivals.push(copy(shared, &source, name.as_deref()).await?);
    }
    Ok(arrivals)
}

/// Finds out what `text` means, and links it to where it has a plain name.
fn examine(text: &str, link: &Path) -> Result<Source, Refusal> {
    let (path, tag) = match text.strip_prefix("oci:") {
        None => (PathBuf::from(text), None),
        Some(rest) => layout_path(rest),
    };
    let wrong = |e: std::io::Error| Refusal::io(path.display(), &e);
    let real = path.canonicalize().map_err(wrong)?;
    std::os::unix::fs::symlink(&real, link).map_err(wrong)?;
    let basename = basename(&path);
    let source = |kind: &str, names, is_docker| Source {
        transport: format!("{kind}:{}", link.display()),
        names,
        basename,
        is_docker,
    };
    if text.starts_with("oci:") {
        let names = names(&read_document(&real.join("index.json"))?, tag)?;
        return Ok(source("oci", names, false));
    }
    if !real.is_file() {
        return Err(Refusal::bad_value(format_args!("{text}: not a file; an OCI layout is oci:DIR[:TAG]")));
    }
    match archive::kind(&real)? {
        Kind::Docker => Ok(source("docker-archive", Vec::new(), true)),
        Kind::Oci(index) => Ok(source("oci-archive", names(&index, None)?, false)),
    }
}

/// `DIR[:TAG]`; a directory whose own name has a colon wins.
fn layout_path(rest: &str) -> (PathBuf, Option<&str>) {
    match rest.rsplit_once(':') {
        Some((dir, tag)) if !Path::new(rest).exists() => (PathBuf::from(dir), Some(tag)),
        _ => (PathBuf::from(rest), None),
    }
}

/// The names in an index: all, or the one asked for.
pub(crate) fn names(index: &[u8], wanted: Option<&str>) -> Result<Vec<Option<String>>, Refusal> {
    let index: Index =
        serde_json::from_slice(index).map_err(|e| Refusal::bad_value(format_args!("index.json: {e}")))?;
    let all = index.manifests.into_iter().map(|mut entry| entry.annotations.remove(REF_NAME));
    let names: Vec<Option<String>> = all.filter(|name| wanted.is_none() || name.as_deref() == wanted).collect();
    if let (Some(wanted), true) = (wanted, names.is_empty()) {
        return Err(Refusal::not_found(format_args!("no image is tagged {wanted} there")));
    }
    if names.len() > 1 && names.contains(&None) {
        return Err(Refusal::bad_value("several images, and not all of them have a name to tell them apart by"));
    }
    Ok(names)
}

async fn copy(shared: &Shared, source: &Source, named: Option<&str>) -> Result<Arrival, Refusal> {
    let name = full_name(named, &source.basename)?;
    let disk = shared.disk.clone();
    let (staging, layout) = beside(move || {
        let staging = disk.stage("load")?;
        let layout = Layout::create(staging.path("layout"))?;
        Ok((staging, layout))
    })
    .await?;
    let from = named.map_or_else(|| source.transport.clone(), |named| format!("{}:{named}", source.transport));
    skopeo::copy(&shared.tools, &from, &layout.transport(), staging.dir(), &Access::default()).await?;
    let docker_config = match source.is_docker {
        true => Some(docker_config(shared, &from, &staging, &layout).await?),
        false => None,
    };
    unpack::unpack(shared, Copied { staging, layout, name, registry: None, docker_config, wanted: None }).await
}

/// What is lost when skopeo makes OCI of it: see the same in `pull`.
async fn docker_config(
    shared: &Shared,
    from: &str,
    _staging: &Staging,
    layout: &Layout,
) -> Result<super::digest::Digest, Refusal> {
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
