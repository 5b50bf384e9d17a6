//! Pulls: one for all who ask, given up with the last of them, and nothing left where they fail.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gantry::events::Kind;
use gantry::images::{Close, Import, ImportConfig, List, PullOptions, PullPolicy, ask, ensure};
use gantry::refusal::Code;
use gantry::tools::Tools;
use tokio::sync::mpsc;

use super::craft::{Layer, Recipe};
use super::{Place, code, layout_with_label, on_actix, plain_http, pull, reference, until};
use crate::fake_registry::FakeRegistry;
use crate::registry::Registry;

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
        assert_eq!(place.dir.join("root/images").metadata().unwrap().mode() & 0o7777, 0o700);
        drop(registry);

        let again = pull(&store, &name).await.unwrap();
        assert!(Arc::ptr_eq(&pulled, &again));
        let by_digest = format!("{}@{}", name.trim_end_matches(":1"), pulled.digest);
        assert!(Arc::ptr_eq(&pulled, &pull(&store, &by_digest).await.unwrap()));
        let reopened = place.reopen(store).await;
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
        until("the copy runs", || place.log().ends_with('\n')).await;
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
fn a_store_that_is_closed_gives_its_pulls_up() {
    on_actix(async {
        let place = Place::with_tool("skopeo", "[ $1 = copy ] || exec $REAL \"$@\"\necho $$ >>$LOG\nexec sleep 1000\n");
        let registry = Registry::start();
        let name = registry.push_busybox("httpd:1");
        let store = place.open().await;
        let close = async {
            until("the copy runs", || place.log().ends_with('\n')).await;
            store.send(Close).await.unwrap();
        };
        let (pulled, ()) = futures::join!(pull(&store, &name), close);
        assert_eq!(code(pulled), Code::ShuttingDown);
        let pid = place.log();
        until("skopeo is gone", || !Path::new("/proc").join(pid.trim()).exists()).await;
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
        let store = place.open().await;
        let kept = pull(&store, &name).await.unwrap();
        let images = place.dir.join("root/images");
        std::fs::create_dir_all(images.join("tmp/pull-7/layout/blobs/sha256")).unwrap();
        std::fs::write(images.join("tmp/pull-7/layout/oci-put-blob1"), "half").unwrap();
        std::fs::create_dir_all(images.join("rootfs").join("0".repeat(64)).join("etc")).unwrap();
        std::fs::write(images.join("blobs/sha256").join("1".repeat(64)), "nobody's").unwrap();
        std::fs::write(images.join("names/torn.json"), "{\"name\":").unwrap();
        let store = place.reopen(store).await;
        assert_eq!(place.holds().await, (1, 1, 3));
        assert!(kept.rootfs.join("bin/busybox").exists());

        // A name whose tree is gone is no image: it is fetched again.
        std::fs::remove_dir_all(&kept.rootfs).unwrap();
        drop(kept);
        let store = place.reopen(store).await;
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

#[test]
fn an_image_asked_for_in_two_ways_is_fetched_once() {
    on_actix(async {
        let (place, registry) =
            (Place::with_tool("skopeo", "echo \"$1\" >>$LOG\nexec $REAL \"$@\"\n"), Registry::start());
        let name = registry.push_busybox("httpd:1");
        let store = place.open().await;
        let host = gantry::images::Platform::host().to_string();
        let said = PullOptions { platform: Some(host), ..plain_http() };
        let asked = |options| ensure(&store, reference(&name), PullPolicy::Missing, options, None);
        let (one, other) = futures::join!(asked(plain_http()), asked(said));
        assert_eq!(one.unwrap().rootfs, other.unwrap().rootfs);
        assert_eq!(place.log().lines().filter(|line| *line == "copy").count(), 1, "{}", place.log());
        assert_eq!(place.holds().await, (1, 1, 3));
    });
}

#[test]
fn slow_registries_hold_up_nothing_that_is_done_here() {
    on_actix(async {
        let place = Place::new();
        let asked = Arc::new(AtomicUsize::new(0));
        let slow = |n: u8| {
            let layer = Layer::new().file("f", &[n]).tar();
            let layout = Recipe::of(vec![layer]).layout(&place.dir.join(format!("layout-{n}")));
            let (go, wait) = std::sync::mpsc::channel::<()>();
            let (wait, asked) = (Mutex::new(wait), asked.clone());
            let registry = FakeRegistry::with(&layout, move |path| {
                if path.contains("/blobs/") {
                    asked.fetch_or(1 << n, Ordering::Relaxed);
                    // Nothing comes; it is over when the other end is gone.
                    let _ = wait.lock().unwrap().recv();
                }
                None
            });
            (registry, go)
        };
        let (registries, go): (Vec<_>, Vec<_>) = (0..3).map(slow).unzip();
        let store = place.open().await;
        let pulls = registries.iter().map(|registry| {
            let (store, name) = (store.clone(), format!("{}/slow:1", registry.address()));
            actix_rt::spawn(async move { pull(&store, &name).await.is_ok() })
        });
        let pulls: Vec<_> = pulls.collect();
        until("three pulls wait for a blob", || asked.load(Ordering::Relaxed) == 0b111).await;
        let tree = place.dir.join("tree");
        std::fs::create_dir(&tree).unwrap();
        let import = Import { path: tree, reference: reference("made"), config: ImportConfig::default() };
        let made = tokio::time::timeout(crate::shell::patience(60), ask(&store, import)).await;
        drop(go);
        assert!(made.expect("it waits for the registry").is_ok());
        for pulled in pulls {
            assert!(pulled.await.unwrap());
        }
        assert_eq!(place.holds().await, (4, 4, 12));
    });
}

#[test]
fn a_tool_that_crashed_is_begun_anew_on_nothing() {
    on_actix(async {
        let script = "for root; do :; done\nif [ ! -e $LOG ]; then\necho crashed >$LOG\nmkdir -p \"$root\"\n\
                      echo x >\"$root/stale\"\necho 'panic: as the test wants it' >&2\nexit 2\nfi\nexec $REAL \"$@\"\n";
        let (place, registry) = (Place::with_tool("umoci", script), Registry::start());
        let name = registry.push_busybox("httpd:1");
        let store = place.open().await;
        let image = pull(&store, &name).await.unwrap();
        assert!(image.rootfs.join("bin/busybox").exists() && place.log().contains("crashed"));
        assert!(!image.rootfs.join("stale").exists(), "it was unpacked over what was there");
        assert_eq!(place.holds().await, (1, 1, 3));
    });
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
        store.send(Close).await.unwrap();
        until("the store is closed", || !store.holder().connected()).await;
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
