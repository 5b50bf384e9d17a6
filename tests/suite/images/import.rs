//! Images out of directories and archives.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::sync::Arc;

use gantry::images::{Import, ImportConfig, PullPolicy, ask, ensure};
use gantry::refusal::Code;

use super::{Place, code, on_actix, plain_http, reference, remove, until};
use crate::registry::{make_busybox_tree, run};

#[test]
fn a_directory_and_an_archive_become_images() {
    on_actix(async {
        let place = Place::new();
        let tree = place.dir.join("tree");
        make_busybox_tree(&tree);
        std::fs::hard_link(tree.join("etc/passwd"), tree.join("etc/passwd.link")).unwrap();
        std::fs::set_permissions(tree.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
        nix::unistd::chown(&tree.join("www"), Some(101.into()), Some(102.into())).unwrap();
        run(Command::new("tar").arg("-C").arg(&tree).arg("-cf").arg(place.dir.join("plain.tar")).arg("."));
        run(Command::new("tar").arg("-C").arg(&tree).arg("-czf").arg(place.dir.join("we:ird.tgz")).arg("."));
        let store = place.open().await;
        let config = ImportConfig {
            cmd: vec!["sh".to_owned(), "-c".to_owned(), String::new(), "a,b \"c\"\n".to_owned()],
            entrypoint: vec!["/bin/env".to_owned()],
            env: vec!["A=1,2".to_owned(), "B=".to_owned()],
            workdir: Some("/www".to_owned()),
            user: Some("web".to_owned()),
        };
        for path in ["tree", "plain.tar", "we:ird.tgz"] {
            let import = Import { path: place.dir.join(path), reference: reference("made:1"), config: config.clone() };
            let image = ask(&store, import).await.unwrap();
            assert_eq!(image.name.to_string(), "localhost/made:1");
            assert_eq!((&image.config.cmd, &image.config.entrypoint), (&config.cmd, &config.entrypoint));
            assert_eq!((&image.config.env, image.config.workdir.as_str()), (&config.env, "/www"));
            assert_eq!((image.config.user.as_str(), image.platform.os.as_str()), ("web", "linux"));
            assert!(image.created.as_ref().is_some_and(|created| created.ends_with('Z')));
            let metadata = |name: &str| image.rootfs.join(name).metadata().unwrap();
            assert_eq!(metadata("etc/passwd").ino(), metadata("etc/passwd.link").ino());
            assert_eq!((metadata("www").uid(), metadata("www").gid()), (101, 102));
            assert_eq!((metadata("tmp").mode() & 0o7777, metadata("").mode() & 0o7777), (0o1777, 0o755));
            let found = ensure(&store, reference("made:1"), PullPolicy::Missing, plain_http(), None).await.unwrap();
            assert!(Arc::ptr_eq(&image, &found), "a short name is looked up here first");
        }
        until("only the last of the three is kept", || place.count("rootfs") == 1).await;
        assert_eq!(place.holds().await, (1, 1, 3));
        assert_eq!(remove(&store, "made:1").await.unwrap(), "localhost/made:1");
        assert_eq!(place.holds().await, (0, 0, 0));
    });
}

#[test]
fn what_cannot_be_imported_is_refused() {
    on_actix(async {
        let place = Place::new();
        let store = place.open().await;
        std::fs::write(place.dir.join("noise"), "no tar archive at all").unwrap();
        std::fs::write(place.dir.join("cut.tgz"), [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2]).unwrap();
        run(Command::new("mkfifo").arg(place.dir.join("fifo")));
        for (path, name, expected) in [
            (place.dir.join("noise"), "x", Code::BadValue),
            (place.dir.join("fifo"), "x", Code::BadValue),
            (place.dir.join("cut.tgz"), "x", Code::BadValue),
            (place.dir.clone(), "x", Code::BadValue),
            (place.dir.join("none"), "x", Code::NotFound),
            (place.dir.join("noise"), &format!("x@sha256:{}", "0".repeat(64)), Code::BadValue),
        ] {
            let import = Import { path: path.clone(), reference: reference(name), config: ImportConfig::default() };
            assert_eq!(code(ask(&store, import).await), expected, "{path:?} {name}");
        }
        assert_eq!(place.holds().await, (0, 0, 0));
    });
}
