//! The image store on the real tools and a real registry: pulls, imports, names, removal, and what each leaves behind.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs of its own, and fails by panic"
)]

mod manage;

use std::future::Future;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix::Addr;
use gantry::config::Config;
use gantry::events::{Bus, Kind};
use gantry::id::ImageRef;
use gantry::images::{Image, ImageStore, Import, ImportConfig, List, PullOptions, PullPolicy, Remove, ask, ensure};
use gantry::refusal::{Code, Refusal};
use gantry::tools::Tools;
use tokio::sync::mpsc;

use crate::registry::{Registry, make_busybox_tree, run};

/// A directory of one test's own, with a store in it.
struct Place {
    dir: PathBuf,
    tools: Tools,
    bus: Bus,
}

impl Place {
    fn new() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("gantry-images-{}-{serial}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self { dir, tools: Tools::default(), bus: Bus::default() }
    }

    /// One whose tools are the real ones, but `name`, which is `script`. `$REAL` is the real one, `$LOG` a file.
    fn with_tool(name: &str, script: &str) -> Self {
        let mut place = Self::new();
        let tools = place.dir.join("tools");
        std::fs::create_dir(&tools).unwrap();
        for tool in ["skopeo", "umoci"].iter().filter(|tool| **tool != name) {
            symlink(format!("/usr/bin/{tool}"), tools.join(tool)).unwrap();
        }
        let head = format!("#!/bin/sh\nREAL=/usr/bin/{name} LOG={}\n", place.dir.join("log").display());
        std::fs::write(tools.join(name), head + script).unwrap();
        std::fs::set_permissions(tools.join(name), PermissionsExt::from_mode(0o755)).unwrap();
        place.tools = Tools::new(Some(tools));
        place
    }

    async fn open(&self) -> Addr<ImageStore> {
        ImageStore::start(&self.config(), &self.tools, self.bus.clone()).await.unwrap()
    }

    fn config(&self) -> Config {
        Config {
            socket: self.dir.join("socket"),
            ro_socket: None,
            root: self.dir.join("root"),
            run: self.dir.join("run"),
            bridge: "none".to_owned(),
            subnet: None,
            tools: None,
            stop_timeout: Duration::ZERO,
            check: false,
        }
    }

    fn count(&self, what: &str) -> usize {
        std::fs::read_dir(self.dir.join("root/images").join(what)).unwrap().count()
    }

