//! The verbs that look after images already here, against archives that skopeo writes and reads.

use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use gantry::images::{Close, Inspect, Load, MeasureUsage, Prune, PullPolicy, Save, Tag, Verify, ask, ensure};
use gantry::refusal::Code;

use super::resume::Small;
use super::{Place, code, layout_with_label, on_actix, plain_http, pull, reference, remove, until};
use crate::registry::{Registry, busybox_layout, run};

#[test]
fn one_image_has_many_names() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let name = registry.push_busybox("httpd:1");
        let store = place.open().await;
        drop(pull(&store, &name).await.unwrap());
        let tag = |from: &str, new: &str| ask(&store, Tag { reference: reference(from), new: reference(new) });
        let tagged = tag(&name, "mine").await.unwrap();
        assert_eq!(tagged.name.to_string(), "localhost/mine:latest");
        drop(tagged);
        assert_eq!(code(tag("nothing", "x").await), Code::NotFound);
        assert_eq!(code(tag("mine", &format!("x@sha256:{}", "0".repeat(64))).await), Code::BadValue);
        assert_eq!(place.holds().await, (2, 1, 3));

        let document = ask(&store, Inspect { reference: reference("mine") }).await.unwrap();
        assert_eq!(document["names"], serde_json::json!([name, "localhost/mine:latest"]));
        assert_eq!(document["config"]["Cmd"][0], "/bin/httpd");
        assert!(Path::new(document["rootfs"].as_str().unwrap()).join("bin/busybox").exists());

        let reopened = place.reopen(store).await;
        remove(&reopened, &name).await.unwrap();
        assert_eq!(place.holds().await, (1, 1, 3));
        remove(&reopened, "mine").await.unwrap();
        assert_eq!(place.holds().await, (0, 0, 0));
    });
}

#[test]
fn what_is_saved_loads_again() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let name = registry.push_busybox("web/httpd:1");
        let store = place.open().await;
        let digest = pull(&store, &name).await.unwrap().digest.clone();
        let path = place.dir.join("sa:ved.tar");
        ask(&store, Save { reference: reference(&name), path: path.clone() }).await.unwrap();
        // Docker's tools find in it what OCI's do.
        let plain = place.dir.join("plain.tar");
        symlink(&path, &plain).unwrap();
        for kind in ["docker-archive", "oci-archive"] {
            run(Command::new("skopeo").args(["inspect", "--config", &format!("{kind}:{}", plain.display())]));
            let copy = format!("dir:{}", place.dir.join(kind).display());
            run(Command::new("skopeo").args(["copy", "--quiet", &format!("{kind}:{}", plain.display()), &copy]));
        }
        let nowhere = Save { reference: reference(&name), path: "/nonexistent/x.tar".into() };
        assert_eq!(code(ask(&store, nowhere).await), Code::NotFound);
        remove(&store, &name).await.unwrap();
        assert_eq!(place.holds().await, (0, 0, 0));

        let loaded = ask(&store, Load { path: path.display().to_string() }).await.unwrap();
        let [image] = loaded.as_slice() else { panic!("{} images", loaded.len()) };
        assert_eq!((image.name.to_string(), &image.digest), (name.clone(), &digest));
        assert_eq!(place.holds().await, (1, 1, 3));
        assert!(!place.dir.join("sa:ved.tar.part").exists());
    });
}

#[test]
fn only_a_file_is_replaced_by_what_is_saved() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let name = registry.push_busybox("httpd:1");
        let store = place.open().await;
        drop(pull(&store, &name).await.unwrap());
        let elsewhere = place.dir.join("elsewhere");
        let _mounted = Small::mount(&elsewhere, "size=64m");
        let save = |path: &Path| ask(&store, Save { reference: reference(&name), path: path.to_owned() });
        for dir in [&place.dir, &elsewhere] {
            let (fifo, link, file, beside) =
                (dir.join("fifo"), dir.join("link"), dir.join("x.tar"), dir.join("x.tar.part"));
            run(Command::new("mkfifo").arg(&fifo));
            symlink(&fifo, &link).unwrap();
            for path in [&fifo, &link, dir] {
                assert_eq!(code(save(path).await), Code::BadValue, "{}", path.display());
            }
            assert!(fifo.metadata().unwrap().file_type().is_fifo() && link.is_symlink());
            for path in [&file, &beside] {
                std::fs::write(path, "somebody's").unwrap();
            }
            save(&file).await.unwrap();
            assert!(file.metadata().unwrap().len() > 100_000);
            assert_eq!(std::fs::read_to_string(&beside).unwrap(), "somebody's");
        }
        assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 4, "nothing else is left there");
    });
}

