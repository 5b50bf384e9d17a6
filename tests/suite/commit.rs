//! Images made of containers.

use serde_json::json;

use super::harness::Daemon;

/// What a container of `image` prints.
#[track_caller]
fn printed(daemon: &Daemon, image: &str, script: &str) -> Vec<String> {
    let run = daemon.ok(&format!("run {image} name=reader attach=yes rm=yes entrypoint=\"\" -- sh -euc '{script}'"));
    assert_eq!(run.get("exit"), "0", "{run:?}");
    run.lines.iter().map(|line| line.text().trim_start_matches("stdout ").to_owned()).collect()
}

#[test]
fn an_image_has_what_its_container_had() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let script = "mkdir /new; echo one >/new/one; ln /new/one /new/two; ln -s one /new/link; mkfifo /new/fifo; \
        chown 12:34 /new/one; chmod 4750 /new/one; rm /www/index.html; rm /bin/zcat; mkdir /bin/zcat; rm -r /srv; echo file >/srv; \
        echo kept >/www/kept; printf x >/new/$(head -c 200 /dev/zero | tr \"\\0\" a)";
    let prepared = "run busybox name=before attach=yes -- sh -euc 'mkdir -p /srv/deep; touch /srv/deep/x; mkdir -p /old/a; touch /old/a/x /old/b'";
    assert_eq!(daemon.ok(prepared).get("exit"), "0");
    let first = daemon.ok("commit before made");
    assert_eq!(first.get("name"), "localhost/made:latest");
    daemon.ok("rm before");
    assert_eq!(
        daemon
            .ok(&format!("run made name=job attach=yes -- sh -euc '{script}; rm -r /old; mkdir /old; touch /old/new'"))
            .get("exit"),
        "0"
    );
    let reply = daemon.ok("commit job made:2");
    assert!(reply.get("digest").starts_with("sha256:"));
    daemon.ok("rm job");
    let seen = printed(
        &daemon,
        "made:2",
        "cat /new/two; stat -c \"%u:%g %a %h\" /new/one; readlink /new/link; test -p /new/fifo; ls /www; test -d /bin/zcat; cat /srv; ls -R /old; \
         ls /new | wc -l",
    );
    assert_eq!(seen, ["one", "12:34 4750 2", "one", "kept", "file", "/old:", "new", "5"]);
    // The image below is as it was.
    assert_eq!(
        printed(&daemon, "made", "ls /www /old; test -L /bin/zcat"),
        ["/old:", "a", "b", "", "/www:", "index.html"]
    );
    let images = daemon.ok("image verify");
    assert_eq!(images.get("failed"), "0", "{images:?}");
    assert_eq!(daemon.ok("image inspect made:2").json()["layers"].as_array().unwrap().len(), 3);
    for image in ["made:2", "made", "busybox"] {
        daemon.ok(&format!("image rm {image}"));
    }
    assert_eq!(
        daemon
            .ok("df")
            .lines
            .iter()
            .find(|row| row.get("kind").as_deref() == Some("blobs"))
            .unwrap()
            .get("count")
            .unwrap(),
        "0"
    );
}

