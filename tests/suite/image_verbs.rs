//! The verbs that look after images, and those that measure: through the daemon, with a real registry, skopeo and `du`.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::conn::{Conn, Reply};
use super::harness::{Daemon, Setup};
use super::registry::{Registry, busybox_layout};
use super::shell;

/// What the refusal of a request says, which must have that code.
#[track_caller]
fn refusal(daemon: &Daemon, line: &str, code: &str) -> String {
    let reply = daemon.conn().request(line);
    assert_eq!((reply.end.head.as_str(), reply.code().as_str()), ("ERR", code), "{line}\n{reply:?}");
    reply.end.text()
}

/// The image store's directory.
fn store(daemon: &Daemon) -> PathBuf {
    daemon.place().root().join("images")
}

/// What `du` says that a directory takes, in bytes.
fn du(dir: &Path) -> u64 {
    let told = shell::sh(&format!("du -sx --block-size=1 {}", dir.display())).succeeds();
    told.split_whitespace().next().unwrap().parse().unwrap()
}

/// The rows of `df` by kind: how many, and bytes.
fn df(reply: &Reply) -> BTreeMap<String, (u64, u64)> {
    let number = |text: &String| text.parse::<u64>().unwrap();
    let columns = reply.column("kind").into_iter().zip(reply.column("count")).zip(reply.column("size"));
    columns.map(|((kind, count), size)| (kind, (number(&count), number(&size)))).collect()
}

fn copy(from: &str, to: &str) {
    shell::finish(shell::command("skopeo").args(["copy", "--quiet", from, to])).succeeds();
}

#[test]
fn an_image_is_had_by_its_digest() {
    let registry = Registry::start();
    registry.push_busybox("web/httpd:1");
    let daemon = Daemon::start();
    let digest = daemon.ok(&format!("image pull {}/web/httpd:1 tls-verify=no", registry.address())).get("digest");
    let by_digest = format!("{}/web/httpd@{digest}", registry.address());
    daemon.ok(&format!("image rm {}/web/httpd:1", registry.address()));
    assert_eq!(refusal(&daemon, &format!("run {by_digest} pull=never"), "not-found").matches(&digest).count(), 1);

    let pulled = daemon.ok(&format!("image pull {by_digest} tls-verify=no"));
    assert_eq!((pulled.get("name"), pulled.get("digest")), (by_digest.clone(), digest.clone()));
    let run = daemon.ok(&format!("run {by_digest} -- sleep 1000"));
    let hex = digest.strip_prefix("sha256:").unwrap();
    assert_eq!(run.get("name"), format!("httpd:{}", &hex[..12]));
    assert_eq!(daemon.ok("ps").column("image"), [by_digest.as_str()]);
    daemon.ok(&format!("rm httpd:{} force=yes", &hex[..12]));

    // A tag beside it stands for the same, and is found by the digest when the name with the digest is gone.
    let tagged = format!("{}/web/httpd:mine", registry.address());
    assert_eq!(daemon.ok(&format!("image tag {by_digest} {tagged}")).get("digest"), digest);
    daemon.ok(&format!("image rm {by_digest}"));
    assert_eq!(daemon.ok(&format!("image inspect {by_digest}")).json()["name"], tagged);
    let wrong = format!("{}/web/httpd@sha256:{}", registry.address(), "0".repeat(64));
    refusal(&daemon, &format!("image pull {wrong} tls-verify=no"), "not-found");
    refusal(&daemon, &format!("image tag {tagged} box@{digest}"), "bad-value");
}

#[test]
fn a_tag_is_the_same_image() {
    let daemon = Daemon::start();
    let image = daemon.import_busybox();
    let listed = daemon.ok("image ls");
    let tagged = daemon.ok(&format!("image tag {image} team/box:2"));
    assert_eq!(tagged.get("name"), "localhost/team/box:2");
    assert_eq!([tagged.get("digest")].as_slice(), listed.column("digest"));
    assert_eq!([tagged.get("size")].as_slice(), listed.column("size"));
    let document = daemon.ok("image inspect team/box:2").json();
    assert_eq!(document["names"], serde_json::json!(["localhost/busybox:latest", "localhost/team/box:2"]));
    assert_eq!(df(&daemon.ok("df"))["trees"].0, 1, "one tree for both");
    daemon.ok("image rm busybox");
    let ran = daemon.ok("run team/box:2 attach=yes rm=yes -- echo still");
    assert_eq!(ran.logs(), ["stdout still"]);
    refusal(&daemon, "image tag nothing box:3", "not-found");
    refusal(&daemon, "image inspect busybox", "not-found");
}