#[test]
fn to_look_at_an_image_is_not_to_use_it() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let name = registry.push_busybox("httpd:1");
        let store = place.open().await;
        drop(pull(&store, &name).await.unwrap());
        let file = std::fs::read_dir(place.dir.join("root/images/names")).unwrap().next().unwrap().unwrap().path();
        let store = place.reopen(store).await;
        store.send(Close).await.unwrap();
        until("the store is closed", || !store.holder().connected()).await;
        let then = SystemTime::now() - Duration::from_secs(48 * 3600);
        std::fs::File::open(&file).unwrap().set_modified(then).unwrap();
        let store = place.open().await;
        assert!(ask(&store, Verify { reference: None }).await.unwrap()[0].faults.is_empty());
        ask(&store, Inspect { reference: reference(&name) }).await.unwrap();
        ask(&store, Save { reference: reference(&name), path: place.dir.join("x.tar") }).await.unwrap();
        drop(ask(&store, Tag { reference: reference(&name), new: reference("young") }).await.unwrap());
        let prune = |hours: u64| ask(&store, Prune { all: false, unused: Some(Duration::from_secs(hours * 3600)) });
        let pruned = prune(24).await.unwrap().names;
        assert_eq!(pruned.iter().map(ToString::to_string).collect::<Vec<_>>(), [name]);
        assert_eq!(place.holds().await, (1, 1, 3));
    });
}

#[test]
fn a_damaged_tree_is_mended_by_a_pull() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let name = registry.push_busybox("httpd:1");
        let store = place.open().await;
        let rootfs = pull(&store, &name).await.unwrap().rootfs.clone();
        drop(ask(&store, Tag { reference: reference(&name), new: reference("other") }).await.unwrap());
        std::fs::write(rootfs.join("etc/planted"), "x").unwrap();
        let faults = async || {
            let verified = ask(&store, Verify { reference: None }).await.unwrap();
            verified.iter().map(|image| image.faults.len()).collect::<Vec<_>>()
        };
        assert_eq!(faults().await, [1, 1]);
        let fetch = || ensure(&store, reference(&name), PullPolicy::Always, plain_http(), None);
        // A container's tree is not taken away from below it.
        let held = pull(&store, "other").await.unwrap();
        drop(fetch().await.unwrap());
        assert_eq!(faults().await, [1, 1]);
        drop(held);
        drop(fetch().await.unwrap());
        assert_eq!(faults().await, [0, 0]);
        assert_eq!(place.holds().await, (2, 1, 3));
    });
}

#[test]
fn an_image_may_go_while_it_is_verified() {
    on_actix(async {
        let place = Place::with_tool("umoci", WAITS);
        std::fs::write(place.dir.join("log.go"), "").unwrap();
        let registry = Registry::start();
        let name = registry.push_busybox("httpd:1");
        let store = place.open().await;
        drop(pull(&store, &name).await.unwrap());
        std::fs::remove_file(place.dir.join("log.go")).unwrap();
        std::fs::remove_file(place.dir.join("log")).unwrap();
        let verified = ask(&store, Verify { reference: None });
        let removed = async {
            until("it is being verified", || place.dir.join("log").exists()).await;
            let removed = remove(&store, &name).await;
            std::fs::write(place.dir.join("log.go"), "").unwrap();
            removed
        };
        let (verified, removed) = futures::join!(verified, removed);
        assert_eq!(removed.unwrap(), name);
        assert!(verified.unwrap()[0].faults.is_empty());
        until("nothing of it is left", || place.count("rootfs") == 0).await;
        assert_eq!(place.holds().await, (0, 0, 0));
    });
}

/// A tool that says that it has begun, and waits for its leave.
const WAITS: &str = "echo begun >$LOG\nwhile [ ! -e $LOG.go ]; do sleep 0.05; done\nexec $REAL \"$@\"\n";

