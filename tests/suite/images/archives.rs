//! Archives and layouts that others made: what is taken in of them, under which names, and nothing besides.

use std::future::Future;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry::images::{Image, Import, ImportConfig, List, Load, PullPolicy, ask, ensure};
use gantry::link::Post;
use gantry::refusal::{Code, Refusal};
use serde_json::{Value, json};
use tar::EntryType;

use super::craft::{self, Layer, Packed, Recipe};
use super::hostile::picture;
use super::{Place, code, on_actix, plain_http, reference};
use crate::registry::{busybox_layout, run};
use crate::shell;

async fn load(store: &Post<gantry::images::ImageStore>, what: &str) -> Result<Vec<std::sync::Arc<Image>>, Refusal> {
    ask(store, Load { path: what.to_owned() }).await
}

/// What comes of `work`, unless it hangs.
async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(shell::patience(60), work).await;
    done.unwrap_or_else(|_| panic!("it hangs: {what}"))
}

fn index_of(layout: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap()
}

/// Has a layout's images, in the order of its index, be called by these names.
fn call(layout: &Path, images: Vec<Value>, names: &[&str]) {
    let named = images.into_iter().zip(names).map(|(mut image, name)| {
        image["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        image
    });
    let index = json!({"schemaVersion": 2, "manifests": named.collect::<Vec<_>>()});
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
}

/// A layout with an image of one file, which is called `name`.
fn layout_of(dir: &Path, content: &[u8], name: &str) -> PathBuf {
    let layout = Recipe::of(vec![Layer::new().file("f", content).tar()]).layout(dir);
    call(&layout, vec![index_of(&layout)["manifests"][0].clone()], &[name]);
    layout
}

/// A layout with two images.
fn layout_of_two(dir: &Path, names: [&str; 2]) -> PathBuf {
    let layout = layout_of(dir, b"one", "x");
    let one = index_of(&layout)["manifests"][0].clone();
    layout_of(dir, b"two", "x");
    let two = index_of(&layout)["manifests"][0].clone();
    call(&layout, vec![one, two], &names);
    layout
}

/// A layout's files as an archive, behind what is there already.
fn archived(layout: &Path, before: Layer) -> Vec<u8> {
    let file = |archive: Layer, name: &str| archive.file(name, &std::fs::read(layout.join(name)).unwrap());
    let blobs = std::fs::read_dir(layout.join("blobs/sha256")).unwrap();
    let blobs = blobs.map(|blob| format!("blobs/sha256/{}", blob.unwrap().file_name().to_str().unwrap()));
    let archive = blobs.fold(before, |archive, blob| file(archive, &blob));
    ["oci-layout", "index.json"].iter().fold(archive, |archive, name| file(archive, name)).tar()
}

#[test]
fn nothing_is_unpacked_outside_of_the_store() {
    on_actix(async {
        let place = Place::new();
        let layout = layout_of(&place.dir.join("layout"), b"x", "r.example/a:1");
        let out = place.dir.join("out");
        std::fs::create_dir_all(out.join("victim")).unwrap();
        std::fs::write(out.join("victim/file"), "as it was").unwrap();
        let link = |name: &str| Layer::new().link(name, EntryType::Symlink, &out.display().to_string());
        let store = place.open().await;
        let path = place.dir.join("archive.tar");
        for (name, before) in [
            ("planted", link("x").file("x/planted", b"planted")),
            ("replaced", link("x").file("x/victim", b"planted")),
            ("replaced by a directory's link", link("x").link("x/victim", EntryType::Symlink, "y")),
            ("blobs", link("blobs").dir("blobs/victim")),
            ("a blob's directory", Layer::new().dir("blobs").link("blobs/sha256", EntryType::Symlink, "../../../out")),
            ("hard link", Layer::new().link("h", EntryType::Link, &out.join("victim/file").display().to_string())),
        ] {
            std::fs::write(&path, archived(&layout, before)).unwrap();
            let before = picture(&place.dir);
            let loaded = load(&store, &path.display().to_string()).await;
            assert_eq!(picture(&place.dir), before, "{name}: {loaded:?}");
            assert_eq!(std::fs::read_to_string(out.join("victim/file")).unwrap(), "as it was", "{name}");
            assert_eq!(loaded.unwrap()[0].name.to_string(), "r.example/a:1", "{name}");
        }
        assert_eq!(place.holds().await, (1, 1, 3));
    });
}

#[test]
fn a_name_with_a_digest_is_that_of_what_has_it() {
    on_actix(async {
        let place = Place::new();
        let wrong = format!("docker.io/library/debian@sha256:{}", "1".repeat(64));
        let layout = layout_of(&place.dir.join("layout"), b"x", &wrong);
        let digest = index_of(&layout)["manifests"][0]["digest"].as_str().unwrap().to_owned();
        let archive = place.dir.join("archive.tar");
        std::fs::write(&archive, archived(&layout, Layer::new())).unwrap();
        let store = place.open().await;
        for what in [archive.display().to_string(), format!("oci:{}", layout.display())] {
            let loaded = load(&store, &what).await.unwrap();
            assert_eq!(loaded[0].name.to_string(), format!("docker.io/library/debian@{digest}"));
            let found = ensure(&store, reference(&wrong), PullPolicy::Never, plain_http(), None).await;
            assert_eq!(code(found), Code::NotFound);
        }
    });
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    on_actix(async {
        let place = Place::with_tool("skopeo", "echo \"$1\" >>$LOG\nexec $REAL \"$@\"\n");
        let layout = layout_of(&place.dir.join("layout"), b"x", "r.example/a:1");
        let what = format!("oci:{}", layout.display());
        let digest = |path: &Path, at: &str| -> PathBuf {
            let document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            let digest = document.pointer(at).unwrap().as_str().unwrap().trim_start_matches("sha256:").to_owned();
            layout.join("blobs/sha256").join(digest)
        };
        let index = layout.join("index.json");
        let manifest = digest(&index, "/manifests/0/digest");
        let (config, blob) = (digest(&manifest, "/config/digest"), digest(&manifest, "/layers/0/digest"));
        let store = place.open().await;
        for path in [&index, &manifest, &config, &blob] {
            let aside = path.with_extension("aside");
            std::fs::rename(path, &aside).unwrap();
            run(Command::new("mkfifo").arg(path));
            let refusal = in_time(&path.display().to_string(), load(&store, &what)).await;
            assert_eq!(code(refusal), Code::BadValue, "{}", path.display());
            // One that waits for it in spite of that is let go.
            let _ = std::fs::File::options().write(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
            std::fs::remove_file(path).unwrap();
            // A document that is none by its length alone.
            if path != &blob {
                std::fs::File::create(path).unwrap().set_len(20 << 20).unwrap();
                assert_eq!(code(load(&store, &what).await), Code::ToolFailed, "{}", path.display());
            }
            std::fs::rename(&aside, path).unwrap();
        }
        assert_eq!((place.log().as_str(), place.holds().await), ("", (0, 0, 0)));
        assert!(load(&store, &what).await.is_ok());
    });
}

#[test]
fn an_image_of_several_names_is_unpacked_once() {
    on_actix(async {
        let place = Place::with_tool("umoci", "echo \"$@\" >>$LOG\nexec $REAL \"$@\"\n");
        let (both, layout) = (place.dir.join("both.tar"), busybox_layout());
        run(Command::new("skopeo")
            .args([
                "copy",
                "--quiet",
                "--additional-tag",
                "r.example/two:2",
                &format!("oci:{}:image", layout.display()),
            ])
            .arg(format!("docker-archive:{}:r.example/one:1", both.display())));
        let store = place.open().await;
        let loaded = load(&store, &both.display().to_string()).await.unwrap();
        assert_eq!((loaded.len(), place.log().lines().count()), (2, 1), "{}", place.log());
        assert_eq!(loaded[0].rootfs, loaded[1].rootfs);
        assert_eq!(place.holds().await.0, 2);
        // The same of a layout.
        let layout = layout_of(&place.dir.join("layout"), b"x", "r.example/a:1");
        let image = index_of(&layout)["manifests"][0].clone();
        call(&layout, vec![image; 3], &["r.example/a:1", "r.example/a:2", "r.example/b:1"]);
        let loaded = load(&store, &format!("oci:{}", layout.display())).await.unwrap();
        assert_eq!((loaded.len(), place.log().lines().count()), (3, 2), "{}", place.log());
    });
}

#[test]
fn all_images_get_their_names_or_none() {
    on_actix(async {
        let place = Place::new();
        let store = place.open().await;
        let before = layout_of(&place.dir.join("before"), b"before", "r.example/a:1");
        drop(load(&store, &format!("oci:{}", before.display())).await.unwrap());
        let names = || async { store.send(List).await.unwrap() };
        let held = (place.holds().await, names().await);
        let two =
            format!("oci:{}", layout_of_two(&place.dir.join("two"), ["r.example/a:1", "r.example/b:1"]).display());
        // No file can take the place of this.
        let hex = craft::digest(b"r.example/b:1").trim_start_matches("sha256:").to_owned();
        let obstacle = place.dir.join("root/images/names").join(format!("{hex}.json"));
        std::fs::create_dir(&obstacle).unwrap();
        assert!(load(&store, &two).await.is_err());
        std::fs::remove_dir(&obstacle).unwrap();
        assert_eq!((place.holds().await, names().await), held);
        let store = place.reopen(store).await;
        assert_eq!(store.send(List).await.unwrap(), held.1);
        assert_eq!(load(&store, &two).await.unwrap().len(), 2);
        assert_eq!(place.holds().await, (2, 2, 6));
    });
}

#[test]
fn two_images_have_two_names() {
    on_actix(async {
        let place = Place::new();
        let (one, two) = (Layer::new().file("f", b"one").tar(), Layer::new().file("f", b"two").tar());
        let config = |tar: &[u8]| {
            let rootfs = json!({"type": "layers", "diff_ids": [craft::digest(tar)]});
            json!({"os": "linux", "architecture": "amd64", "rootfs": rootfs}).to_string().into_bytes()
        };
        let entry = |n: &str| json!({"Config": format!("{n}.json"), "RepoTags": null, "Layers": [format!("{n}.tar")]});
        let manifest = json!([entry("1"), entry("2")]).to_string();
        let archive = Layer::new()
            .file("1.json", &config(&one))
            .file("1.tar", &one)
            .file("2.json", &config(&two))
            .file("2.tar", &two)
            .file("manifest.json", manifest.as_bytes());
        let path = place.dir.join("nameless.tar");
        std::fs::write(&path, archive.tar()).unwrap();
        let store = place.open().await;
        assert_eq!(code(load(&store, &path.display().to_string()).await), Code::BadValue);
        assert_eq!(place.holds().await, (0, 0, 0));
    });
}

#[test]
fn what_grows_too_large_on_its_way_is_refused() {
    on_actix(async {
        // It writes, and goes on.
        let script = "for to; do :; done\nto=${to#oci:}\n[ \"$1\" != copy ] && exec $REAL \"$@\"\n\
                      head -c 16777216 /dev/zero >${to%:*}/oci-put-blob1\nexec sleep 1000\n";
        let mut place = Place::with_tool("skopeo", script);
        place.max_image_size = 8 << 20;
        let store = place.open().await;
        let at = |name: &str| place.dir.join(name);
        let layer = Layer::new().file("f", b"x").tar();
        std::fs::write(at("layer.tgz"), craft::pack(&layer, Packed::Gzip)).unwrap();
        let from = format!("oci:{}:image", busybox_layout().display());
        run(Command::new("skopeo")
            .args(["copy", "--quiet", &from])
            .arg(format!("docker-archive:{}:r.example/a:1", at("docker.tar").display())));
        let import = Import { path: at("layer.tgz"), reference: reference("x"), config: ImportConfig::default() };
        let refusal = in_time("import", ask(&store, import)).await.unwrap_err();
        assert!(refusal.message().contains("max-image-size"), "{refusal}");
        let refusal = in_time("load", load(&store, &at("docker.tar").display().to_string())).await.unwrap_err();
        assert!(refusal.message().contains("max-image-size"), "{refusal}");
        assert_eq!(place.holds().await, (0, 0, 0));
    });
}

#[test]
fn an_archive_of_what_is_too_large_is_not_even_unpacked() {
    on_actix(async {
        let mut place = Place::with_tool("skopeo", "echo \"$1\" >>$LOG\nexec $REAL \"$@\"\n");
        place.max_image_size = 8 << 20;
        let store = place.open().await;
        let large = Recipe {
            layers: vec![(Layer::new().file("f", &vec![7; 9 << 20]).tar(), Packed::Plain)],
            config: json!({}),
            docker: false,
        };
        let layout = large.layout(&place.dir.join("layout"));
        let path = place.dir.join("large.tar");
        std::fs::write(&path, archived(&layout, Layer::new())).unwrap();
        for what in [path.display().to_string(), format!("oci:{}", layout.display())] {
            let refusal = load(&store, &what).await.unwrap_err();
            assert!(refusal.message().contains("max-image-size"), "{refusal}");
        }
        assert_eq!((place.log().as_str(), place.holds().await), ("", (0, 0, 0)));
    });
}