#[test]
fn what_is_in_use_stays_and_says_whose() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("create busybox name=job -- true");
    let told = refusal(&daemon, "image rm busybox", "in-use");
    assert!(told.contains("remove the container first") && told.contains("job:latest"), "{told}");
    let digest = daemon.ok("image ls").column("digest").remove(0);
    let told = refusal(&daemon, &format!("image rm busybox@{digest}"), "in-use");
    assert!(told.contains("job:latest"), "{told}");

    // Another name of it may go, and the used one may be given to another image: the container keeps what it has.
    daemon.ok("image tag busybox box:2");
    daemon.ok("image rm box:2");
    let empty = daemon.place().dir().join("empty");
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(empty.join("other"), "").unwrap();
    daemon.ok(&format!("image import {} busybox", empty.display()));
    assert_eq!(daemon.ok("image prune all=yes").column("name"), Vec::<String>::new());
    daemon.ok("start job");
    assert_eq!(daemon.ok("wait job").get("exit"), "0");
    // The name is free of its container as soon as that is gone, however long its files take.
    let mut conn = daemon.conn();
    conn.ok("rm job");
    conn.ok("image rm busybox");
    assert_eq!(conn.ok("image ls").lines.len(), 0);
}

#[test]
fn what_is_saved_is_loaded_again_and_read_by_others() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let digest = daemon.ok("image ls").column("digest").remove(0);
    let archive = daemon.place().dir().join("box.tar");
    let path = archive.display();
    daemon.ok(&format!("image save busybox {path}"));
    let inspected = shell::sh(&format!("skopeo inspect oci-archive:{path}")).succeeds();
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["Digest"], digest);
    daemon.ok(&format!("image save busybox {path}"));

    daemon.ok("image rm busybox");
    let loaded = daemon.ok(&format!("image load {path}"));
    assert_eq!(loaded.get("count"), "1");
    assert_eq!(
        (loaded.column("name"), loaded.column("digest")),
        (vec!["localhost/busybox:latest".into()], vec![digest])
    );
    let ran = daemon.ok("run busybox attach=yes rm=yes -- echo loaded");
    assert_eq!(ran.logs(), ["stdout loaded"]);
    refusal(&daemon, &format!("image save nothing {path}"), "not-found");
    refusal(&daemon, &format!("image save busybox {}/none/x.tar", daemon.place().dir().display()), "not-found");
    refusal(&daemon, "image save busybox x.tar", "bad-value");
    for path in ["x.tar", "oci:x"] {
        refusal(&daemon, &format!("image load {path}"), "bad-value");
    }
}