    /// How many names, trees and blobs the store holds, once it has no work left over.
    async fn holds(&self) -> (usize, usize, usize) {
        until("tmp/ is empty", || self.count("tmp") == 0).await;
        (self.count("names"), self.count("rootfs"), self.count("blobs/sha256"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Waits for what happens beside us, and fails when it does not.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn on_actix(test: impl Future<Output = ()>) {
    actix_rt::System::new().block_on(test);
}

fn reference(text: &str) -> ImageRef {
    text.parse().unwrap()
}

fn plain_http() -> PullOptions {
    PullOptions { tls_verify: Some(false), ..PullOptions::default() }
}

async fn pull(store: &Addr<ImageStore>, name: &str) -> Result<Arc<Image>, Refusal> {
    ensure(store, reference(name), PullPolicy::Missing, plain_http(), None).await
}

async fn remove(store: &Addr<ImageStore>, name: &str) -> Result<String, Refusal> {
    ask(store, Remove { reference: reference(name) }).await.map(|name| name.to_string())
}

fn code<T>(result: Result<T, Refusal>) -> Code {
    result.err().expect("a refusal").code()
}

#[test]
fn what_was_pulled_needs_no_registry_any_more() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let name = registry.push_busybox("web/httpd:1");
        let store = place.open().await;
        let (listener, mut heard) = mpsc::channel(64);
        let options = plain_http();
        let pulled = ensure(&store, reference(&name), PullPolicy::Missing, options, Some(listener)).await.unwrap();
        let stages: Vec<_> = std::iter::from_fn(|| heard.try_recv().ok()).collect();
        assert!(stages.iter().any(|progress| progress.stage == "fetch" && progress.total == pulled.size));
        assert_eq!(pulled.name.to_string(), name);
        assert_eq!(pulled.config.cmd, ["/bin/httpd", "-f", "-h", "/www"]);
        assert_eq!(
            (pulled.config.exposed_ports.as_slice(), pulled.config.env.as_slice()),
            (&["80/tcp".to_owned()][..], &["PATH=/bin".to_owned()][..])
        );
        assert_eq!(pulled.config.labels["made.by"], "gantry-suite");
        assert_eq!(std::fs::read_to_string(pulled.rootfs.join("www/index.html")).unwrap(), "It works\n");
        assert_eq!(pulled.rootfs.metadata().unwrap().mode() & 0o7777, 0o755);
        drop(registry);

        let again = pull(&store, &name).await.unwrap();
        assert!(Arc::ptr_eq(&pulled, &again));
        let by_digest = format!("{}@{}", name.trim_end_matches(":1"), pulled.digest);
        assert!(Arc::ptr_eq(&pulled, &pull(&store, &by_digest).await.unwrap()));
        let reopened = place.open().await;
        let found = ensure(&reopened, reference(&name), PullPolicy::Never, PullOptions::default(), None).await.unwrap();
        assert_eq!((&found.digest, &found.config), (&pulled.digest, &pulled.config));
        assert_eq!(place.holds().await, (1, 1, 3));
        let (events, _) = place.bus.subscribe(Some(std::time::UNIX_EPOCH));
        assert!(events.iter().any(|event| (event.kind, event.action) == (Kind::Image, "pull") && event.name == name));
    });
}

#[test]
fn ten_askers_are_one_pull() {
    on_actix(async {
        let place = Place::with_tool("skopeo", "echo \"$1\" >>$LOG\nexec $REAL \"$@\"\n");
        let registry = Registry::start();
        let name = registry.push_busybox("httpd:1");
        let store = place.open().await;
        let askers = futures::future::join_all((0..10).map(|_| pull(&store, &name))).await;
        assert!(askers.iter().all(Result::is_ok));
        assert_eq!(place.log().lines().filter(|verb| *verb == "copy").count(), 1);
        assert_eq!(place.holds().await, (1, 1, 3));
    });
}

#[test]
fn a_pull_that_nobody_waits_for_is_given_up() {
    on_actix(async {
        let script = "[ $1 = copy ] || exec $REAL \"$@\"\necho $$ >>$LOG\nexec sleep 1000\n";
        let place = Place::with_tool("skopeo", script);
        let registry = Registry::start();
        let name = registry.push_busybox("httpd:1");
        let store = place.open().await;
        let first = actix_rt::spawn({
            let (store, name) = (store.clone(), name.clone());
            async move { pull(&store, &name).await.map(drop) }
        });
        until("the copy runs", || !place.log().is_empty()).await;
        let second = actix_rt::spawn({
            let (store, name) = (store.clone(), name.clone());
            async move { pull(&store, &name).await.map(drop) }
        });
        let pid: i32 = place.log().trim().parse().unwrap();
        let alive = || Path::new(&format!("/proc/{pid}")).exists();
        tokio::task::yield_now().await;
        first.abort();
        // A message that goes the same way: the store has heard of both by then.
        store.send(List).await.unwrap();
        assert!(alive() && place.count("tmp") == 1, "the second asker still waits");
        second.abort();
        until("skopeo is gone", || !alive()).await;
        assert_eq!(place.holds().await, (0, 0, 0));
    });
}

#[test]
fn what_cannot_be_pulled_is_refused_with_its_code() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let address = registry.address().to_owned();
        let name = registry.push_busybox("httpd:1");
        let store = place.open().await;
        assert_eq!(code(pull(&store, &format!("{address}/nothing:1")).await), Code::NotFound);
        assert_eq!(code(pull(&store, &format!("{address}/httpd:2")).await), Code::NotFound);
        assert_eq!(code(pull(&store, "localhost/made-here").await), Code::NotFound);
        let never = ensure(&store, reference(&name), PullPolicy::Never, plain_http(), None).await;
        assert_eq!(code(never), Code::NotFound);

