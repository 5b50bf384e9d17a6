//! Images that nobody means well with: what they write stays in their tree, and of what is refused nothing stays at all.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry::images::{Import, ImportConfig, Load, Verify, ask};
use gantry::refusal::Code;
use serde_json::json;
use tar::EntryType;

use super::craft::{self, Layer, Packed, Recipe};
use super::{Place, code, on_actix, pull, reference, remove};
use crate::fake_registry::{Answer, FakeRegistry};
use crate::registry::{Registry, run};

/// Everything in a tree but the image store, with what tells that it was touched.
pub fn picture(dir: &Path) -> Vec<(PathBuf, u32, u64, i64)> {
    let (mut all, mut todo) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(path) = todo.pop().filter(|path| !path.ends_with("root/images")) {
        let file = path.symlink_metadata().unwrap();
        all.push((path.clone(), file.mode(), file.nlink(), file.mtime()));
        if file.is_dir() {
            todo.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    all.sort();
    all
}

#[test]
fn no_layer_reaches_out_of_its_tree() {
    on_actix(async {
        let (place, workshop, registry) = (Place::new(), Place::new(), Registry::start());
        let out = place.dir.join("out");
        std::fs::create_dir(&out).unwrap();
        std::fs::write(out.join("victim"), "as it was").unwrap();
        let (out_text, up) = (out.display().to_string(), "../".repeat(12));
        let victim = format!("{out_text}/victim");
        let file = |name: &str| Layer::new().file(name, b"planted");
        let symlink = |target: &str| Layer::new().link("a", EntryType::Symlink, target);
        let through = format!("{up}{}", out_text.trim_start_matches('/'));
        let layers: Vec<(&str, Vec<Vec<u8>>)> = vec![
            ("dots", vec![file("../../planted").tar()]),
            ("deep-dots", vec![file(&format!("{through}/planted")).tar()]),
            ("absolute", vec![file(&format!("{out_text}/planted")).tar()]),
            ("link", vec![symlink(&out_text).file("a/planted", b"x").tar()]),
            ("relative-link", vec![symlink(&through).file("a/planted", b"x").tar()]),
            ("link-below", vec![symlink(&out_text).tar(), file("a/planted").tar()]),
            ("link-to-file", vec![symlink(&victim).tar(), file("a").tar()]),
            ("chain", vec![symlink("b").link("b", EntryType::Symlink, &out_text).file("a/planted", b"x").tar()]),
            ("dir-over-link", vec![symlink(&out_text).tar(), Layer::new().dir("a").file("a/planted", b"x").tar()]),
            ("whiteout", vec![symlink(&out_text).tar(), file("a/.wh.victim").tar()]),
            ("opaque", vec![symlink(&out_text).tar(), file("a/.wh..wh..opq").tar()]),
            ("whiteout-dots", vec![file("x/../../../.wh.out").tar()]),
            ("hard-link", vec![Layer::new().link("h", EntryType::Link, &victim).tar()]),
            ("dotted-hard-link", vec![Layer::new().link("h", EntryType::Link, &format!("{through}/victim")).tar()]),
            ("linked-hard-link", vec![symlink(&out_text).link("h", EntryType::Link, "a/victim").file("h", b"x").tar()]),
            ("whiteout-of-parent", vec![file("d/f").file("d/.wh...", b"").tar()]),
            ("whiteout-of-itself", vec![file("d/f").file("d/.wh..", b"").tar()]),
            ("whiteout-of-root", vec![file("f").tar(), file(".wh...").tar()]),
            ("control", vec![file("new\nline\x1b[31m\x07").tar()]),
            ("root", vec![Layer::new().member(b"./", EntryType::Directory, |h| h.set_mode(0o7777), b"").tar()]),
            ("root-is-a-link", vec![Layer::new().link(".", EntryType::Symlink, &out_text).file("planted", b"x").tar()]),
        ];
        let store = place.open().await;
        let before = picture(&place.dir);
        let mut names = Vec::new();
        for (name, tars) in layers {
            let pushed = Recipe::of(tars).push(&registry, &workshop.dir, &format!("{name}:1"));
            let held = place.holds().await;
            match pull(&store, &pushed).await {
                Ok(image) => {
                    names.push(pushed);
                    let root = image.rootfs.symlink_metadata().unwrap();
                    assert!(root.is_dir(), "{name}");
                }
                Err(refusal) => {
                    assert_eq!(refusal.code(), Code::ToolFailed, "{name}: {refusal}");
                    assert_eq!(place.holds().await, held, "{name}: {refusal}");
                }
            }
            assert_eq!(picture(&place.dir), before, "{name} wrote outside of the store");
            assert_eq!(std::fs::read_to_string(out.join("victim")).unwrap(), "as it was", "{name}");
        }
        // What was let in can be checked and taken away like any other.
        for verified in ask(&store, Verify { reference: None }).await.unwrap() {
            assert!(verified.faults.is_empty(), "{verified:?}");
        }
        assert!(names.len() >= 10, "most are contained, as by docker: {names:?}");
        for name in &names {
            remove(&store, name).await.unwrap();
        }
        assert_eq!(place.holds().await, (0, 0, 0));
        assert_eq!(picture(&place.dir), before);
    });
}

#[test]
fn what_is_not_what_its_digest_says_is_refused() {
    on_actix(async {
        let (place, store_of) = (Place::new(), Place::new());
        let layout = Recipe::of(vec![Layer::new().file("f", &[7; 10_000]).tar()]).layout(&place.dir.join("layout"));
        let manifest = std::fs::read(layout.join("index.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let manifest = manifest["manifests"][0]["digest"].as_str().unwrap().to_owned();
        let document = std::fs::read(layout.join("blobs/sha256").join(manifest.trim_start_matches("sha256:"))).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
        let digest = |at: &str| document.pointer(at).unwrap().as_str().unwrap().to_owned();
        let other = craft::pack(&Layer::new().file("f", b"another").tar(), Packed::Gzip);
        let store = store_of.open().await;
        for (wrong, body) in [
            (digest("/layers/0/digest"), other.clone()),
            (digest("/layers/0/digest"), Vec::new()),
            (digest("/config/digest"), b"{}".to_vec()),
            (manifest.clone(), document.to_string().replace("sha256:", "sha256:0").into_bytes()),
            (manifest.clone(), format!("{document} ").into_bytes()),
        ] {
            let path = wrong.clone();
            let lie = move |at: &str| at.ends_with(&path).then(|| Answer::ok(body.clone()));
            let registry = FakeRegistry::with(&layout, lie);
            let name = format!("{}/box@{manifest}", registry.address());
            assert_eq!(code(pull(&store, &name).await), Code::ToolFailed, "{wrong}");
            assert_eq!(store_of.holds().await, (0, 0, 0));
            assert_eq!(store_of.count("partial"), 0, "{wrong}");
        }
        // A configuration that says another tree than the layers give.
        let mut lying = Recipe::of(vec![Layer::new().file("f", b"one").tar()]);
        lying.config = json!({});
        let layout = lying.layout(&place.dir.join("diff"));
        let recipe = Recipe::of(vec![Layer::new().file("f", b"two").tar()]).layout(&place.dir.join("two"));
        let honest = FakeRegistry::with(&recipe, |_| None);
        assert!(pull(&store, &format!("{}/two:1", honest.address())).await.is_ok());
        remove(&store, &format!("{}/two:1", honest.address())).await.unwrap();
        swap_diff_id(&layout);
        let registry = FakeRegistry::with(&layout, |_| None);
        let refusal = pull(&store, &format!("{}/diff:1", registry.address())).await.unwrap_err();
        assert!(refusal.code() == Code::ToolFailed && refusal.message().contains("mismatch"), "{refusal}");
        assert_eq!(store_of.holds().await, (0, 0, 0));
    });
}

/// Has the configuration of a layout's image say another digest of the unpacked layer.
fn swap_diff_id(layout: &Path) {
    let blobs = layout.join("blobs/sha256");
    let read = |digest: &serde_json::Value| -> serde_json::Value {
        let name = digest.as_str().unwrap().trim_start_matches("sha256:");
        serde_json::from_slice(&std::fs::read(blobs.join(name)).unwrap()).unwrap()
    };
    let index = std::fs::read(layout.join("index.json")).unwrap();
    let mut index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let mut manifest = read(&index["manifests"][0]["digest"]);
    let mut config = read(&manifest["config"]["digest"]);
    config["rootfs"]["diff_ids"] = json!([craft::digest(b"another")]);
    manifest["config"] = craft::put(&blobs, config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    index["manifests"] = json!([craft::put(&blobs, manifest.to_string().as_bytes(), kind)]);
    index["manifests"][0]["annotations"] = json!({"org.opencontainers.image.ref.name": "image"});
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn what_is_too_large_is_refused() {
    on_actix(async {
        let mut place = Place::new();
        place.max_image_size = 8 << 20;
        let registry = Registry::start();
        let store = place.open().await;
        let zeros = vec![0; 16 << 20];
        let bomb = Recipe::of(vec![Layer::new().file("zeros", &zeros).tar()]).push(&registry, &place.dir, "bomb:1");
        let files = (0..2100).fold(Layer::new(), |layer, n| layer.file(&format!("f{n}"), b""));
        let files = Recipe::of(vec![files.tar()]).push(&registry, &place.dir, "files:1");
        let halves =
            vec![Layer::new().file("a", &zeros[..5 << 20]).tar(), Layer::new().file("b", &zeros[..5 << 20]).tar()];
        let halves = Recipe::of(halves).push(&registry, &place.dir, "halves:1");
        for name in [&bomb, &files, &halves] {
            let refusal = pull(&store, name).await.unwrap_err();
            assert!(refusal.code() == Code::ToolFailed && refusal.message().contains("max-image-size"), "{refusal}");
            assert_eq!(place.holds().await, (0, 0, 0));
        }
        let archive = place.dir.join("bomb.tar.gz");
        std::fs::write(&archive, craft::pack(&Layer::new().file("zeros", &zeros).tar(), Packed::Gzip)).unwrap();
        let import = Import { path: archive, reference: reference("bomb"), config: ImportConfig::default() };
        assert!(ask(&store, import).await.unwrap_err().message().contains("max-image-size"));
        assert_eq!(place.holds().await, (0, 0, 0));

        // The same is let in where it may be.
        let mut free = Place::new();
        free.max_image_size = 0;
        assert!(pull(&free.open().await, &bomb).await.is_ok());

        // What is said to be too large is not even fetched, and what is more than was said is not waited for.
        let layout = Recipe::of(vec![Layer::new().file("f", b"x").tar()]).layout(&place.dir.join("layout"));
        let endless = FakeRegistry::with(&layout, |path| path.contains("/blobs/").then_some(Answer::Endless));
        let refusal = pull(&store, &format!("{}/endless:1", endless.address())).await.unwrap_err();
        assert!(refusal.code() == Code::ToolFailed, "{refusal}");
        assert_eq!(place.holds().await, (0, 0, 0));
        let huge = FakeRegistry::start(|path| match path {
            "/v2/" => Answer::ok("{}"),
            path if path.contains("/manifests/") => manifest_of(&[u64::MAX / 2, u64::MAX / 2]),
            _ => Answer::error("404 Not Found", "BLOB_UNKNOWN"),
        });
        let refusal = pull(&store, &format!("{}/huge:1", huge.address())).await.unwrap_err();
        assert!(refusal.message().contains("max-image-size"), "{refusal}");
        assert_eq!(place.holds().await, (0, 0, 0));
    });
}

/// A manifest with layers of these sizes.
fn manifest_of(sizes: &[u64]) -> Answer {
    let layer = |(n, size): (usize, &u64)| {
        let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
        json!({"mediaType": kind, "digest": craft::digest(&n.to_le_bytes()), "size": size})
    };
    let layers: Vec<_> = sizes.iter().enumerate().map(layer).collect();
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let config =
        json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": craft::digest(b""), "size": 0});
    let body = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}).to_string();
    Answer::Reply("200 OK", format!("Content-Type: {kind}\r\n"), body.into_bytes())
}

#[test]
fn documents_without_end_are_refused() {
    on_actix(async {
        let (place, many) = (Place::new(), vec![1; 200_000]);
        let store = place.open().await;
        let kind = "application/vnd.oci.image.index.v1+json";
        let million =
            format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","manifests":[{}{{}}]}}"#, "{},".repeat(1_000_000));
        let answers: Vec<Box<dyn Fn() -> Answer + Send + Sync>> = vec![
            Box::new(move || manifest_of(&many)),
            Box::new(|| manifest_of(&[1; 10_000])),
            Box::new(move || {
                Answer::Reply("200 OK", format!("Content-Type: {kind}\r\n"), million.clone().into_bytes())
            }),
            Box::new(|| Answer::ok("[".repeat(100_000))),
            Box::new(|| Answer::ok("{\"schemaVersion\":2}")),
            Box::new(|| Answer::ok("not a manifest")),
            Box::new(|| Answer::Endless),
        ];
        for (n, answer) in answers.into_iter().enumerate() {
            let registry = FakeRegistry::start(move |path| match path {
                "/v2/" => Answer::ok("{}"),
                path if path.contains("/manifests/") => answer(),
                _ => Answer::error("404 Not Found", "BLOB_UNKNOWN"),
            });
            let refusal = pull(&store, &format!("{}/box:1", registry.address())).await.unwrap_err();
            assert!(matches!(refusal.code(), Code::ToolFailed | Code::Unsupported), "{n}: {refusal}");
            assert!(!refusal.message().chars().any(char::is_control) && refusal.message().len() <= 1024, "{n}");
            assert_eq!(place.holds().await, (0, 0, 0), "{n}: {refusal}");
        }
    });
}

#[test]
fn hostile_archives_are_refused() {
    on_actix(async {
        let place = Place::new();
        let store = place.open().await;
        let secret = place.dir.join("secret");
        std::fs::write(&secret, "nobody's business").unwrap();
        let secret_text = secret.display().to_string();
        let layout = Recipe::of(vec![Layer::new().file("f", b"x").tar()]).layout(&place.dir.join("layout"));
        let archive = place.dir.join("good.tar");
        run(Command::new("skopeo")
            .args(["copy", "--quiet", &format!("oci:{}:image", layout.display())])
            .arg(format!("docker-archive:{}:r.example/a:1", archive.display())));
        let config = || json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}});
        let docker = |tags: &[&str]| {
            let manifest = json!([{"Config": "c.json", "RepoTags": tags, "Layers": []}]);
            Layer::new()
                .file("c.json", config().to_string().as_bytes())
                .file("manifest.json", manifest.to_string().as_bytes())
        };
        let linked = json!([{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["l.tar"]}]).to_string();
        let archives: Vec<(&str, Vec<u8>)> = vec![
            ("control", docker(&["r.example/a\n\x1b[2J:1"]).tar()),
            ("climbing", docker(&["../../etc/passwd:1"]).tar()),
            ("long", docker(&[&format!("r.example/{}:1", "a".repeat(5000))]).tar()),
            ("many", docker(&[&(0..100).map(|n| format!("a{n}:1")).collect::<Vec<_>>().join("\",\"")]).tar()),
            (
                "linked",
                Layer::new()
                    .link("c.json", EntryType::Symlink, &secret_text)
                    .link("l.tar", EntryType::Symlink, &secret_text)
                    .file("manifest.json", linked.as_bytes())
                    .tar(),
            ),
            (
                "index",
                Layer::new().link("index.json", EntryType::Symlink, &secret_text).file("oci-layout", b"{}").tar(),
            ),
            (
                "escape",
                Layer::new().file("../../../../escaped", b"x").file("index.json", br#"{"manifests":[{}]}"#).tar(),
            ),
        ];
        let before = picture(&place.dir).len();
        for (name, bytes) in &archives {
            let path = place.dir.join("hostile.tar");
            std::fs::write(&path, bytes).unwrap();
            let refusal = ask(&store, Load { path: path.display().to_string() }).await.unwrap_err();
            assert!(matches!(refusal.code(), Code::ToolFailed | Code::BadValue), "{name}: {refusal}");
            assert!(!refusal.message().contains("nobody's business"), "{name}: {refusal}");
            assert_eq!(place.holds().await, (0, 0, 0), "{name}: {refusal}");
            std::fs::remove_file(&path).unwrap();
            assert_eq!(picture(&place.dir).len(), before, "{name}");
        }
        let half = std::fs::read(&archive).unwrap();
        std::fs::write(&archive, &half[..half.len() / 2]).unwrap();
        assert!(ask(&store, Load { path: archive.display().to_string() }).await.is_err());
        assert_eq!(place.holds().await, (0, 0, 0));
    });
}