#[test]
fn archives_of_other_tools_are_loaded() {
    let daemon = Daemon::start();
    let (dir, layout) = (daemon.place().dir(), format!("oci:{}:image", busybox_layout().display()));
    let docker = dir.join("docker.tar");
    copy(&layout, &format!("docker-archive:{}:r.example/web/httpd:2", docker.display()));
    let loaded = daemon.ok(&format!("image load {}", docker.display()));
    assert_eq!(loaded.column("name"), ["r.example/web/httpd:2"]);
    let loaded = daemon.ok(&format!("image load {layout}"));
    assert_eq!(loaded.column("name"), ["localhost/busybox-1:image"]);
    let document = daemon.ok("image inspect r.example/web/httpd:2").json();
    assert_eq!(document["config"]["Cmd"], serde_json::json!(["/bin/httpd", "-f", "-h", "/www"]));
    for image in ["r.example/web/httpd:2", "busybox-1:image"] {
        let ran = daemon.ok(&format!("run {image} attach=yes rm=yes -- echo runs"));
        assert_eq!(ran.logs(), ["stdout runs"], "{image}");
    }
    refusal(&daemon, &format!("image load {}/none.tar", dir.display()), "not-found");
    // One archive with two names, each of which becomes an image's.
    let both = format!("docker-archive:{}:r.example/one:1", dir.join("both.tar").display());
    let more = ["copy", "--quiet", "--additional-tag", "r.example/two:2", &layout, &both];
    shell::finish(shell::command("skopeo").args(more)).succeeds();
    let loaded = daemon.ok(&format!("image load {}/both.tar", dir.display()));
    assert_eq!(
        (loaded.get("count").as_str(), loaded.column("name")),
        ("2", vec!["r.example/one:1".to_owned(), "r.example/two:2".to_owned()])
    );
    std::fs::write(dir.join("noise"), [7; 4096]).unwrap();
    refusal(&daemon, &format!("image load {}/noise", dir.display()), "bad-value");
    assert_eq!(daemon.ok("image ls").lines.len(), 4);
}

#[test]
fn a_prune_tells_what_it_freed() {
    let registry = Registry::start();
    let one = registry.push_busybox("one:1");
    let daemon = Daemon::start();
    daemon.ok(&format!("image pull {one} tls-verify=no"));
    daemon.import_busybox();
    daemon.ok("create busybox name=job -- true");
    assert_eq!(daemon.ok("image prune").get("count"), "0");
    assert_eq!(daemon.ok("image prune unused=1h").get("count"), "0");
    refusal(&daemon, "image prune unused=soon", "bad-value");

    let taken = || du(&store(&daemon).join("blobs")) + du(&store(&daemon).join("rootfs"));
    let before = taken();
    let pruned = daemon.ok("image prune all=yes");
    assert_eq!((pruned.get("count"), pruned.column("name")), ("1".to_owned(), vec![one]));
    let size: u64 = pruned.get("size").parse().unwrap();
    assert_eq!(size, before - taken());
    assert!(size > 1_000_000, "a busybox and its layer: {size}");
    assert_eq!(daemon.ok("image ls").column("name"), ["localhost/busybox:latest"]);
    // What was taken out of the store is deleted in the end.
    shell::until(shell::patience(60), "no work is left", || df(&daemon.ok("df"))["work"].0 == 0);
}

#[test]
fn verify_finds_what_was_tampered_with() {
    let registry = Registry::start();
    let pulled = registry.push_busybox("httpd:1");
    let daemon = Daemon::start();
    daemon.ok(&format!("image pull {pulled} tls-verify=no"));
    daemon.import_busybox();
    let clean = daemon.ok("image verify");
    assert_eq!((clean.get("failed"), clean.column("ok")), ("0".to_owned(), vec!["yes".to_owned(); 2]));
    assert_eq!(clean.column("name"), [pulled.as_str(), "localhost/busybox:latest"]);

    let rootfs = daemon.ok("image inspect busybox").json()["rootfs"].as_str().unwrap().to_owned();
    std::fs::write(Path::new(&rootfs).join("etc/planted"), "x").unwrap();
    let found = daemon.ok("image verify");
    assert_eq!((found.get("failed"), found.column("ok")), ("1".to_owned(), vec!["yes".into(), "no".into()]));
    assert!(found.column("detail")[1].starts_with("/etc/planted: surplus; "), "{found:?}");

    let layer = daemon.ok(&format!("image inspect {pulled}")).json()["layers"][0].as_str().unwrap().to_owned();
    let blob = store(&daemon).join("blobs/sha256").join(layer.strip_prefix("sha256:").unwrap());
    let mut bytes = std::fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let found = daemon.ok(&format!("image verify {pulled}"));
    assert_eq!(found.get("failed"), "1");
    assert!(found.column("detail")[0].starts_with(&format!("blob {layer} is ")), "{found:?}");
    refusal(&daemon, "image verify nothing", "not-found");
    let client = daemon.client(&["image", "verify"]);
    assert_eq!(client.status.code(), Some(1), "{client:?}");
}

