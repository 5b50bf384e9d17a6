//! Manifests and indexes, OCI's and Docker's alike: what an image is made of, and which of an index is meant. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::digest::Digest;
use crate::refusal::Refusal;

const INDEX_TYPES: &[&str] =
    &["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The most layers of an image; Docker stacks 127.
const LAYERS_MAX: usize = 1000;

/// What a manifest says of one blob, or an index of one manifest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What it is; empty where nobody says.
    #[serde(default)]
    pub media_type: String,
    /// What it is for, in an index.
    #[serde(default)]
    pub platform: Option<Platform>,
}

/// What an image runs on, in text `OS/ARCH[/VARIANT]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// As Go names it: `amd64`, `arm64`.
    pub architecture: String,
    /// As `v7` of `arm`; empty means any.
    #[serde(default)]
    pub variant: String,
}

/// A document that a registry keeps under a reference.
#[derive(Debug)]
pub enum Document {
    /// One image.
    Image(Manifest),
    /// One image for each of several platforms.
    Index(Vec<Descriptor>),
}

/// One image's parts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, lowest first.
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    #[serde(default, rename = "mediaType")]
    media_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    manifests: Option<Vec<Descriptor>>,
}

impl Document {
    /// Reads what a registry gave. Refused with `tool-failed` where it is neither manifest nor index.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let wrong =
            |e: serde_json::Error| Refusal::tool_failed(format_args!("what the registry gave is no manifest: {e}"));
        let head: Head = serde_json::from_slice(bytes).map_err(wrong)?;
        if head.schema_version == 1 {
            return Err(Refusal::unsupported(
                "the registry has it in Docker's schema 1 only, a format given up in 2019",
            ));
        }
        match head.manifests {
            Some(manifests) => Ok(Self::Index(manifests)),
            None if INDEX_TYPES.contains(&head.media_type.as_str()) => Ok(Self::Index(Vec::new())),
            None => Ok(Self::Image(serde_json::from_slice::<Manifest>(bytes).map_err(wrong)?.bounded()?)),
        }
    }
}

impl Manifest {
    /// Refuses one of more layers than any tool makes: each is a question to the registry, also where it has none of them.
    fn bounded(self) -> Result<Self, Refusal> {
        match self.layers.len() {
            0..=LAYERS_MAX => Ok(self),
            many => Err(Refusal::tool_failed(format_args!("an image of {many} layers; {LAYERS_MAX} is the most"))),
        }
    }

    /// Whether it is of Docker's format, which skopeo converts and thereby makes poorer.
    pub fn is_docker(&self) -> bool {
        self.media_type == DOCKER_MANIFEST || self.config.media_type == DOCKER_CONFIG
    }

    /// Whether a layer is of a kind that skopeo packs anew for us, into something of another length.
    pub fn has_zstd(&self) -> bool {
        self.layers.iter().any(|layer| layer.media_type.ends_with("zstd"))
    }

    /// The bytes of its configuration and layers, as they are kept and transferred: each once.
    pub fn size(&self) -> u64 {
        let sizes: BTreeMap<&Digest, u64> = self.blobs().map(|blob| (&blob.digest, blob.size)).collect();
        sizes.into_values().fold(0, u64::saturating_add)
    }

    /// Its configuration and its layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

impl Platform {
    /// This host's, in Go's words.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", ""),
            "x86" => ("386", ""),
            "aarch64" => ("arm64", ""),
            "arm" => ("arm", "v7"),
            "powerpc64" => ("ppc64le", ""),
            other => (other, ""),
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() }
    }

    /// Whether an image for `self` will do where `wanted` is wanted; no variant means any.
    pub fn suits(&self, wanted: &Self) -> bool {
        let variant = wanted.variant.is_empty() || self.variant.is_empty() || wanted.variant == self.variant;
        self.os == wanted.os && self.architecture == wanted.architecture && variant
    }
}

impl std::str::FromStr for Platform {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let word =
            |w: &&str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        let words: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match words.as_slice() {
            [architecture] => ("linux", *architecture, ""),
            [os, architecture] => (*os, *architecture, ""),
            [os, architecture, variant] => (*os, *architecture, *variant),
            _ => ("", "", ""),
        };
        if !words.iter().all(word) || architecture.is_empty() {
            return Err(Refusal::bad_value(format_args!(
                "{text:?} is not a platform like linux/arm64 or linux/arm/v7"
            )));
        }
        Ok(Self { os: os.to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() })
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

/// The one of an index for `wanted`: of its very variant if there is one, else the first that will do.
pub fn choose<'a>(index: &'a [Descriptor], wanted: &Platform) -> Result<&'a Descriptor, Refusal> {
    let suits = |d: &&Descriptor| d.platform.as_ref().is_some_and(|p| p.suits(wanted));
    let exact = |d: &&Descriptor| d.platform.as_ref().is_some_and(|p| p == wanted);
    index.iter().find(exact).or_else(|| index.iter().find(suits)).ok_or_else(|| {
        // What build tools attach to an image stands there as unknown/unknown.
        let known = index.iter().filter_map(|d| d.platform.as_ref()).filter(|p| p.os != "unknown");
        let known: Vec<String> = known.map(Platform::to_string).collect();
        Refusal::not_found(format_args!("there is none for {wanted}; there is {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(n: u8, platform: &str) -> String {
        let (os, rest) = platform.split_once('/').unwrap();
        let (architecture, variant) = rest.split_once('/').unwrap_or((rest, ""));
        let digest = Digest::of(&[n]);
        format!(
            r#"{{"digest":"{digest}","size":{n},"platform":{{"os":"{os}","architecture":"{architecture}","variant":"{variant}"}}}}"#
        )
    }

    #[test]
    fn an_index_gives_the_platform_asked_for() {
        let list = ["linux/arm/v6", "linux/arm/v7", "linux/amd64", "unknown/unknown"];
        let list: Vec<String> = (1u8..).zip(list).map(|(n, p)| descriptor(n, p)).collect();
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, list.join(","));
        let Ok(Document::Index(index)) = Document::read(text.as_bytes()) else { panic!("no index") };
        let size = |platform: &str| choose(&index, &platform.parse().unwrap()).map(|d| d.size);
        assert_eq!((size("arm"), size("linux/arm/v7"), size("amd64")), (Ok(1), Ok(2), Ok(3)));
        let refusal = size("linux/s390x").unwrap_err();
        assert_eq!(refusal.code(), crate::refusal::Code::NotFound);
        assert!(refusal.message().ends_with("there is linux/arm/v6, linux/arm/v7, linux/amd64"));
    }

    #[test]
    fn hostile_documents_are_refused() {
        let climbing = r#"{"schemaVersion":2,"config":{"digest":"sha256:../../../etc/passwd","size":1},"layers":[]}"#;
        for bad in ["", "[]", "{}", r#"{"schemaVersion":1,"fsLayers":[]}"#, climbing] {
            assert!(Document::read(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in ["", "/", "linux/", "a/b/c/d", "linux/a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