        let https = ensure(&store, reference(&name), PullPolicy::Missing, PullOptions::default(), None).await;
        let https = https.unwrap_err();
        assert_eq!(https.code(), Code::ToolFailed);
        assert!(https.message().contains("add tls-verify=no"), "{https}");

        let other = PullOptions { platform: Some("linux/s390x".to_owned()), ..plain_http() };
        let other = ensure(&store, reference(&name), PullPolicy::Missing, other, None).await.unwrap_err();
        assert_eq!((other.code(), other.message().contains("there is linux/")), (Code::NotFound, true));

        let authfile = PullOptions { authfile: Some("/nonexistent/auth.json".into()), ..plain_http() };
        assert_eq!(code(ensure(&store, reference(&name), PullPolicy::Missing, authfile, None).await), Code::NotFound);

        drop(registry);
        let dead = pull(&store, &name).await.unwrap_err();
        assert_eq!(dead.code(), Code::ToolFailed);
        assert!(dead.message().contains("connection refused"), "{dead}");
        assert_eq!(place.holds().await, (0, 0, 0));

        let mut none = Place::new();
        none.tools = Tools::new(Some("/nonexistent".into()));
        let missing = pull(&none.open().await, &name).await.unwrap_err();
        assert!(missing.code() == Code::ToolFailed && missing.message().contains("install the package skopeo"));
    });
}

#[test]
fn what_fails_midway_leaves_the_store_as_it_was() {
    on_actix(async {
        let registry = Registry::start();
        let name = registry.push_busybox("httpd:1");
        for (tool, script, expected) in [
            ("umoci", "echo '   ⨯ create rootfs: write: no space left on device' >&2\nexit 1\n", Code::NoSpace),
            ("umoci", "echo '   ⨯ unpack layer: verified reader digest mismatch' >&2\nexit 1\n", Code::ToolFailed),
            (
                "skopeo",
                "[ $1 = copy ] || exec $REAL \"$@\"\n$REAL \"$@\"\necho 'level=fatal msg=\"i/o timeout\"' >&2\nexit 1\n",
                Code::Timeout,
            ),
        ] {
            let place = Place::with_tool(tool, script);
            let store = place.open().await;
            assert_eq!(code(pull(&store, &name).await), expected, "{tool} {script}");
            assert_eq!(place.holds().await, (0, 0, 0));
        }
    });
}

#[test]
fn what_a_dead_run_left_is_swept() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let name = registry.push_busybox("httpd:1");
        let kept = pull(&place.open().await, &name).await.unwrap();
        let images = place.dir.join("root/images");
        std::fs::create_dir_all(images.join("tmp/pull-7/layout/blobs/sha256")).unwrap();
        std::fs::write(images.join("tmp/pull-7/layout/oci-put-blob1"), "half").unwrap();
        std::fs::create_dir_all(images.join("rootfs").join("0".repeat(64)).join("etc")).unwrap();
        std::fs::write(images.join("blobs/sha256").join("1".repeat(64)), "nobody's").unwrap();
        std::fs::write(images.join("names/torn.json"), "{\"name\":").unwrap();
        let store = place.open().await;
        assert_eq!(place.holds().await, (1, 1, 3));
        assert!(kept.rootfs.join("bin/busybox").exists());

        // A name whose tree is gone is no image: it is fetched again.
        std::fs::remove_dir_all(&kept.rootfs).unwrap();
        drop((store, kept));
        let store = place.open().await;
        assert_eq!(place.holds().await, (0, 0, 0));
        assert!(pull(&store, &name).await.unwrap().rootfs.join("bin/busybox").exists());
        assert_eq!(place.holds().await, (1, 1, 3));
    });
}