#[test]
fn df_tells_what_du_does() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok(
        "run busybox name=job attach=yes volume=data:/data -- sh -c 'dd if=/dev/zero of=/big bs=1k count=700 2>/dev/null; cp /big /data; echo done'",
    );
    let up = daemon.ok("run busybox name=up -- sleep 1000").get("id");
    let reply = daemon.ok("df");
    let told = df(&reply);
    let root = daemon.place().root();
    assert_eq!(told["blobs"].1, du(&root.join("images/blobs/sha256")));
    assert_eq!(told["trees"], (1, du(&root.join("images/rootfs"))));
    assert_eq!(told["names"], (1, du(&root.join("images/names"))));
    assert_eq!(told["volumes"], (1, du(&root.join("volumes"))));
    assert!(told["volumes"].1 >= 700 << 10);
    // A layer and a log for each. The overlay that is mounted in the daemon's namespace is not its own, and hides the
    // directory on which it is mounted.
    let hidden = du(&root.join("containers").join(up).join("rootfs"));
    let entries = || std::fs::read_dir(root.join("containers")).unwrap().map(|entry| entry.unwrap().path());
    let log = |dir: &Path| dir.join("log").metadata().map_or(0, |file| file.blocks() * 512);
    let logs: u64 = entries().map(|dir| log(&dir)).sum();
    let all: u64 = entries().map(|dir| du(&dir)).sum();
    assert_eq!((told["containers"], told["logs"].1), ((2, all - logs - hidden), logs));
    assert!(told["containers"].1 >= 700 << 10 && logs > 0);
    assert_eq!(reply.get("size").parse::<u64>().unwrap(), told.values().map(|(_, size)| size).sum::<u64>());
    let client = daemon.client(&["df"]).succeeds();
    assert!(client.starts_with("KIND         COUNT   SIZE\nnames        1       "), "{client}");
    daemon.ok("rm up force=yes");
}

#[test]
fn the_read_only_socket_measures_and_shows_no_path() {
    let dir = tempdir("ro");
    let socket = dir.join("ro.sock");
    let flags = vec!["--ro-socket".to_owned(), socket.display().to_string()];
    let daemon = Setup { flags, ..Setup::default() }.start();
    daemon.import_busybox();
    let mut conn = Conn::open(&socket).unwrap();
    for line in ["df", "metrics", "image ls"] {
        let text = format!("{:?}", conn.ok(line));
        assert!(!text.contains(&*daemon.place().dir().to_string_lossy()), "{line}: {text}");
    }
    for line in [
        "image inspect busybox",
        "image verify",
        "image save busybox /x",
        "image load /x",
        "image tag busybox b",
        "image prune",
    ] {
        assert_eq!(conn.refused(line), "denied", "{line}");
    }
    drop((conn, daemon));
    std::fs::remove_dir_all(dir).unwrap();
}

