//! Values as docker users type them, turned into the wire's. What is not understood here goes on as it was typed: the
//! daemon says what is wrong with it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, absolute};
use std::time::{Duration, SystemTime};

use gantry::wire::units;

use crate::flag::Pair;

/// What a conversion gives.
pub type Converted = Result<Vec<Pair>, String>;

fn one(key: &'static str, value: impl Into<Vec<u8>>) -> Converted {
    Ok(vec![(key, value.into())])
}

/// As it was typed.
pub fn text(key: &'static str, typed: &OsStr) -> Converted {
    one(key, typed.as_bytes())
}

/// Docker's `--flag`, `--flag=false`.
pub fn switch(key: &'static str, typed: &OsStr) -> Converted {
    one(key, if is_yes(typed)? { "yes" } else { "no" })
}

/// Reads a boolean in any of the spellings that docker and podman take.
pub fn is_yes(typed: &OsStr) -> Result<bool, String> {
    match typed.to_str().map(str::to_ascii_lowercase).as_deref() {
        Some("true" | "yes" | "on" | "1" | "t") => Ok(true),
        Some("false" | "no" | "off" | "0" | "f") => Ok(false),
        _ => Err(format!("{} is neither true nor false", typed.display())),
    }
}

/// `64M`, `1.5g`, `512mb`, `1GiB`: the wire takes whole numbers with `k`, `m` or `g`.
pub fn size(key: &'static str, typed: &OsStr) -> Converted {
    match typed.to_str().and_then(bytes) {
        Some(bytes) => one(key, whole_units(bytes, &[(1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")])),
        None => text(key, typed),
    }
}

fn bytes(typed: &str) -> Option<u64> {
    let lower = typed.to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let digits = lower.trim_end_matches(['k', 'm', 'g', 't', 'p']);
    let factor: u64 = match &lower[digits.len()..] {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        "p" => 1 << 50,
        _ => return None,
    };
    match units::number::<u64>(digits).filter(|_| !digits.is_empty()) {
        Some(count) => count.checked_mul(factor),
        None => decimal(digits).map(|count| (count * factor as f64) as u64),
    }
}

/// A number with a decimal point, without sign or exponent.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

/// `count` in the largest unit that leaves a whole number.
fn whole_units(count: u64, units: &[(u64, &str)]) -> String {
    let fits = units.iter().find(|(size, _)| count >= *size && count.is_multiple_of(*size));
    fits.map_or_else(|| count.to_string(), |(size, unit)| format!("{}{unit}", count / size))
}

/// Go's durations (`1m30s`, `1.5h`): the wire takes a whole number of one unit.
pub fn duration(key: &'static str, typed: &OsStr) -> Converted {
    match typed.to_str().and_then(millis) {
        Some(0) => one(key, "0"),
        Some(ms) => one(key, whole_units(ms, &[(3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")])),
        None => text(key, typed),
    }
}

fn millis(typed: &str) -> Option<u64> {
    let (mut rest, mut total) = (typed, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (count, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let factor = match &tail[..end] {
            "ms" => 1.0,
            "s" => 1000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            _ => return None,
        };
        total += decimal(count)? * factor;
        rest = &tail[end..];
    }
    (!typed.is_empty()).then_some(total as u64)
}

/// A point in time: Docker takes Unix seconds beside RFC 3339 and durations ago.
pub fn moment(key: &'static str, typed: &OsStr) -> Converted {
    // No container's log goes back 31 years: so large a number is a date.
    const DATES_FROM: u64 = 1_000_000_000;
    match typed.to_str().and_then(units::number::<u64>) {
        Some(seconds) if seconds >= DATES_FROM => {
            let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
            one(key, time.map_or_else(|| seconds.to_string(), units::rfc3339))
        }
        Some(_) => text(key, typed),
        None => duration(key, typed),
    }
}

/// How many lines: docker's `all` is the wire's silence.
pub fn tail(key: &'static str, typed: &OsStr) -> Converted {
    if typed == "all" { Ok(Vec::new()) } else { text(key, typed) }
}

/// A path of the host, made absolute from where the client stands.
pub fn path(key: &'static str, typed: &OsStr) -> Converted {
    one(key, absolute_path(typed)?)
}

/// The same as bytes.
pub fn absolute_path(typed: &OsStr) -> Result<Vec<u8>, String> {
    let path = absolute(Path::new(typed)).map_err(|error| format!("{}: {error}", typed.display()))?;
    Ok(path.as_os_str().as_bytes().to_vec())
}

/// `SRC:DST[:OPTIONS]`: a relative source is the client's; `rw` is what silence means.
pub fn volume(key: &'static str, typed: &OsStr) -> Converted {
    let bytes = typed.as_bytes();
    let bytes = bytes.strip_suffix(b":rw").unwrap_or(bytes);
    let colon = bytes.iter().position(|byte| *byte == b':');
    match colon.map(|at| bytes.split_at(at)) {
        Some((source, rest)) if source.starts_with(b".") => {
            let mut value = absolute_path(OsStr::from_bytes(source))?;
            value.extend_from_slice(rest);
            one(key, value)
        }
        _ => one(key, bytes),
    }
}

/// `--mount`: docker's long form, as the wire's `volume=` or `tmpfs=`.
pub fn mount(_: &'static str, typed: &OsStr) -> Converted {
    let typed = typed.to_str().ok_or("not valid UTF-8")?;
    let (mut kind, mut source, mut target, mut read_only, mut options) = ("volume", None, None, false, Vec::new());
    let mut propagation = None;
    for field in typed.split(',') {
        let (name, value) = field.split_once('=').map_or((field, None), |(name, value)| (name, Some(value)));
        match (name, value) {
            ("type", Some(value)) => kind = value,
            ("source" | "src", Some(value)) => source = Some(value),
            ("target" | "destination" | "dst", Some(value)) => target = Some(value),
            ("readonly" | "ro", value) => read_only = is_yes(OsStr::new(value.unwrap_or("true")))?,
            ("bind-propagation", Some(value)) => propagation = Some(value),
            ("tmpfs-size", Some(value)) => {
                let converted = size("size", OsStr::new(value))?;
                options.extend(converted.iter().map(|(_, size)| format!("size={}", String::from_utf8_lossy(size))));
            }
            ("tmpfs-mode", Some(value)) => options.push(format!("mode={value}")),
            _ => {
                return Err(format!(
                    "{field} is not offered; type=, source=, target=, readonly, bind-propagation=, tmpfs-size= and \
                     tmpfs-mode= are"
                ));
            }
        }
    }
    let target = target.ok_or("it has no target=")?;
    if propagation.is_some() && kind != "bind" {
        return Err("bind-propagation= goes with type=bind".to_owned());
    }
    let behind = read_only.then_some("ro").into_iter().chain(propagation).collect::<Vec<_>>().join(",");
    let behind = if behind.is_empty() { behind } else { format!(":{behind}") };
    match (kind, source) {
        ("tmpfs", None) => {
            options.extend(read_only.then(|| "ro".to_owned()));
            let behind = if options.is_empty() { String::new() } else { format!(":{}", options.join(",")) };
            one("tmpfs", format!("{target}{behind}"))
        }
        ("volume" | "bind", _) if !options.is_empty() => Err("the options of a tmpfs go with type=tmpfs".to_owned()),
        ("volume", None) => one("volume", format!("{target}{behind}")),
        ("volume", Some(name)) if !name.starts_with(['/', '.']) => one("volume", format!("{name}:{target}{behind}")),
        ("bind", Some(path)) => {
            let mut value = absolute_path(OsStr::new(path))?;
            value.extend_from_slice(format!(":{target}{behind}").as_bytes());
            one("volume", value)
        }
        _ => Err(format!(
            "type={kind} with this source is not offered; bind takes a path, volume a name or none, tmpfs none"
        )),
    }
}

/// `--no-healthcheck`.
pub fn no_healthcheck(_: &'static str, typed: &OsStr) -> Converted {
    if is_yes(typed)? { one("health-cmd", "none") } else { Ok(Vec::new()) }
}

/// `--security-opt`: each has a key of its own on the wire.
pub fn security(_: &'static str, typed: &OsStr) -> Converted {
    let typed = typed.to_str().ok_or("not valid UTF-8")?;
    let (name, value) = typed.split_once(['=', ':']).unwrap_or((typed, "true"));
    match (name, value) {
        ("no-new-privileges", value) => switch("no-new-privileges", OsStr::new(value)),
        ("seccomp", "unconfined" | "default") => one("seccomp", value),
        ("seccomp", "builtin") => one("seccomp", "default"),
        ("seccomp", file) => path("seccomp", OsStr::new(file)),
        _ => Err(format!("{name} is not offered; no-new-privileges and seccomp= are")),
    }
}

/// `--log-opt`: each has a key of its own on the wire.
pub fn log_opt(_: &'static str, typed: &OsStr) -> Converted {
    let typed = typed.to_str().ok_or("not valid UTF-8")?;
    match typed.split_once('=') {
        Some(("max-size", value)) => size("log-max-size", OsStr::new(value)),
        Some(("max-file", value)) => one("log-max-files", value),
        _ => Err(format!("{typed} is not offered; max-size= and max-file= are")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(convert: crate::flag::Convert, value: &str) -> String {
        let pairs = convert("k", OsStr::new(value)).unwrap();
        let shown = pairs.iter().map(|(key, value)| format!("{key}={}", String::from_utf8_lossy(value)));
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sizes_become_whole_numbers() {
        for (from, to) in [
            ("64M", "k=64m"),
            ("1g", "k=1g"),
            ("1024m", "k=1g"),
            ("512mb", "k=512m"),
            ("1GiB", "k=1g"),
            ("1.5g", "k=1536m"),
            ("4194304", "k=4m"),
            ("100", "k=100"),
            ("0", "k=0"),
            ("-1", "k=-1"),
            ("lots", "k=lots"),
            ("", "k="),
            ("99999999999999p", "k=99999999999999p"),
        ] {
            assert_eq!(typed(size, from), to, "{from}");
        }
    }

    #[test]
    fn durations_become_one_unit() {
        for (from, to) in
            [("1m30s", "k=90s"), ("1.5h", "k=90m"), ("500ms", "k=500ms"), ("10", "k=10"), ("0s", "k=0"), ("x", "k=x")]
        {
            assert_eq!(typed(duration, from), to, "{from}");
        }
    }

    #[test]
    fn moments_take_unix_seconds() {
        assert_eq!(typed(moment, "1700000000"), "k=2023-11-14T22:13:20.000Z");
        assert_eq!(typed(moment, "10m"), "k=10m");
        assert_eq!(typed(moment, "2026-01-31T12:00:00Z"), "k=2026-01-31T12:00:00Z");
    }

    #[test]
    fn volumes_are_the_clients() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(typed(volume, "./d:/x:ro"), format!("k={}/d:/x:ro", here.display()));
        assert_eq!(typed(volume, "data:/x:rw"), "k=data:/x");
        assert_eq!(typed(volume, "/data"), "k=/data");
    }

    #[test]
    fn mounts_are_volumes_in_words() {
        for (from, to) in [
            ("type=bind,source=/a,target=/b,readonly", "volume=/a:/b:ro"),
            ("type=bind,src=/a,dst=/b,ro=false", "volume=/a:/b"),
            ("type=bind,src=/a,dst=/b,bind-propagation=rslave", "volume=/a:/b:rslave"),
            ("type=bind,src=/a,dst=/b,ro,bind-propagation=slave", "volume=/a:/b:ro,slave"),
            ("source=data,target=/b", "volume=data:/b"),
            ("type=volume,destination=/b", "volume=/b"),
            ("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777", "tmpfs=/t:size=1m,mode=1777"),
            ("type=tmpfs,target=/t", "tmpfs=/t"),
        ] {
            assert_eq!(typed(mount, from), to, "{from}");
        }
        for wrong in [
            "type=bind,target=/b",
            "source=/a",
            "type=volume,source=a,target=/b,bind-propagation=rslave",
            "source=/a,target=/b",
            "type=npipe,target=/b",
            "type=tmpfs,source=x,target=/b",
            "target=/b,tmpfs-size=1",
        ] {
            assert!(mount("k", OsStr::new(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(typed(no_healthcheck, "true"), "health-cmd=none");
    }

    #[test]
    fn gathered_options_have_keys_of_their_own() {
        assert_eq!(typed(security, "no-new-privileges"), "no-new-privileges=yes");
        assert_eq!(typed(security, "no-new-privileges:false"), "no-new-privileges=no");
        assert_eq!(typed(security, "seccomp=unconfined"), "seccomp=unconfined");
        assert_eq!(typed(log_opt, "max-size=10M"), "log-max-size=10m");
        assert!(security("k", OsStr::new("apparmor=x")).is_err());
    }
}
