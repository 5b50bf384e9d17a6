//! Which system calls a container may make: a profile as containers-common and Docker write it, made into what the
//! runtime spec takes. A profile says what depends on the architecture, the kernel and the capabilities; that is settled
//! here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::security::{Capabilities, Security};
use crate::refusal::Refusal;

/// Where the default profile is looked for (containers.conf(5)); Debian has it in golang-github-containers-common.
const DEFAULTS: [&str; 2] = ["/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json"];
/// The longest profile that is read.
const PROFILE_MAX: u64 = 1 << 20;

/// Which profile is wished for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seccomp {
    /// The host's default; where it has none, none.
    #[default]
    Default,
    /// None: every system call may be made.
    Unconfined,
    /// That of a file of the host.
    File(PathBuf),
}

/// A filter for one set of capabilities.
pub struct Filter {
    /// As the runtime spec has it.
    pub spec: LinuxSeccomp,
    /// Tells two filters apart.
    pub digest: [u8; 32],
}

/// The default profile's filters, each made once.
#[derive(Clone, Default)]
pub struct Profiles(Arc<Mutex<HashMap<Capabilities, Option<Arc<Filter>>>>>);

/// The default profile's file, where this host has one.
pub fn default_profile() -> Option<&'static Path> {
    DEFAULTS.iter().map(Path::new).find(|path| path.is_file())
}

impl Profiles {
    /// The filter that comes of `wishes` for a container with `capabilities`. It reads files: not for the daemon's
    /// thread.
    pub fn filter(&self, wishes: &Security, capabilities: Capabilities) -> Result<Option<Arc<Filter>>, Refusal> {
        match &wishes.seccomp {
            Seccomp::Unconfined => Ok(None),
            Seccomp::File(path) => {
                let filter = Filter::read(path, capabilities);
                filter.map(|filter| Some(Arc::new(filter))).map_err(|refusal| refusal.within("seccomp="))
            }
            Seccomp::Default if wishes.privileged => Ok(None),
            Seccomp::Default => self.default(capabilities),
        }
    }

    fn default(&self, capabilities: Capabilities) -> Result<Option<Arc<Filter>>, Refusal> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = known.get(&capabilities) {
            return Ok(filter.clone());
        }
        let filter = match default_profile() {
            Some(path) => Some(Arc::new(Filter::read(path, capabilities)?)),
            None => {
                log::warn!("no seccomp profile at {}: containers run unconfined", DEFAULTS.join(" or "));
                None
            }
        };
        known.insert(capabilities, filter.clone());
        Ok(filter)
    }
}

impl Filter {
    fn read(path: &Path, capabilities: Capabilities) -> Result<Self, Refusal> {
        let shown = path.display();
        let metadata = std::fs::metadata(path).map_err(|e| Refusal::io(&shown, &e))?;
        if !metadata.is_file() || metadata.len() > PROFILE_MAX {
            return Err(Refusal::bad_value(format_args!("{shown}: not a seccomp profile")));
        }
        let text = std::fs::read(path).map_err(|e| Refusal::io(&shown, &e))?;
        let wrong = |e: serde_json::Error| Refusal::bad_value(format_args!("{shown}: not a seccomp profile: {e}"));
        let profile = serde_json::from_slice(&text).map_err(wrong)?;
        let spec = settled(&profile, capabilities);
        let digest = Sha256::digest(spec.to_string().as_bytes()).into();
        Ok(Self { spec: serde_json::from_value(spec).map_err(wrong)?, digest })
    }
}

/// What of a profile holds here. What is malformed is left for the reader of the result to find.
fn settled(profile: &Value, capabilities: Capabilities) -> Value {
    let mut spec = Map::new();
    for key in ["defaultAction", "defaultErrnoRet", "architectures", "flags"] {
        if let Some(value) = profile.get(key).filter(|value| !value.is_null()) {
            spec.insert(key.to_owned(), value.clone());
        }
    }
    if let Some(architectures) = architectures(profile) {
        spec.insert("architectures".to_owned(), architectures);
    }
    let syscalls = profile["syscalls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let held = syscalls.iter().filter(|group| holds(group, capabilities)).map(group);
    spec.insert("syscalls".to_owned(), held.collect());
    Value::Object(spec)
}

/// This host's architecture and those that it runs too.
fn architectures(profile: &Value) -> Option<Value> {
    let native = match std::env::consts::ARCH {
        "x86_64" => "SCMP_ARCH_X86_64",
        "aarch64" => "SCMP_ARCH_AARCH64",
        _ => return None,
    };
    let entry = profile["archMap"].as_array()?.iter().find(|entry| entry["architecture"] == native)?;
    let others = entry["subArchitectures"].as_array().cloned().unwrap_or_default();
    Some(std::iter::once(json!(native)).chain(others).collect())
}

/// This host's architecture as profiles name it in conditions: Go's way.
fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Whether a group's conditions are met.
fn holds(group: &Value, capabilities: Capabilities) -> bool {
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let has = |name: &String| name.parse::<Capabilities>().is_ok_and(|one| capabilities.holds(one));
    let here = |name: &String| name == go_arch();
    let (includes, excludes) = (&group["includes"], &group["excludes"]);
    let arches = list(&includes["arches"]);
    (arches.is_empty() || arches.iter().any(here))
        && !list(&excludes["arches"]).iter().any(here)
        && list(&includes["caps"]).iter().all(has)
        && !list(&excludes["caps"]).iter().any(has)
        && includes["minKernel"].as_str().is_none_or(kernel_is_at_least)
        && excludes["minKernel"].as_str().is_none_or(|least| !kernel_is_at_least(least))
}

fn kernel_is_at_least(least: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        text.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok()).take(2).collect()
    };
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    numbers(&release) >= numbers(least)
}

/// A group as the runtime spec has it.
fn group(group: &Value) -> Value {
    let kept = ["names", "action", "args", "errnoRet"].into_iter();
    let kept = kept.filter(|key| !group[*key].is_null()).map(|key| (key.to_owned(), group[key].clone()));
    Value::Object(kept.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_settled() {
        let profile = json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "defaultErrno": "ENOSYS",
            "archMap": [{ "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"] }],
            "syscalls": [
                { "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": null, "comment": "", "includes": {}, "excludes": {} },
                { "names": ["chown"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_CHOWN"] } },
                { "names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_CHOWN", "CAP_BPF"] } },
                { "names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": { "caps": ["CAP_BPF"] } },
                { "names": ["elsewhere"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["ppc64le"] } },
                { "names": ["future"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "999.0" } },
                { "names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "4.8" } },
            ],
        });
        let settled = settled(&profile, Capabilities::default_set());
        let names: Vec<_> = settled["syscalls"].as_array().unwrap().iter().map(|group| &group["names"][0]).collect();
        assert_eq!(names, ["read", "chown", "bpf", "ptrace"]);
        assert_eq!(settled["syscalls"][2], json!({ "names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 }));
        assert!(settled.get("defaultErrno").is_none() && settled["defaultErrnoRet"] == 38);
        serde_json::from_value::<LinuxSeccomp>(settled).unwrap();
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        let refused = |path: &str| Filter::read(Path::new(path), Capabilities::ALL).is_err();
        assert!(refused("/dev/zero") && refused("/etc/passwd") && refused("/no/such") && refused("/etc"));
    }
}