fn tempdir(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("gantry-verbs-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// Samples by name and labels, as a strict reader of the text format finds them.
fn scrape(daemon: &Daemon) -> BTreeMap<String, f64> {
    let reply = daemon.ok("metrics");
    let (mut helped, mut typed, mut samples) = (Vec::new(), String::new(), BTreeMap::new());
    for line in &reply.lines {
        assert_eq!(line.head, "TEXT");
        let line = line.text();
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a name and a help text");
            assert!(!helped.contains(&name.to_owned()) && !help.is_empty(), "{line}");
            helped.push(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a kind");
            assert_eq!(helped.last().map(String::as_str), Some(name), "HELP stands before TYPE");
            assert!(matches!(kind, "counter" | "gauge") && (kind == "counter") == name.ends_with("_total"), "{line}");
            typed = name.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            let (name, labels) = series.split_once('{').map_or((series, ""), |(name, labels)| (name, labels));
            assert_eq!(name, typed, "samples stand behind their TYPE");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
            assert!(labels.is_empty() || (labels.ends_with("\"}") && labels.contains("=\"")), "{line}");
            assert!(samples.insert(series.to_owned(), value.parse().expect("a number")).is_none(), "twice: {line}");
        }
    }
    samples
}

#[test]
fn metrics_read_as_prometheus_reads_them() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let before = scrape(&daemon);
    assert_eq!((before["gantry_images"], before["gantry_containers{state=\"running\"}"]), (1.0, 0.0));
    assert!(!before.keys().any(|series| series.starts_with("gantry_container_")), "{before:#?}");
    daemon.ok("run busybox name=web:1 memory=64m health-cmd=true health-interval=100ms -- sleep 1000");
    let healthy = || daemon.ok("ps name=web:1").column("health") == ["healthy"];
    super::shell::until(super::shell::patience(60), "it is healthy", healthy);
    daemon.ok("run busybox name=job attach=yes -- true");
    let of = |samples: &BTreeMap<String, f64>, metric: &str, name: &str| {
        samples.get(&format!("gantry_container_{metric}{{name=\"{name}\"}}")).copied()
    };
    // Now and then a check of its health runs beside its own process.
    let mut after = BTreeMap::new();
    super::shell::until(super::shell::patience(60), "it has one process", || {
        after = scrape(&daemon);
        of(&after, "pids", "web:1") == Some(1.0)
    });
    let of = |metric: &str, name: &str| of(&after, metric, name);
    assert_eq!(after["gantry_containers{state=\"running\"}"], 1.0);
    assert_eq!(after["gantry_containers{state=\"exited\"}"], 1.0);
    assert_eq!((of("up", "web:1"), of("up", "job:latest")), (Some(1.0), Some(0.0)));
    assert_eq!(of("pids", "job:latest"), None);
    assert_eq!((of("healthy", "web:1"), of("healthy", "job:latest")), (Some(1.0), None));
    assert_eq!(of("memory_limit_bytes", "web:1"), Some(f64::from(64 << 20)));
    assert_eq!(of("oom_killed", "web:1"), Some(0.0));
    assert!(of("cpu_seconds_total", "web:1") > Some(0.0) && of("memory_bytes", "web:1").is_some());
    assert!(of("network_receive_bytes_total", "web:1").is_some());
    assert!(after["gantry_events_total"] >= before["gantry_events_total"] + 4.0);
    assert_eq!(after["process_start_time_seconds"], before["process_start_time_seconds"]);
    assert!(after["process_resident_memory_bytes"] > 1e6 && after["process_open_fds"] > 5.0);
    assert!(after.contains_key(&format!("gantry_info{{version=\"0.1.0\",bridge=\"{}\"}}", daemon.place().bridge())));
    daemon.ok("rm web:1 force=yes");
}

#[test]
fn leaving_gives_up_a_pull() {
    // It takes the connection and never answers.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut daemon = Daemon::start();
    let mut conn = daemon.conn();
    conn.send(&format!("image pull {}/box:1 tls-verify=no", deaf.local_addr().unwrap()));
    let asked = deaf.accept().unwrap();
    assert!(daemon.term().success());
    assert_eq!(conn.reply().code(), "shutting-down");
    drop(asked);
}

#[test]
fn the_client_speaks_of_images_as_docker_does() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let ok = |words: &[&str]| daemon.client(words).succeeds();
    let archive = daemon.place().dir().join("box.tar").display().to_string();
    assert_eq!(ok(&["tag", "busybox", "box:2"]), "");
    assert_eq!(ok(&["save", "-o", &archive, "box:2"]), "");
    assert_eq!(ok(&["rmi", "box:2"]), "box:2\n");
    assert_eq!(ok(&["load", "-i", &archive]), "Loaded image: localhost/box:2\n");
    assert!(ok(&["image", "inspect", "box:2"]).starts_with("[\n  {\n"));
    assert!(
        ok(&["image", "verify", "box:2"])
            .starts_with("NAME              OK    DETAIL\nlocalhost/box:2   yes   sha256:")
    );
    let pruned = ok(&["image", "prune", "-a"]);
    assert!(pruned.starts_with("NAME\nlocalhost/box:2\nlocalhost/busybox:latest\ncount: 2\nsize: "), "{pruned}");
}
