//! What registries hold: Docker's format, indexes of several platforms, images with a layer twice.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use gantry::images::{Load, PullOptions, PullPolicy, Save, Verify, ask, ensure};
use gantry::refusal::Code;
use serde_json::{Value, json};

use super::{Place, layout_with_label, on_actix, plain_http, pull, reference, until};
use crate::registry::{Registry, busybox_layout, run};

#[test]
fn docker_format_keeps_what_oci_has_no_word_for() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let name = push_docker_format(&registry, &place.dir);
        let store = place.open().await;
        let image = pull(&store, &name).await.unwrap();
        let check = image.config.healthcheck.clone().expect("a health check");
        assert_eq!(check["Test"][1], "true");
        assert_eq!((image.config.shell.as_slice(), image.config.stop_timeout), (&["/bin/ash".to_owned()][..], Some(3)));
        let digest = Command::new("skopeo")
            .args(["inspect", "-n", "--tls-verify=false", "--format", "{{.Digest}}", &format!("docker://{name}")])
            .output()
            .unwrap();
        assert_eq!(image.digest, String::from_utf8(digest.stdout).unwrap().trim(), "as the registry names it");
        assert_eq!(place.holds().await, (1, 1, 4), "manifest, configuration, the one before it, layer");
        drop(image);
        let store = place.reopen(store).await;
        assert!(pull(&store, &name).await.unwrap().config.healthcheck.is_some());

        // Through archives too: ours, and one as docker writes it.
        let ours = place.dir.join("ours.tar");
        ask(&store, Save { reference: reference(&name), path: ours.clone() }).await.unwrap();
        let docker = place.dir.join("docker.tar");
        let from = format!("dir:{}", place.dir.join("docker-format").display());
        run(Command::new("skopeo")
            .args(["copy", "--quiet", &from])
            .arg(format!("docker-archive:{}", docker.display())));
        super::remove(&store, &name).await.unwrap();
        for archive in [ours, docker] {
            let loaded = ask(&store, Load { path: archive.display().to_string() }).await.unwrap();
            let config = &loaded[0].config;
            assert_eq!(config.healthcheck.as_ref().map(|check| check["Test"][1].as_str()), Some(Some("true")));
            assert_eq!((config.shell.as_slice(), config.stop_timeout), (&["/bin/ash".to_owned()][..], Some(3)));
        }
    });
}

#[test]
fn an_image_of_two_repositories_shares_its_blobs_as_they_are() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let first = push_docker_format(&registry, &place.dir);
        let docker = place.dir.join("docker-format");
        let second = registry.push(&format!("dir:{}", docker.display()), "mirror/docker:1", &[]);
        let store = place.open().await;
        drop(pull(&store, &first).await.unwrap());
        let config = read(&docker.join("manifest.json"))["config"]["digest"].as_str().unwrap().to_owned();
        let config = config.trim_start_matches("sha256:");
        // The store's own file, whatever becomes of its name; written long ago.
        let (aside, then) = (place.dir.join("aside"), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
        std::fs::hard_link(place.dir.join("root/images/blobs/sha256").join(config), &aside).unwrap();
        std::fs::File::open(&aside).unwrap().set_modified(then).unwrap();
        drop(pull(&store, &second).await.unwrap());
        assert_eq!(aside.metadata().unwrap().modified().unwrap(), then, "it was written to");
        assert_eq!(std::fs::read(&aside).unwrap(), std::fs::read(docker.join(config)).unwrap());
        assert_eq!(place.holds().await, (2, 1, 4));
    });
}

/// Pushes the busybox image in Docker's schema 2 with a health check, shell and stop timeout, which no OCI tool writes.
pub fn push_docker_format(registry: &Registry, dir: &Path) -> String {
    let docker = dir.join("docker-format");
    let from = format!("oci:{}:image", busybox_layout().display());
    let to = format!("dir:{}", docker.display());
    run(Command::new("skopeo").args(["copy", "--quiet", "--format", "v2s2", &from, &to]));
    let manifest_file = docker.join("manifest.json");
    let mut manifest = read(&manifest_file);
    let mut config = read(&docker.join(manifest["config"]["digest"].as_str().unwrap().trim_start_matches("sha256:")));
    config["config"]["Healthcheck"] = json!({"Test": ["CMD", "true"], "Interval": 1_000_000_000});
    config["config"]["Shell"] = json!(["/bin/ash"]);
    config["config"]["StopTimeout"] = 3.into();
    let config = config.to_string();
    let sum = sha256(&config);
    std::fs::write(docker.join(&sum), &config).unwrap();
    manifest["config"]["digest"] = format!("sha256:{sum}").into();
    manifest["config"]["size"] = config.len().into();
    std::fs::write(manifest_file, manifest.to_string()).unwrap();
    registry.push(&to, "docker:1", &[])
}

