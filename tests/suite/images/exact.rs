//! Trees as their layers say them, to the last bit.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use gantry::images::{Verify, ask};
use serde_json::json;
use tar::EntryType;

use super::craft::{Layer, NET_RAW, Packed, Recipe};
use super::{Place, on_actix, pull};
use crate::fake_registry::noise;
use crate::registry::Registry;

/// Everything that a tree can hold, and everything that an upper layer can do to a lower one.
pub fn layers() -> Vec<Vec<u8>> {
    let odd = "odd \"name\" 'with' \\ $(x) \t\n é ü";
    let long = format!("{}/{}", "d".repeat(90), "f".repeat(200));
    let lower = Layer::new()
        .dir("bin")
        .member(b"bin/su", EntryType::Regular, |h| h.set_mode(0o4755), b"setuid")
        .member(b"bin/wall", EntryType::Regular, |h| (h.set_mode(0o2755), h.set_gid(5)).0, b"setgid")
        .member(b"tmp", EntryType::Directory, |h| h.set_mode(0o1777), b"")
        .pax(&[("SCHILY.xattr.security.capability", NET_RAW)])
        .file("bin/ping", b"capable")
        .pax(&[("SCHILY.xattr.user.note", b"a \x01 value"), ("SCHILY.xattr.trusted.kept", b"t")])
        .file("noted", b"with attributes")
        .member(b"owned", EntryType::Regular, |h| (h.set_uid(70_000), h.set_gid(80_000)).0, b"somebody's")
        .file("one", b"of two names")
        .link("two", EntryType::Link, "one")
        .link("sym", EntryType::Symlink, "../../one")
        .link("dangling", EntryType::Symlink, "/nowhere/at all")
        .member(b"fifo", EntryType::Fifo, |h| h.set_mode(0o600), b"")
        .member(b"null", EntryType::Char, |h| device(h, 1, 3), b"")
        .member(b"loop", EntryType::Block, |h| device(h, 7, 9), b"")
        .file("empty", b"")
        .file(odd, b"odd")
        .member(b"latin-\xe9", EntryType::Regular, |_| (), b"not UTF-8")
        .pax(&[("path", long.as_bytes())])
        .file("long", b"long")
        .member(b"old", EntryType::Regular, |h| h.set_mtime(1), b"1970")
        .file("large", &noise(5, 3 << 20))
        .dir("gone")
        .file("gone/with", b"x")
        .file("deleted", b"x")
        .dir("opaque")
        .file("opaque/hidden", b"x")
        .file("becomes-dir", b"x")
        .dir("becomes-file")
        .file("becomes-file/x", b"x")
        .file("implied/parent/file", b"x")
        .file("rewritten", b"before");
    let upper = Layer::new()
        .file(".wh.deleted", b"")
        .file(".wh.gone", b"")
        .dir("opaque")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/shown", b"x")
        .dir("becomes-dir")
        .file("becomes-dir/x", b"x")
        .file("becomes-file", b"x")
        .member(b"rewritten", EntryType::Regular, |h| h.set_mode(0o600), b"after")
        .link("three", EntryType::Link, "one")
        .member(b"bin", EntryType::Directory, |h| h.set_mode(0o700), b"");
    let top = Layer::new().file("deleted", b"again").file(".wh.never-there", b"");
    vec![lower.tar(), upper.tar(), top.tar()]
}

fn device(header: &mut tar::Header, major: u32, minor: u32) {
    header.set_device_major(major).unwrap();
    header.set_device_minor(minor).unwrap();
}

/// A file as `lstat` and its attributes tell it, and a sum of its content.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    mode: u32,
    owner: (u32, u32),
    device: u64,
    links: u64,
    time: i64,
    pub attributes: BTreeMap<String, Vec<u8>>,
    content: Option<(u64, String)>,
}

