//! What an image says of how it wants to be run: its configuration document, OCI's or Docker's. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::manifest::Platform;
use crate::refusal::Refusal;

/// An image's wishes for its containers, as Docker reads them. What is absent is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageConfig {
    /// Comes before the arguments.
    pub entrypoint: Vec<String>,
    /// The arguments where the asker gives none.
    pub cmd: Vec<String>,
    /// `KEY=VALUE` each, in order.
    pub env: Vec<String>,
    /// The working directory; empty means `/`.
    pub workdir: String,
    /// `USER[:GROUP]`, names or numbers; empty means root.
    pub user: String,
    /// The signal that asks it to stop, by name or number.
    pub stop_signal: Option<String>,
    /// Seconds between the stop signal and KILL (Docker's format alone has it).
    pub stop_timeout: Option<u64>,
    /// `PORT/PROTO` each.
    pub exposed_ports: Vec<String>,
    /// Where it wants volumes.
    pub volumes: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Docker's `Healthcheck` object as it stands; OCI has none.
    pub healthcheck: Option<Value>,
    /// Docker's `Shell`: what runs a health check in shell form.
    pub shell: Vec<String>,
}

/// A configuration document, as far as the engine reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// When it was made, as the document says it.
    pub created: Option<String>,
    /// What it runs on.
    pub platform: Platform,
    /// How it wants to be run.
    pub config: ImageConfig,
}

#[derive(Deserialize)]
struct RawDocument {
    created: Option<String>,
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
    config: Option<Raw>,
}

// Docker writes null for what is empty, so that every member is an Option.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    stop_signal: Option<String>,
    stop_timeout: Option<u64>,
    exposed_ports: Option<BTreeMap<String, Value>>,
    volumes: Option<BTreeMap<String, Value>>,
    labels: Option<BTreeMap<String, String>>,
    healthcheck: Option<Value>,
    shell: Option<Vec<String>>,
}

/// The longest document, in bytes: each of an image's names holds what is read of it in memory.
const BYTES_MAX: usize = 1 << 20;
/// The most words, keys and values in it.
const PARTS_MAX: usize = 10_000;

impl Document {
    /// Reads a document. Refused with `tool-failed` where it is none or far larger than any tool makes one, or where a
    /// word holds a NUL, which no process could be given.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let wrong =
            |why: &dyn std::fmt::Display| Refusal::tool_failed(format_args!("the image's configuration: {why}"));
        if bytes.len() > BYTES_MAX {
            return Err(wrong(&format_args!("more than {BYTES_MAX} bytes")));
        }
        let raw: RawDocument = serde_json::from_slice(bytes).map_err(|e| wrong(&e))?;
        let platform =
            Platform { os: raw.os, architecture: raw.architecture, variant: raw.variant.unwrap_or_default() };
        let config = ImageConfig::from(raw.config.unwrap_or_default());
        if config.words().any(|word| word.contains('\0')) {
            return Err(wrong(&"a word holds a NUL"));
        }
        if config.parts() > PARTS_MAX {
            return Err(wrong(&format_args!("more than {PARTS_MAX} words in it")));
        }
        Ok(Self { created: raw.created.filter(|text| is_time(text)), platform, config })
    }
}

/// The longest text that is taken for a time, in bytes: nobody counts finer than in nanoseconds.
const TIME_MAX: usize = 40;

/// Whether a text has the form of a time as RFC 3339 has it.
fn is_time(text: &str) -> bool {
    let form: String = text.chars().take(TIME_MAX).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let Some(rest) = form.strip_prefix("0000-00-00T00:00:00") else { return false };
    let zone = rest.strip_prefix('.').map_or(rest, |fraction| fraction.trim_start_matches('0'));
    text.len() <= TIME_MAX && matches!(zone, "Z" | "+00:00" | "-00:00")
}

/// How many values there are in one.
fn parts(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(parts).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(parts).sum::<usize>(),
        _ => 1,
    }
}

