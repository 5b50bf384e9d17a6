//! skopeo's options, outputs and quirks (1.9.3 and later): fetching images into OCI layouts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Call, Output, Tool, Tools};
use crate::refusal::{Code, Refusal};

/// How long one small question to a registry may take.
const QUESTION: Duration = Duration::from_secs(60);
/// What a copy may take in all: as long as it goes on, which its caller watches.
const COPY: Duration = Duration::from_secs(7 * 24 * 3600);

/// How a registry is spoken to. Credentials are in the file alone, never among arguments that `ps` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Access {
    /// Whether TLS is demanded; where nothing is said, registries.conf says.
    pub tls_verify: Option<bool>,
    /// Where credentials are, in place of skopeo's own places.
    pub authfile: Option<PathBuf>,
}

impl Access {
    fn apply(&self, mut call: Call, verify_flag: &str) -> Call {
        if let Some(verify) = self.tls_verify {
            call = call.arg(format!("--{verify_flag}={verify}"));
        }
        if let Some(file) = &self.authfile {
            call = call.arg("--authfile").arg(file);
        }
        call
    }
}

/// The document that `image`, in skopeo's notation, stands for, byte for byte: a manifest, or an index of them.
pub async fn manifest(tools: &Tools, image: &str, access: &Access) -> Result<Vec<u8>, Refusal> {
    question(tools, &["inspect", "--raw"], image, access).await
}

/// The configuration of `image`, byte for byte, with the members that a conversion to OCI drops.
pub async fn config(tools: &Tools, image: &str, access: &Access) -> Result<Vec<u8>, Refusal> {
    question(tools, &["inspect", "--config", "--raw"], image, access).await
}

async fn question(tools: &Tools, words: &[&str], image: &str, access: &Access) -> Result<Vec<u8>, Refusal> {
    let call = access.apply(tools.call(Tool::Skopeo)?.args(words), "tls-verify");
    let output = call.arg(image).deadline(QUESTION).finish().await?;
    if output.status.success() { Ok(output.stdout) } else { Err(refusal(&output)) }
}

/// The names of the images in a `docker-archive:FILE`; one without a name is `@` and its number.
pub async fn names(tools: &Tools, archive: &str) -> Result<Vec<String>, Refusal> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        tags: Vec<String>,
    }
    let bytes = question(tools, &["list-tags"], archive, &Access::default()).await?;
    let answer: Result<Answer, _> = serde_json::from_slice(&bytes);
    answer.map(|answer| answer.tags).map_err(|e| Refusal::tool_failed(format_args!("skopeo list-tags: {e}")))
}

/// Copies an image between two places in skopeo's notation, as `docker://REF`, `oci:DIR:TAG` or `tarball:FILE`. What
/// has to lie somewhere meanwhile lies in `work`, where it is found when skopeo is killed. It has no deadline to speak
/// of: drop it to end it.
pub async fn copy(tools: &Tools, from: &str, to: &str, work: &Path, access: &Access) -> Result<(), Refusal> {
    // Signatures cannot be kept in a layout; without the flag, an image that has one is not copied.
    let call = tools.call(Tool::Skopeo)?.args(["copy", "--quiet", "--remove-signatures"]);
    // umoci reads no zstd; what is gzipped already stays as it is.
    let call = call.arg("--dest-compress-format=gzip").env("TMPDIR", work);
    let output = access.apply(call, "src-tls-verify").args([from, to]).deadline(COPY).finish().await?;
    if output.status.success() { Ok(()) } else { Err(refusal(&output)) }
}

/// What a copy has written so far.
#[derive(Debug, Default)]
pub struct Written {
    /// The blobs that are whole, by the digits of their digest, with their lengths.
    pub whole: BTreeMap<String, u64>,
    /// The bytes of those that grow, beside them and under names of skopeo's own.
    pub growing: u64,
}

impl Written {
    /// All of it.
    pub fn bytes(&self) -> u64 {
        self.whole.values().fold(self.growing, |sum, size| sum.saturating_add(*size))
    }
}

/// What a copy into `layout` has written. Looks at files: not for the daemon's thread.
pub fn written(layout: &Path) -> Written {
    let files = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| Some((entry.file_name().to_string_lossy().into_owned(), entry.metadata().ok()?.len())))
    };
    let growing = files(layout).filter(|(name, _)| name.starts_with("oci-put-blob"));
    let growing = growing.fold(0, |sum: u64, (_, size)| sum.saturating_add(size));
    Written { whole: files(&layout.join("blobs/sha256")).collect(), growing }
}