#[test]
fn a_damaged_blob_is_fetched_anew() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let first = registry.push_busybox("httpd:1");
        let store = place.open().await;
        let image = pull(&store, &first).await.unwrap();
        // Another image on the same layer, and that layer damaged in place.
        let other = layout_with_label(&place.dir, "other");
        let second = registry.push(&format!("oci:{}:image", other.display()), "other:1", &[]);
        let largest = std::fs::read_dir(place.dir.join("root/images/blobs/sha256")).unwrap().map(|e| e.unwrap().path());
        let layer = largest.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
        let mut bytes = std::fs::read(&layer).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0);
        std::fs::write(&layer, bytes).unwrap();
        let other = pull(&store, &second).await.unwrap();
        assert!(other.rootfs.join("bin/busybox").exists() && other.rootfs != image.rootfs);
        assert_eq!(place.holds().await, (2, 2, 5), "the layer is shared");
    });
}

/// The busybox image with one label more.
fn layout_with_label(dir: &Path, label: &str) -> PathBuf {
    let layout = dir.join(format!("layout-{label}"));
    run(Command::new("cp").arg("-r").arg(crate::registry::busybox_layout()).arg(&layout));
    let image = format!("{}:image", layout.display());
    run(Command::new("umoci").args(["config", "--image", &image, &format!("--config.label=l={label}")]));
    layout
}

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
        run(Command::new("mkfifo").arg(place.dir.join("fifo")));
        for (path, name, expected) in [
            (place.dir.join("noise"), "x", Code::BadValue),
            (place.dir.join("fifo"), "x", Code::BadValue),
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

#[test]
fn an_image_in_use_stays() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let (one, two) = (registry.push_busybox("httpd:1"), registry.push_busybox("httpd:2"));
        let store = place.open().await;
        let held = pull(&store, &one).await.unwrap();
        let twin = pull(&store, &two).await.unwrap();
        assert_eq!((&held.rootfs, &held.digest), (&twin.rootfs, &twin.digest));
        assert_eq!(place.holds().await, (2, 1, 3), "two names share one tree");
        drop(twin);

        let refusal = remove(&store, &one).await.unwrap_err();
        assert!(refusal.code() == Code::InUse && refusal.message().contains("remove the container"), "{refusal}");
        remove(&store, &two).await.unwrap();
        assert_eq!(place.holds().await, (1, 1, 3));
        drop(held);
        remove(&store, &one).await.unwrap();
        assert_eq!(code(remove(&store, &one).await), Code::NotFound);
        assert_eq!(place.holds().await, (0, 0, 0));
        assert!(store.send(List).await.unwrap().is_empty());
    });
}

#[test]
fn a_tag_that_moves_leaves_the_image_that_is_held() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let name = registry.push_busybox("httpd:1");
        let store = place.open().await;
        let before = pull(&store, &name).await.unwrap();
        let other = layout_with_label(&place.dir, "moved");
        registry.push(&format!("oci:{}:image", other.display()), "httpd:1", &[]);
        let after = ensure(&store, reference(&name), PullPolicy::Always, plain_http(), None).await.unwrap();
        assert_ne!(before.digest, after.digest);
        assert!(before.rootfs.join("bin/busybox").exists(), "a container of it still runs");
        assert_eq!(place.holds().await, (1, 2, 5));
        drop(before);
        until("the nameless image is gone", || place.count("rootfs") == 1).await;
        assert_eq!(place.holds().await, (1, 1, 3));
    });
}

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
        let reopened = place.open().await;
        assert!(pull(&reopened, &name).await.unwrap().config.healthcheck.is_some());
    });
}