impl ImageConfig {
    /// How many words, keys and values it has.
    fn parts(&self) -> usize {
        let lists = [&self.entrypoint, &self.cmd, &self.env, &self.exposed_ports, &self.volumes, &self.shell];
        lists.iter().map(|list| list.len()).sum::<usize>()
            + self.labels.len()
            + self.healthcheck.as_ref().map_or(0, parts)
    }

    /// What becomes part of a process.
    fn words(&self) -> impl Iterator<Item = &String> {
        self.entrypoint.iter().chain(&self.cmd).chain(&self.env).chain([&self.workdir])
    }
}

impl From<Raw> for ImageConfig {
    fn from(raw: Raw) -> Self {
        let keys = |map: Option<BTreeMap<String, Value>>| map.unwrap_or_default().into_keys().collect();
        Self {
            entrypoint: raw.entrypoint.unwrap_or_default(),
            cmd: raw.cmd.unwrap_or_default(),
            env: raw.env.unwrap_or_default(),
            workdir: raw.working_dir.unwrap_or_default(),
            user: raw.user.unwrap_or_default(),
            stop_signal: raw.stop_signal.filter(|signal| !signal.is_empty()),
            stop_timeout: raw.stop_timeout,
            exposed_ports: keys(raw.exposed_ports),
            volumes: keys(raw.volumes),
            labels: raw.labels.unwrap_or_default(),
            healthcheck: raw.healthcheck.filter(|check| !check.is_null()),
            shell: raw.shell.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_nulls_are_nothing() {
        let text = r#"{"os":"linux","architecture":"amd64","created":"2026-01-01T00:00:00Z","config":{"Cmd":["sh"],
            "Entrypoint":null,"Env":null,"Labels":null,"ExposedPorts":{"80/tcp":{}},"StopSignal":"",
            "Healthcheck":{"Test":["CMD","true"]},"Volumes":{"/b":{},"/a":{}}}}"#;
        let document = Document::read(text.as_bytes()).unwrap();
        assert_eq!(document.platform.to_string(), "linux/amd64");
        let config = document.config;
        assert_eq!((config.cmd, config.exposed_ports), (vec!["sh".to_owned()], vec!["80/tcp".to_owned()]));
        assert_eq!((config.volumes, config.stop_signal), (vec!["/a".to_owned(), "/b".to_owned()], None));
        assert!(config.healthcheck.is_some() && config.entrypoint.is_empty());
        assert_eq!(Document::read(b"{}").unwrap().config, ImageConfig::default());
    }

    #[test]
    fn what_would_fill_the_memory_is_refused() {
        let refused = |config: String| Document::read(format!(r#"{{"config":{config}}}"#).as_bytes()).is_err();
        let list = |many: usize| vec!["\"\""; many].join(",");
        assert!(!refused(format!(r#"{{"Env":[{}]}}"#, list(9000))));
        assert!(refused(format!(r#"{{"Env":[{}]}}"#, list(11_000))));
        assert!(refused(format!(r#"{{"Healthcheck":{{"Test":[[{}]]}}}}"#, list(11_000))));
        assert!(refused(format!(r#"{{"Env":["{}"]}}"#, "x".repeat(1 << 20))));
    }

    #[test]
    fn a_time_is_one_or_none() {
        let created = |text: &str| Document::read(format!(r#"{{"created":"{text}"}}"#).as_bytes()).unwrap().created;
        for time in ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123456789Z", "0001-01-01T00:00:00.5-07:30"] {
            assert_eq!(created(time).as_deref(), Some(time));
        }
        for none in ["", "yesterday", "2026-01-01T00:00:00", "2026-01-01T00:00:00Z-07:30", "2026-01-01 é00:00"] {
            assert_eq!(created(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for bad in ["", "[]", r#"{"config":{"Cmd":"sh"}}"#, r#"{"config":{"Env":["A=\u0000"]}}"#] {
            assert!(Document::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