#[test]
fn an_index_gives_each_platform_its_image() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let name = registry.push(&format!("oci:{}:all", two_platforms(&place.dir).display()), "both:1", &["--all"]);
        let store = place.open().await;
        let host = pull(&store, &name).await.unwrap();
        let options = PullOptions { platform: Some("linux/s390x".to_owned()), ..plain_http() };
        let other = ensure(&store, reference(&name), PullPolicy::Missing, options, None).await.unwrap();
        assert_eq!((other.platform.to_string().as_str(), &other.digest), ("linux/s390x", &host.digest));
        assert_ne!(other.rootfs, host.rootfs);
        // One for another platform is none, also where none is to be fetched.
        for (platform, is_here) in [("linux/s390x", true), ("linux/riscv64", false)] {
            let options = PullOptions { platform: Some(platform.to_owned()), ..plain_http() };
            let found = ensure(&store, reference(&name), PullPolicy::Never, options, None).await;
            assert_eq!(found.err().map(|refusal| refusal.code()), (!is_here).then_some(Code::NotFound), "{platform}");
        }
        drop(host);
        until("the name means the other one now", || place.count("rootfs") == 1).await;
        assert_eq!(place.holds().await, (1, 1, 3));
    });
}

/// A layout whose tag `all` is an index of the busybox image for this host's platform and for another.
fn two_platforms(dir: &Path) -> PathBuf {
    let layout = layout_with_label(dir, "index");
    let image = format!("{}:image", layout.display());
    run(Command::new("umoci").args(["config", "--image", &image, "--tag=other", "--architecture=s390x"]));
    let index = read(&layout.join("index.json"));
    let tagged = |tag: &str, platform: Value| {
        let all = index["manifests"].as_array().unwrap();
        let found = all.iter().find(|m| m["annotations"]["org.opencontainers.image.ref.name"] == tag).unwrap();
        json!({"mediaType": found["mediaType"], "digest": found["digest"], "size": found["size"], "platform": platform})
    };
    let host = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let manifests = [
        tagged("image", json!({"os": "linux", "architecture": host})),
        tagged("other", json!({"os": "linux", "architecture": "s390x"})),
    ];
    let kind = "application/vnd.oci.image.index.v1+json";
    let both = json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests});
    let mut entry = put(&layout, &both, kind);
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "all"});
    let top = json!({"schemaVersion": 2, "manifests": [entry]});
    std::fs::write(layout.join("index.json"), top.to_string()).unwrap();
    layout
}

#[test]
fn a_layer_may_stand_there_twice() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let layout = layout_with_label(&place.dir, "twice");
        let index = read(&layout.join("index.json"));
        let manifest = index["manifests"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:");
        let mut manifest = read(&layout.join("blobs/sha256").join(manifest));
        let config = manifest["config"]["digest"].as_str().unwrap().trim_start_matches("sha256:");
        let mut config = read(&layout.join("blobs/sha256").join(config));
        let (layer, diff) = (manifest["layers"][0].clone(), config["rootfs"]["diff_ids"][0].clone());
        manifest["layers"].as_array_mut().unwrap().push(layer);
        config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(diff);
        manifest["config"] = put(&layout, &config, "application/vnd.oci.image.config.v1+json");
        let mut entry = put(&layout, &manifest, "application/vnd.oci.image.manifest.v1+json");
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": "image"});
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
        let name = registry.push(&format!("oci:{}:image", layout.display()), "twice:1", &[]);
        let store = place.open().await;
        drop(pull(&store, &name).await.unwrap());
        assert!(ask(&store, Verify { reference: None }).await.unwrap()[0].faults.is_empty());
        assert_eq!(place.holds().await, (1, 1, 3));
    });
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn sha256(text: &str) -> String {
    let sum = Command::new("sh").args(["-c", "printf %s \"$0\" | sha256sum | cut -d' ' -f1", text]).output().unwrap();
    String::from_utf8(sum.stdout).unwrap().trim().to_owned()
}

/// Adds a document to a layout's blobs; gives its descriptor.
fn put(layout: &Path, document: &Value, kind: &str) -> Value {
    let text = document.to_string();
    let sum = sha256(&text);
    std::fs::write(layout.join("blobs/sha256").join(&sum), &text).unwrap();
    json!({"mediaType": kind, "digest": format!("sha256:{sum}"), "size": text.len()})
}