/// Pushes the busybox image in Docker's schema 2 with a health check, shell and stop timeout, which no OCI tool writes.
fn push_docker_format(registry: &Registry, dir: &Path) -> String {
    let docker = dir.join("docker-format");
    let from = format!("oci:{}:image", crate::registry::busybox_layout().display());
    let to = format!("dir:{}", docker.display());
    run(Command::new("skopeo").args(["copy", "--quiet", "--format", "v2s2", &from, &to]));
    let manifest_file = docker.join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&manifest_file).unwrap()).unwrap();
    let digest = manifest["config"]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(docker.join(&digest)).unwrap()).unwrap();
    config["config"]["Healthcheck"] = serde_json::json!({"Test": ["CMD", "true"], "Interval": 1_000_000_000});
    config["config"]["Shell"] = serde_json::json!(["/bin/ash"]);
    config["config"]["StopTimeout"] = 3.into();
    let config = config.to_string();
    let sum =
        Command::new("sh").args(["-c", "printf %s \"$0\" | sha256sum | cut -d' ' -f1", &config]).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap().trim().to_owned();
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
    let read = |path: &Path| serde_json::from_slice::<serde_json::Value>(&std::fs::read(path).unwrap()).unwrap();
    let index = read(&layout.join("index.json"));
    let tagged = |tag: &str, platform: serde_json::Value| {
        let all = index["manifests"].as_array().unwrap();
        let found = all.iter().find(|m| m["annotations"]["org.opencontainers.image.ref.name"] == tag).unwrap();
        serde_json::json!({"mediaType": found["mediaType"], "digest": found["digest"], "size": found["size"], "platform": platform})
    };
    let host = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let manifests = [
        tagged("image", serde_json::json!({"os": "linux", "architecture": host})),
        tagged("other", serde_json::json!({"os": "linux", "architecture": "s390x"})),
    ];
    let kind = "application/vnd.oci.image.index.v1+json";
    let both = serde_json::json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}).to_string();
    let sum = Command::new("sh").args(["-c", "printf %s \"$0\" | sha256sum | cut -d' ' -f1", &both]).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap().trim().to_owned();
    std::fs::write(layout.join("blobs/sha256").join(&sum), &both).unwrap();
    let annotations = serde_json::json!({"org.opencontainers.image.ref.name": "all"});
    let entry = serde_json::json!({"mediaType": kind, "digest": format!("sha256:{sum}"), "size": both.len(), "annotations": annotations});
    let top = serde_json::json!({"schemaVersion": 2, "manifests": [entry]});
    std::fs::write(layout.join("index.json"), top.to_string()).unwrap();
    layout
}

#[test]
fn what_may_have_been_lost_with_the_power_is_given_up() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let name = registry.push_busybox("httpd:1");
        let store = place.open().await;
        drop(pull(&store, &name).await.unwrap());
        let file = std::fs::read_dir(place.dir.join("root/images/names")).unwrap().next().unwrap().unwrap().path();
        let record = || std::fs::read_to_string(&file).unwrap();
        until("it is known to be on the disk", || !record().contains("\"boot\"")).await;
        let settled = record();
        drop(store);
        std::fs::write(&file, settled.replace('}', ",\"boot\":\"another\"}")).unwrap();
        let store = place.open().await;
        assert_eq!(place.holds().await, (0, 0, 0));
        assert!(store.send(List).await.unwrap().is_empty());
    });
}

#[test]
fn who_may_not_is_denied_and_credentials_are_no_argument() {
    on_actix(async {
        let place = Place::with_tool("skopeo", "echo \"$@\" >>$LOG\nexec $REAL \"$@\"\n");
        // htpasswd of web:pass-w0rd
        let passwords = place.dir.join("htpasswd");
        std::fs::write(&passwords, "web:$2b$04$K5c9H1EWXrnCfnP3ObG25unoVfNzeid527FrxUN2.Cbb5ZPTUYkMW\n").unwrap();
        let auth = format!("auth: {{htpasswd: {{realm: suite, path: {}}}}}\n", passwords.display());
        let registry = Registry::start_with(&auth);
        let from = format!("oci:{}:image", crate::registry::busybox_layout().display());
        let name = registry.push(&from, "httpd:1", &["--dest-creds", "web:pass-w0rd"]);
        let store = place.open().await;
        assert_eq!(code(pull(&store, &name).await), Code::Denied);
        let authfile = place.dir.join("auth.json");
        let token = "d2ViOnBhc3MtdzByZA==";
        let auths = serde_json::json!({"auths": {registry.address(): {"auth": token}}});
        std::fs::write(&authfile, auths.to_string()).unwrap();
        let options = PullOptions { authfile: Some(authfile), ..plain_http() };
        let image = ensure(&store, reference(&name), PullPolicy::Missing, options, None).await.unwrap();
        assert!(image.rootfs.join("bin/busybox").exists());
        assert!(!place.log().contains("pass-w0rd") && !place.log().contains(token));
        assert_eq!(place.holds().await, (1, 1, 3));
    });
}