#[test]
fn archives_of_every_kind_load() {
    on_actix(async {
        let place = Place::new();
        let from = format!("oci:{}:image", busybox_layout().display());
        let at = |name: &str| place.dir.join(name).display().to_string();
        let copy = |to: &str| run(Command::new("skopeo").args(["copy", "--quiet", &from, to]));
        copy(&format!("docker-archive:{}:r.example/a:1", at("docker.tar")));
        copy(&format!("docker-archive:{}", at("My Box.tar")));
        copy(&format!("oci-archive:{}:v2", at("oci.tar")));
        copy(&format!("oci-archive:{}", at("bare.tar")));
        symlink(busybox_layout(), at("la:yout")).unwrap();
        let store = place.open().await;
        for (path, name) in [
            (at("docker.tar"), "r.example/a:1"),
            (at("My Box.tar"), "localhost/my-box:latest"),
            (at("oci.tar"), "localhost/oci:v2"),
            (at("bare.tar"), "localhost/bare:latest"),
            (format!("oci:{}:image", busybox_layout().display()), "localhost/busybox-1:image"),
            (format!("oci:{}", at("la:yout")), "localhost/la-yout:image"),
        ] {
            let loaded = ask(&store, Load { path: path.clone() }).await.unwrap_or_else(|e| panic!("{path}: {e}"));
            assert_eq!(loaded.iter().map(|image| image.name.to_string()).collect::<Vec<_>>(), [name]);
            assert_eq!(loaded[0].config.cmd[0], "/bin/httpd");
            assert!(loaded[0].rootfs.join("www/index.html").exists());
        }
        assert_eq!(place.holds().await.0, 6);
        assert!(ask(&store, Verify { reference: None }).await.unwrap().iter().all(|image| image.faults.is_empty()));

        std::fs::write(at("noise"), "noise, but long enough to have a magic number").unwrap();
        std::fs::write(at("empty"), "").unwrap();
        std::fs::write(at("packed"), [0x1f, 0x8b, 8, 0, 0, 0]).unwrap();
        std::fs::write(at("zeros"), [0; 1024]).unwrap();
        for (path, expected) in [
            (at("noise"), Code::BadValue),
            (at("empty"), Code::BadValue),
            (at("zeros"), Code::BadValue),
            (at("packed"), Code::Unsupported),
            (at("none"), Code::NotFound),
            (at("."), Code::BadValue),
            (format!("oci:{}:no-such-tag", busybox_layout().display()), Code::NotFound),
        ] {
            assert_eq!(code(ask(&store, Load { path: path.clone() }).await), expected, "{path}");
        }
        let pruned = ask(&store, Prune { all: true, unused: None }).await.unwrap();
        assert_eq!(pruned.names.len(), 6);
        assert_eq!(place.holds().await, (0, 0, 0));
    });
}

#[test]
fn prune_spares_what_is_used() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let one = registry.push_busybox("one:1");
        let other = layout_with_label(&place.dir, "other");
        let two = registry.push(&format!("oci:{}:image", other.display()), "two:1", &[]);
        let store = place.open().await;
        let held = pull(&store, &one).await.unwrap();
        drop(pull(&store, &two).await.unwrap());
        let prune = |all, unused| ask(&store, Prune { all, unused });
        assert!(prune(false, None).await.unwrap().names.is_empty());
        assert!(prune(false, Some(Duration::from_secs(3600))).await.unwrap().names.is_empty());
        assert_eq!(place.holds().await, (2, 2, 5));

        let before = ask(&store, MeasureUsage).await.unwrap();
        let pruned = prune(true, None).await.unwrap();
        let after = ask(&store, MeasureUsage).await.unwrap();
        assert_eq!(pruned.names.iter().map(ToString::to_string).collect::<Vec<_>>(), [two]);
        assert_eq!(pruned.bytes, before.bytes() - after.bytes());
        assert!(pruned.bytes > 1_000_000 && (before.names.count, after.names.count) == (2, 1));
        assert_eq!(place.holds().await, (1, 1, 3));
        assert!(held.rootfs.join("bin/busybox").exists());
    });
}

#[test]
fn verify_finds_what_was_tampered_with() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let name = registry.push_busybox("httpd:1");
        let store = place.open().await;
        let image = pull(&store, &name).await.unwrap();
        let faults = async || {
            let mut verified = ask(&store, Verify { reference: Some(reference(&name)) }).await.unwrap();
            assert_eq!((verified.len(), verified[0].name.to_string()), (1, name.clone()));
            verified.remove(0).faults
        };
        assert_eq!(faults().await, Vec::<String>::new());
        std::fs::write(image.rootfs.join("etc/added"), "").unwrap();
        std::fs::remove_file(image.rootfs.join("bin/sh")).unwrap();
        let page = image.rootfs.join("www/index.html");
        let time = page.metadata().unwrap().modified().unwrap();
        std::fs::write(&page, "It wirks\n").unwrap();
        std::fs::File::open(&page).unwrap().set_modified(time).unwrap();
        let mut found = faults().await;
        found.sort();
        assert_eq!(found, ["/bin/sh: missing", "/etc/added: surplus", "/www/index.html: other content"]);

        let blobs = std::fs::read_dir(place.dir.join("root/images/blobs/sha256")).unwrap();
        for blob in blobs.map(|entry| entry.unwrap().path()).filter(|path| path.metadata().unwrap().len() > 10_000) {
            std::fs::write(blob, "damaged").unwrap();
        }
        let found = faults().await;
        assert!(found.len() == 1 && found[0].starts_with("blob sha256:"), "{found:?}");
        assert_eq!(place.holds().await, (1, 1, 3));
    });
}