/// What skopeo's last words mean: the first entry that they hold decides the code, and what is said to help.
const MEANINGS: &[(&str, Code, &str)] = &[
    ("no space left on device", Code::NoSpace, ""),
    ("disk quota exceeded", Code::NoSpace, ""),
    ("cannot allocate memory", Code::OutOfMemory, ""),
    ("manifest unknown", Code::NotFound, ""),
    ("name unknown", Code::NotFound, ""),
    ("repository name not known", Code::NotFound, ""),
    ("no image found in image index", Code::NotFound, ""),
    ("StatusCode: 404", Code::NotFound, ""),
    ("toomanyrequests", Code::ToolFailed, "the registry limits how much one may pull; log in, or wait"),
    ("Too Many Requests", Code::ToolFailed, "the registry limits how much one may pull; log in, or wait"),
    ("unauthorized", Code::Denied, "no such image, or it needs a login: authfile="),
    ("authentication required", Code::Denied, "no such image, or it needs a login: authfile="),
    ("access to the resource is denied", Code::Denied, "no such image, or it needs a login: authfile="),
    ("invalid username/password", Code::Denied, ""),
    (": denied: ", Code::Denied, ""),
    ("Forbidden", Code::Denied, ""),
    ("rejected by policy", Code::Denied, ""),
    (" is blocked in ", Code::Denied, ""),
    ("not trusted", Code::Denied, ""),
    ("HTTP response to HTTPS client", Code::ToolFailed, "the registry speaks plain HTTP: add tls-verify=no"),
    ("x509:", Code::ToolFailed, "install the registry's certificate, or add tls-verify=no"),
    ("tls: ", Code::ToolFailed, "the registry does not speak TLS as it should; tls-verify=no tries without"),
    ("connection refused", Code::ToolFailed, "is the registry up?"),
    ("no such host", Code::ToolFailed, "is the registry's name right?"),
    ("deadline exceeded", Code::Timeout, ""),
    ("i/o timeout", Code::Timeout, ""),
    ("TLS handshake timeout", Code::Timeout, ""),
    ("connection timed out", Code::Timeout, ""),
];

/// What is said where the way to a registry failed, and not the registry or the image: to go on later may help.
const CUT_OFF: &[&str] = &[
    "connection re",
    "unexpected EOF",
    ": EOF",
    "broken pipe",
    "no route to host",
    "network is unreachable",
    "received unexpected HTTP status: 5",
    "oo many requests",
    "toomanyrequests",
    "Too Many Requests",
];

/// Whether a copy failed on the way, so that what has come already is worth keeping.
pub fn was_cut_off(refusal: &Refusal) -> bool {
    refusal.code() == Code::Timeout || CUT_OFF.iter().any(|sign| refusal.message().contains(sign))
}

/// What a failure means, by the last line it said.
pub(crate) fn refusal(output: &Output) -> Refusal {
    meaning(&words(&output.last_words()))
}

fn meaning(words: &str) -> Refusal {
    let found = MEANINGS.iter().find(|(text, ..)| words.contains(text));
    let (code, advice) = found.map_or((Code::ToolFailed, ""), |(_, code, advice)| (*code, *advice));
    let semicolon = if advice.is_empty() { "" } else { "; " };
    Refusal::new(code, format_args!("skopeo: {words}{semicolon}{advice}"))
}

/// The message of a line `time="…" level=fatal msg="…"`, or the line where it is none.
fn words(line: &str) -> String {
    let Some((_, quoted)) = line.split_once("msg=\"") else { return line.to_owned() };
    let (mut text, mut chars) = (String::new(), quoted.chars());
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n' | 't') => text.push(' '),
                other => text.extend(other),
            },
            c => text.push(c),
        }
    }
    // So it begins whatever goes wrong with a registry; the name is in order, and its asker knows it.
    let said = text.strip_prefix("Error parsing image name \"").and_then(|rest| rest.split_once("\": "));
    without_queries(said.map_or(&text, |(_, why)| why))
}

/// The same with what stands behind the `?` of an address left out: a registry sends us on to other hosts by addresses
/// that are signed, and whoever reads such a one may use it.
fn without_queries(text: &str) -> String {
    let word = |word: &str| match word.split_once('?') {
        Some((address, query)) if address.contains("://") => {
            let end = query.find(['"', '\'', ',']).unwrap_or(query.len());
            format!("{address}{}", query.get(end..).unwrap_or_default())
        }
        _ => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_get_their_code() {
        let line = r#"time="2026-11-21T23:13:00Z" level=fatal msg="Error parsing image name \"docker://127.0.0.1:1/x\": pinging container registry 127.0.0.1:1: Get \"https://127.0.0.1:1/v2/\": http: server gave HTTP response to HTTPS client" x=1"#;
        let refusal = meaning(&words(line));
        assert_eq!(refusal.code(), Code::ToolFailed);
        assert!(refusal.message().starts_with("skopeo: pinging container registry 127.0.0.1:1: Get \"https"));
        assert!(refusal.message().ends_with("add tls-verify=no"));
        assert_eq!(meaning("reading manifest 1 in x: manifest unknown: manifest unknown").code(), Code::NotFound);
        assert_eq!(meaning("writing blob: write /x: no space left on device").code(), Code::NoSpace);
        assert_eq!(meaning("unable to retrieve auth token: unauthorized: auth").code(), Code::Denied);
        assert_eq!(meaning("dial tcp 10.0.0.1:443: i/o timeout").code(), Code::Timeout);
        assert_eq!(words("no logfmt at all"), "no logfmt at all");
        let signed = r#"msg="Get \"https://h/b?sig=1&t=2\": EOF, why?""#;
        assert_eq!(words(signed), "Get \"https://h/b\": EOF, why?");
        assert_eq!(words(r#"msg="cut \"#), "cut ");
    }
}
