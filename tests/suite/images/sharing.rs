//! Files that are equal in two unpacked images: one set of extents for both, on a file system that can.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry::images::{Verify, ask};
use tar::EntryType;

use super::craft::{Layer, NET_RAW, Recipe};
use super::{Place, on_actix, pull};
use crate::fake_registry::noise;
use crate::registry::Registry;
use crate::shell;

/// A file system that can share extents, on a file; gone at the end.
struct Reflinks(PathBuf);

impl Reflinks {
    /// None where this host cannot have one, which is said.
    fn mount(dir: &Path) -> Option<Self> {
        std::fs::create_dir_all(dir).unwrap();
        let file = dir.with_extension("img");
        let make = |tool: &str| {
            let script = format!(
                "rm -f {0}; truncate -s 400M {0} && {tool} {0} && mount -o loop {0} {1}",
                file.display(),
                dir.display()
            );
            shell::sh(&script)
        };
        let tries = [make("mkfs.xfs -q -m reflink=1")];
        if tries.iter().any(|tried| tried.status.success()) || make("mkfs.btrfs -q").status.success() {
            return Some(Self(dir.to_owned()));
        }
        eprintln!(
            "\n!!! NOT TESTED that equal files share their extents: no xfs or btrfs can be made and mounted here \
             (apt-get install xfsprogs; loop devices): {tries:?}\n"
        );
        None
    }

    /// How many extents of a file are shared with another, and how many there are.
    fn extents(path: &Path) -> (usize, usize) {
        let told = shell::sh(&format!("filefrag -v {}", path.display())).succeeds();
        let extents = told.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
        let all: Vec<&str> = extents.collect();
        (all.iter().filter(|line| line.contains("shared")).count(), all.len())
    }
}

impl Drop for Reflinks {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = std::fs::remove_file(self.0.with_extension("img"));
    }
}

#[test]
fn equal_files_of_two_images_share_their_extents() {
    let place = Place::new();
    let Some(_mounted) = Reflinks::mount(&place.dir.join("root")) else { return };
    on_actix(async {
        let (workshop, registry) = (Place::new(), Registry::start());
        let base = Layer::new()
            .file("same", &noise(6, 3 << 20))
            .member(b"su", EntryType::Regular, |h| h.set_mode(0o4755), &noise(7, 100_000))
            .pax(&[("SCHILY.xattr.security.capability", NET_RAW)])
            .file("ping", &noise(8, 100_000))
            .file("other", &noise(9, 100_000))
            .tar();
        let one = Recipe::of(vec![base.clone(), Layer::new().file("x", b"one").tar()]);
        let two = Recipe::of(vec![base, Layer::new().file("other", &noise(10, 100_000)).tar()]);
        let store = place.open().await;
        let one = pull(&store, &one.push(&registry, &workshop.dir, "one:1")).await.unwrap();
        let two = pull(&store, &two.push(&registry, &workshop.dir, "two:1")).await.unwrap();
        let shared = |name: &str| Reflinks::extents(&two.rootfs.join(name)).0 > 0;
        super::until("they share", || shared("same") && shared("su") && shared("ping")).await;
        for (name, is_shared) in [("same", true), ("su", true), ("ping", true), ("other", false)] {
            for image in [&one, &two] {
                let (shared, all) = Reflinks::extents(&image.rootfs.join(name));
                assert_eq!((shared == all && all > 0, shared > 0), (is_shared, is_shared), "{name}: {shared} of {all}");
            }
        }
        // Nothing else of them has changed, and what one is given is its own.
        assert!(ask(&store, Verify { reference: None }).await.unwrap().iter().all(|image| image.faults.is_empty()));
        let (ours, theirs) = (one.rootfs.join("same"), two.rootfs.join("same"));
        assert_ne!(ours.metadata().unwrap().ino(), theirs.metadata().unwrap().ino());
        std::fs::File::options().write(true).open(&ours).unwrap().write_at(b"changed", 0).unwrap();
        assert_eq!(std::fs::read(&theirs).unwrap(), noise(6, 3 << 20));
        store.send(gantry::images::Close).await.unwrap();
        drop((one, two));
        super::until("the store is closed", || !store.holder().connected()).await;
    });
}
