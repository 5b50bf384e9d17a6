//! References to images, as registries and people write them.

use std::fmt;
use std::str::FromStr;

use super::container::{Name, is_tag};
use crate::refusal::Refusal;

/// Where an image comes from when its reference names no registry.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The registry that stands for "made on this host".
const LOCAL_REGISTRY: &str = "localhost";

/// A reference to an image: `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`, as the distribution spec and Docker have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageRef {
    registry: Option<String>,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl ImageRef {
    /// Whether it names no registry.
    pub fn is_short(&self) -> bool {
        self.registry.is_none()
    }

    /// The repository without its registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag: the one said, else `latest`, else none where a digest stands.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref().or(if self.digest.is_some() { None } else { Some("latest") })
    }

    /// The digest, `sha256:` and 64 hexadecimal digits.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The full form of a reference to a registry: a short one means `docker.io`, and a bare name there `library/…`.
    pub fn remote(&self) -> Self {
        if !self.is_short() {
            return self.clone();
        }
        let repository = if self.repository.contains('/') {
            self.repository.clone()
        } else {
            format!("library/{}", self.repository)
        };
        Self { registry: Some(DEFAULT_REGISTRY.to_owned()), repository, ..self.clone() }
    }

    /// The full form of a name given on this host: a short one gets `localhost/`.
    pub fn local(&self) -> Self {
        let registry = self.registry.clone().or_else(|| Some(LOCAL_REGISTRY.to_owned()));
        Self { registry, ..self.clone() }
    }

    /// The full names to look it up by among local images, in this order.
    pub fn candidates(&self) -> Vec<Self> {
        if self.is_short() { vec![self.local(), self.remote()] } else { vec![self.clone()] }
    }

    /// The one spelling of what it means: its tag written out, or left out where a digest says more, and `library/`
    /// written out for `docker.io`. What is kept by reference is kept by this.
    pub fn canonical(&self) -> Self {
        let tag = self.tag().filter(|_| self.digest.is_none()).map(str::to_owned);
        let official = self.registry.as_deref() == Some(DEFAULT_REGISTRY) && !self.repository.contains('/');
        let repository = if official { format!("library/{}", self.repository) } else { self.repository.clone() };
        Self { tag, repository, ..self.clone() }
    }

    /// The same repository's image of that digest, whatever its tag.
    pub fn with_digest(&self, digest: &str) -> Self {
        Self { tag: None, digest: Some(digest.to_owned()), ..self.clone() }
    }

    /// Whether both name the same repository of the same registry.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.registry == other.registry && self.repository == other.repository
    }

    /// Whether it stands for something made on this host, which no registry has.
    pub fn is_local(&self) -> bool {
        self.registry.as_deref() == Some(LOCAL_REGISTRY)
    }

    /// The pair a container made from it has where no name is said: the last path component, and the tag or the first
    /// twelve digits of the digest.
    pub fn container_name(&self) -> Result<Name, Refusal> {
        let last = self.repository.rsplit('/').next().unwrap_or(&self.repository);
        let digits = self.digest.as_deref().and_then(|d| d.strip_prefix("sha256:")).map(|hex| &hex[..12]);
        Name::new(last, self.tag.as_deref().or(digits).unwrap_or("latest"))
    }

    /// Without its tag where it has a digest too: skopeo 1.9.3 refuses a reference with both.
    pub fn for_transport(&self) -> String {
        let tag = if self.digest.is_some() { None } else { self.tag.clone() };
        Self { tag, ..self.clone() }.to_string()
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(f, "{registry}/")?;
        }
        f.write_str(&self.repository)?;
        if let Some(tag) = self.tag() {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for ImageRef {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let wrong = |why: &str| Refusal::bad_value(format_args!("{text:?} is not an image reference: {why}"));
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|d| !is_digest(d)) {
            return Err(wrong("a digest is sha256: and 64 hexadecimal digits"));
        }
        // The tag's colon stands behind the last slash; one before it belongs to a port.
        let last = rest.rfind('/').map_or(0, |at| at + 1);
        let (path, tag) = match rest[last..].find(':') {
            Some(at) => (&rest[..last + at], Some(&rest[last + at + 1..])),
            None => (rest, None),
        };
        if tag.is_some_and(|t| !is_tag(t)) {
            return Err(wrong("a tag is [A-Za-z0-9_][A-Za-z0-9._-]*, at most 128 characters"));
        }
        let (registry, repository) = match path.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == LOCAL_REGISTRY => (Some(first), rest),
            _ => (None, path),
        };
        if registry.is_some_and(|r| !is_registry(r)) {
            return Err(wrong("its registry is not a host with an optional port"));
        }
        if repository.len() > 255 || !repository.split('/').all(is_component) {
            return Err(wrong("a repository is lowercase letters and digits, with . _ or - between them, parted by /"));
        }
        Ok(Self {
            registry: registry.map(str::to_owned),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }
}

fn is_digest(text: &str) -> bool {
    let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    text.strip_prefix("sha256:").is_some_and(|digits| digits.len() == 64 && digits.bytes().all(hex))
}

fn is_registry(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.split('.').all(label) && port.is_none_or(|p| p.parse::<u16>().is_ok_and(|n| n > 0))
}

/// A path component of the distribution spec: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(text: &str) -> bool {
    let solid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separator = |s: &str| matches!(s, "." | "_" | "__") || (!s.is_empty() && s.bytes().all(|b| b == b'-'));
    let bytes = text.as_bytes();
    let ends_solid = bytes.first().is_some_and(|b| solid(*b)) && bytes.last().is_some_and(|b| solid(*b));
    let separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|s| !s.is_empty());
    ends_solid && separators.into_iter().all(separator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full(text: &str) -> String {
        text.parse::<ImageRef>().unwrap().remote().to_string()
    }

    #[test]
    fn short_references_mean_docker_io() {
        assert_eq!(full("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(full("a/b:1"), "docker.io/a/b:1");
        assert_eq!(full("localhost/x"), "localhost/x:latest");
        assert_eq!(full("127.0.0.1:5000/httpd:2.4"), "127.0.0.1:5000/httpd:2.4");
        assert_eq!(full("r.example/x__y/z-1.b"), "r.example/x__y/z-1.b:latest");
    }

    #[test]
    fn a_container_is_named_after_its_image() {
        let name = |text: &str| text.parse::<ImageRef>().unwrap().container_name().unwrap().to_string();
        assert_eq!(name("127.0.0.1:5000/web/httpd:2.4"), "httpd:2.4");
        assert_eq!(name("httpd"), "httpd:latest");
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(name(&format!("httpd@{digest}")), "httpd:abababababab");
        assert_eq!(format!("httpd:1@{digest}").parse::<ImageRef>().unwrap().for_transport(), format!("httpd@{digest}"));
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for bad in [
            "",
            "/",
            "A",
            "a//b",
            "-a",
            "a-",
            "a:",
            "a:b:c",
            "a@b",
            "a@sha256:12",
            "a b",
            "host:0/a",
            "ho_st.x/a",
            "../a",
            "a/..",
            "a___b",
            "é",
        ] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(text in "([a-z]{1,3}\\.[a-z]{1,3}(:[1-9][0-9]{0,3})?/)?[a-z0-9]{1,5}(/[a-z0-9]{1,5}){0,2}(:[A-Za-z0-9_]{1,5})?") {
            let reference = text.parse::<ImageRef>().unwrap();
            prop_assert_eq!(reference.to_string().parse::<ImageRef>().unwrap().to_string(), reference.to_string());
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            let _ = text.parse::<ImageRef>();
        }
    }
}
