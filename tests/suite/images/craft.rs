//! Images made byte by byte: layers of any members, also such as no honest tool writes, packed in any way.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::EntryType;

use crate::registry::Registry;

/// `security.capability` as setcap(8) writes `cap_net_raw=ep`: revision 2 of the kernel's `vfs_cap_data`.
pub const NET_RAW: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A tar archive in the making.
pub struct Layer(tar::Builder<Vec<u8>>);

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    Plain,
    Gzip,
    Zstd,
}

/// What an image is made of.
pub struct Recipe {
    /// Each with how it is packed, lowest first.
    pub layers: Vec<(Vec<u8>, Packed)>,
    /// The `config` member of its configuration.
    pub config: Value,
    /// Whether it is of Docker's schema 2, in place of OCI.
    pub docker: bool,
}

impl Layer {
    pub fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// A member as its header stands; the name is taken as it is, and of at most 100 bytes.
    pub fn member(mut self, name: &[u8], kind: EntryType, fill: impl FnOnce(&mut tar::Header), content: &[u8]) -> Self {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        fill(&mut header);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    pub fn file(self, name: &str, content: &[u8]) -> Self {
        self.member(name.as_bytes(), EntryType::Regular, |_| (), content)
    }

    pub fn dir(self, name: &str) -> Self {
        self.member(name.as_bytes(), EntryType::Directory, |_| (), b"")
    }

    /// A link of either kind; the target is taken as it is.
    pub fn link(self, name: &str, kind: EntryType, target: &str) -> Self {
        let fill = |header: &mut tar::Header| {
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        };
        self.member(name.as_bytes(), kind, fill, b"")
    }

    /// Records of a pax header, for the member that comes next.
    pub fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    /// The archive.
    pub fn tar(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

impl Recipe {
    /// An OCI image of gzipped layers.
    pub fn of(layers: Vec<Vec<u8>>) -> Self {
        Self { layers: layers.into_iter().map(|tar| (tar, Packed::Gzip)).collect(), config: json!({}), docker: false }
    }

    /// Makes it in `dir` and pushes it as `name`, just as it is; gives the full reference.
    pub fn push(&self, registry: &Registry, dir: &Path, name: &str) -> String {
        let dir = dir.join(format!("craft-{}", name.replace(['/', ':'], "-")));
        if self.docker {
            std::fs::create_dir_all(&dir).unwrap();
            self.docker_dir(&dir);
            registry.push(&format!("dir:{}", dir.display()), name, &["--preserve-digests"])
        } else {
            registry.push(&format!("oci:{}:image", self.layout(&dir).display()), name, &["--preserve-digests"])
        }
    }

    /// Makes an OCI layout of it at `dir`, tagged `image`.
    pub fn layout(&self, dir: &Path) -> PathBuf {
        let blobs = dir.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let mut manifest = self.put(&blobs, "application/vnd.oci.image.manifest.v1+json");
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "image"});
        std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
        dir.to_owned()
    }

    /// Makes skopeo's `dir:` of it.
    fn docker_dir(&self, dir: &Path) {
        let manifest = self.put(dir, "application/vnd.docker.distribution.manifest.v2+json");
        let name = manifest["digest"].as_str().unwrap().trim_start_matches("sha256:");
        std::fs::rename(dir.join(name), dir.join("manifest.json")).unwrap();
        std::fs::write(dir.join("version"), "Directory Transport Version: 1.1\n").unwrap();
    }

    /// Writes its blobs into `dir`; gives the manifest's descriptor.
    fn put(&self, dir: &Path, kind: &str) -> Value {
        let mut layers = Vec::new();
        for (tar, packed) in &self.layers {
            layers.push(put(dir, &pack(tar, *packed), &self.media_type(*packed)));
        }
        let diff_ids: Vec<String> = self.layers.iter().map(|(tar, _)| digest(tar)).collect();
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = json!({
            "os": "linux",
            "architecture": architecture,
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config_kind = match self.docker {
            true => "application/vnd.docker.container.image.v1+json",
            false => "application/vnd.oci.image.config.v1+json",
        };
        let config = put(dir, config.to_string().as_bytes(), config_kind);
        let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers});
        put(dir, manifest.to_string().as_bytes(), kind)
    }

    fn media_type(&self, packed: Packed) -> String {
        match (self.docker, packed) {
            (true, Packed::Plain) => "application/vnd.docker.image.rootfs.diff.tar".to_owned(),
            (true, Packed::Gzip) => "application/vnd.docker.image.rootfs.diff.tar.gzip".to_owned(),
            (true, Packed::Zstd) => "application/vnd.docker.image.rootfs.diff.tar.zstd".to_owned(),
            (false, Packed::Plain) => "application/vnd.oci.image.layer.v1.tar".to_owned(),
            (false, Packed::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
            (false, Packed::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd".to_owned(),
        }
    }
}

/// Writes a blob; gives its descriptor.
pub fn put(dir: &Path, bytes: &[u8], kind: &str) -> Value {
    let digest = digest(bytes);
    std::fs::write(dir.join(digest.trim_start_matches("sha256:")), bytes).unwrap();
    json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
}

/// `sha256:` and the digits.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Packs an archive.
pub fn pack(tar: &[u8], packed: Packed) -> Vec<u8> {
    match packed {
        Packed::Plain => tar.to_owned(),
        Packed::Gzip => filter(Command::new("gzip").arg("-nc"), tar),
        Packed::Zstd => filter(Command::new("zstd").arg("-qc"), tar),
    }
}

fn filter(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip and zstd are needed");
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    })
}