pub fn look(root: &Path) -> BTreeMap<OsString, Seen> {
    let (mut all, mut todo) = (BTreeMap::new(), vec![PathBuf::new()]);
    while let Some(at) = todo.pop() {
        let path = root.join(&at);
        let file = path.symlink_metadata().unwrap();
        let kind = file.file_type();
        let content = match () {
            () if kind.is_file() => Some((file.size(), super::craft::digest(&std::fs::read(&path).unwrap()))),
            () if kind.is_symlink() => Some((0, path.read_link().unwrap().display().to_string())),
            () => None,
        };
        if kind.is_dir() {
            todo.extend(std::fs::read_dir(&path).unwrap().map(|entry| at.join(entry.unwrap().file_name())));
        }
        let seen = Seen {
            mode: file.mode(),
            owner: (file.uid(), file.gid()),
            device: if kind.is_char_device() || kind.is_block_device() { file.rdev() } else { 0 },
            links: if kind.is_dir() { 0 } else { file.nlink() },
            // A directory that no layer lists has the time of its making.
            time: if kind.is_dir() || kind.is_symlink() { 0 } else { file.mtime() },
            attributes: attributes(&path),
            content,
        };
        all.insert(at.into_os_string(), seen);
    }
    all
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut list = vec![0; 4096];
    let long = rustix::fs::llistxattr(path, &mut list).unwrap();
    let names = list[..long].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &str| {
        let mut value = vec![0; 4096];
        let long = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
        value.truncate(long);
        value
    };
    let names = names.map(|name| String::from_utf8(name.to_owned()).unwrap());
    // The overlay's own, on podman's side.
    names.filter(|name| !name.starts_with("trusted.overlay.")).map(|name| (name.clone(), value(&name))).collect()
}

#[test]
fn a_tree_is_what_its_layers_say() {
    on_actix(async {
        let (place, workshop, registry) = (Place::new(), Place::new(), Registry::start());
        let store = place.open().await;
        let [gzip, zstd, plain] = [Packed::Gzip, Packed::Zstd, Packed::Plain];
        let mut trees = Vec::new();
        for (name, packings, docker) in [
            ("oci:1", [gzip, gzip, gzip], false),
            ("zstd:1", [zstd, zstd, gzip], false),
            ("plain:1", [plain, gzip, zstd], false),
            ("docker:1", [gzip, gzip, gzip], true),
        ] {
            let layers = layers().into_iter().zip(packings).collect();
            let name = Recipe { layers, config: json!({}), docker }.push(&registry, &workshop.dir, name);
            let image = pull(&store, &name).await.unwrap_or_else(|e| panic!("{name}: {e}"));
            trees.push(look(&image.rootfs));
        }
        assert!(trees.iter().all(|tree| *tree == trees[0]), "however they are packed");
        assert!(ask(&store, Verify { reference: None }).await.unwrap().iter().all(|image| image.faults.is_empty()));
        let at = |path: &[u8]| trees[0].get(&OsString::from_vec(path.to_vec()));
        let seen = |path: &str| at(path.as_bytes()).unwrap_or_else(|| panic!("{path}"));
        let content = |path: &str| seen(path).content.clone().unwrap();
        let sum = |bytes: &[u8]| (bytes.len() as u64, super::craft::digest(bytes));
        assert_eq!((seen("bin/su").mode, seen("bin/wall").mode & 0o7777), (0o104_755, 0o2755));
        assert_eq!((seen("tmp").mode & 0o7777, seen("bin").mode & 0o7777), (0o1777, 0o700));
        assert_eq!(seen("bin/ping").attributes["security.capability"], NET_RAW);
        assert_eq!(seen("noted").attributes["user.note"], b"a \x01 value");
        assert_eq!(seen("noted").attributes["trusted.kept"], b"t");
        assert_eq!(seen("owned").owner, (70_000, 80_000));
        assert_eq!((seen("one").links, seen("three").links), (3, 3), "also over layers");
        assert_eq!((content("sym").1.as_str(), content("dangling").1.as_str()), ("../../one", "/nowhere/at all"));
        assert_eq!((seen("fifo").mode, seen("null").mode & 0o170_000), (0o10_600, 0o20_000));
        assert_eq!(seen("null").device, nix::sys::stat::makedev(1, 3));
        assert_eq!((seen("loop").mode & 0o170_000, seen("loop").device), (0o60_000, nix::sys::stat::makedev(7, 9)));
        assert_eq!((seen("old").time, seen("noted").time), (1, 1_700_000_000));
        assert_eq!(content("large"), sum(&noise(5, 3 << 20)));
        assert_eq!(content("odd \"name\" 'with' \\ $(x) \t\n é ü"), sum(b"odd"));
        assert_eq!(at(b"latin-\xe9").unwrap().content, Some(sum(b"not UTF-8")));
        assert!(trees[0].keys().any(|path| path.as_bytes().ends_with(&[b'f'; 200])));
        for gone in ["gone", "gone/with", "opaque/hidden", "becomes-file/x", ".wh.deleted", "opaque/.wh..wh..opq"] {
            assert!(at(gone.as_bytes()).is_none(), "{gone}");
        }
        assert_eq!((content("deleted"), content("rewritten")), (sum(b"again"), sum(b"after")));
        assert_eq!(seen("rewritten").mode & 0o7777, 0o600);
        assert!(at(b"opaque/shown").is_some() && at(b"becomes-dir/x").is_some());
        assert_eq!(content("becomes-file"), sum(b"x"));
    });
}