#[test]
fn an_image_wants_to_be_run_as_its_container_was() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let options = "env=A=1 env=B=2 workdir=/www user=www label=who=me publish=0:80 volume=/cache stop-signal=INT entrypoint=\"sh -c\"";
    daemon.ok(&format!("create busybox name=job {options} -- 'echo $A $B $(pwd) $(id -un)'"));
    daemon.ok("commit job made:1");
    daemon.ok("rm job");
    let config = daemon.ok("image inspect made:1").json()["config"].clone();
    for (key, value) in [
        ("Entrypoint", json!(["sh", "-c"])),
        ("Cmd", json!(["echo $A $B $(pwd) $(id -un)"])),
        ("Env", json!(["A=1", "B=2"])),
        ("WorkingDir", json!("/www")),
        ("User", json!("www")),
        ("Labels", json!({"who": "me"})),
        ("ExposedPorts", json!({"80/tcp": {}})),
        ("Volumes", json!({"/cache": {}})),
        ("StopSignal", json!("SIGINT")),
    ] {
        assert_eq!(config[key], value, "{key} of {config}");
    }
    let run = daemon.ok("run made:1 name=job attach=yes rm=yes");
    assert_eq!(run.lines[0].text(), "stdout 1 2 /www www");
    // A health check of its own, and none in place of it.
    for (from, to, option, test) in [
        ("made:1", "well:1", "'health-cmd=test -e /www'", json!(["CMD", "/bin/sh", "-c", "test -e /www"])),
        ("well:1", "well:2", "label=more=x", json!(["CMD", "/bin/sh", "-c", "test -e /www"])),
        ("well:2", "well:3", "health-cmd=none", json!(["NONE"])),
    ] {
        daemon.ok(&format!("create {from} name=job {option}"));
        daemon.ok(&format!("commit job {to}"));
        daemon.ok("rm job");
        assert_eq!(daemon.ok(&format!("image inspect {to}")).json()["config"]["Healthcheck"]["Test"], test);
    }
    // Committed from an image of its own, unchanged: what it says stays.
    daemon.ok("create made:1 name=job");
    daemon.ok("commit job made:2");
    daemon.ok("rm job");
    assert_eq!(daemon.ok("image inspect made:2").json()["config"], config);
}

#[test]
fn a_container_stands_still_meanwhile_and_goes_on() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut events = daemon.conn();
    events.send("events type=container");
    assert_eq!(events.parsed().get("type").as_deref(), Some("subscribed"));
    daemon.ok("run busybox name=job -- sh -c 'while :; do echo x >>/log; done'");
    daemon.ok("commit job made");
    assert_eq!(daemon.ok("ps").column("state"), ["running"]);
    let mut actions = Vec::new();
    while actions.last().is_none_or(|action| action != "resume") {
        actions.push(events.parsed().get("action").unwrap());
    }
    assert_eq!(actions, ["create", "start", "pause", "resume"]);
    // One that was paused stays so; one that cannot be written down goes on all the same.
    daemon.ok("pause job");
    daemon.ok("commit job made");
    assert_eq!(daemon.ok("ps").column("state"), ["paused"]);
    daemon.ok("resume job");
    daemon.ok("exec job -- touch /.wh.x");
    assert_eq!(daemon.conn().refused("commit job made"), "unsupported");
    assert_eq!(daemon.ok("ps").column("state"), ["running"]);
    daemon.ok("rm job force=yes");
    assert!(printed(&daemon, "made", "sort -u /log") == ["x"]);
}

#[test]
fn a_directory_becomes_an_image_with_its_changes() {
    let daemon = Daemon::start();
    let tree = super::shell::busybox_rootfs();
    daemon.ok(&format!(
        "run rootfs={} name=job attach=yes -- sh -c 'echo new >/new; rm /www/index.html'",
        tree.display()
    ));
    daemon.ok("commit job made");
    daemon.ok("rm job");
    assert_eq!(printed(&daemon, "made", "cat /new; ls /www"), ["new"]);
    assert!(tree.join("www/index.html").exists());
}

#[test]
fn what_cannot_be_an_image_is_refused() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("create busybox name=job -- true");
    let mut conn = daemon.conn();
    assert_eq!(conn.refused("commit nobody made"), "not-found");
    assert_eq!(conn.refused("commit job Made"), "bad-value");
    assert_eq!(conn.refused(&format!("commit job made@sha256:{}", "a".repeat(64))), "bad-value");
    daemon.ok("rm job");
    for (options, words) in [("", "\"\\xff\""), ("\"env=A=\\xff\"", "true")] {
        daemon.ok(&format!("create busybox name=job {options} -- echo {words}"));
        assert_eq!(conn.refused("commit job made"), "unsupported");
        daemon.ok("rm job");
    }
}
