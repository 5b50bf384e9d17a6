//! Whom a pull trusts, and what it may know: skopeo's own files, passed through; and credentials that nobody gets to see.

use std::path::Path;

use super::harness::{Daemon, Setup};
use super::registry::{Registry, busybox_layout};
use super::shell;

/// A directory that is somebody's home, with files below `.config/containers`.
struct Home(std::path::PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("gantry-trust-{name}-{}", std::process::id()));
        std::fs::create_dir_all(dir.join(".config/containers")).unwrap();
        Self(dir)
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.0.join(".config/containers").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn daemon(&self, more: &[(&str, String)]) -> Daemon {
        let more = more.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let env = more.chain([("HOME".to_owned(), self.0.display().to_string())]).collect();
        Setup { env, ..Setup::default() }.start()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn registries_conf_has_mirrors_and_says_who_is_blocked() {
    let registry = Registry::start();
    registry.push_busybox("library/box:1");
    registry.push_busybox("mirror/of/box:1");
    let (home, address) = (Home::new("mirrors"), registry.address());
    home.put(
        "registries.conf",
        &format!(
            "[[registry]]\nprefix = 'docker.io'\nlocation = 'docker.io'\n\
             [[registry.mirror]]\nlocation = '{address}'\ninsecure = true\n\
             [[registry]]\nprefix = 'r.example/team'\nlocation = '{address}/mirror/of'\ninsecure = true\n\
             [[registry]]\nprefix = 'bad.example'\nlocation = 'bad.example'\nblocked = true\n"
        ),
    );
    let daemon = home.daemon(&[]);
    // A short name means docker.io, and that has a mirror here; nobody says tls-verify=no but the file.
    assert_eq!(daemon.ok("image pull box:1").get("name"), "docker.io/library/box:1");
    assert_eq!(daemon.ok("image pull r.example/team/box:1").get("name"), "r.example/team/box:1");
    let refused = daemon.conn().request("image pull bad.example/box:1");
    assert_eq!(refused.code(), "denied", "{refused:?}");
    assert!(refused.end.text().contains("blocked"), "{refused:?}");
    let ran = daemon.ok("run box:1 attach=yes rm=yes -- echo mirrored");
    assert_eq!(ran.logs(), ["stdout mirrored"]);
}

#[test]
fn policy_json_says_what_is_let_in() {
    let registry = Registry::start();
    let (good, bad) = (registry.push_busybox("good/box:1"), registry.push_busybox("bad/box:1"));
    let home = Home::new("policy");
    let scope = bad.trim_end_matches(":1");
    let policy = serde_json::json!({
        "default": [{"type": "insecureAcceptAnything"}],
        "transports": {"docker": {scope: [{"type": "reject"}]}},
    });
    home.put("policy.json", &policy.to_string());
    let daemon = home.daemon(&[]);
    daemon.ok(&format!("image pull {good} tls-verify=no"));
    let refused = daemon.conn().request(&format!("image pull {bad} tls-verify=no"));
    assert_eq!(refused.code(), "denied", "{refused:?}");
    assert!(refused.end.text().contains("rejected by policy"), "skopeo's own words: {refused:?}");
    assert_eq!(daemon.ok("image ls").column("name"), [good]);
}

/// A certificate for 127.0.0.1 that only itself vouches for.
fn certificate(dir: &Path) {
    let script = format!(
        "cd {} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem \
         -days 30 -subj /CN=suite -addext subjectAltName=IP:127.0.0.1 2>&1",
        dir.display()
    );
    shell::sh(&script).succeeds();
}

#[test]
fn certificates_are_checked_and_can_be_vouched_for() {
    let home = Home::new("certs");
    certificate(&home.0);
    let at = |name: &str| home.0.join(name).display().to_string();
    let tls = format!("tls: {{certificate: {}, key: {}}}", at("cert.pem"), at("key.pem"));
    let registry = Registry::start_in_http(&tls);
    let name = registry.push_busybox("box:1");
    let daemon = home.daemon(&[]);
    for line in [format!("image pull {name}"), format!("image pull {name} tls-verify=yes")] {
        let refused = daemon.conn().request(&line);
        assert_eq!(refused.code(), "tool-failed", "{refused:?}");
        assert!(refused.end.text().contains("x509: certificate signed by unknown authority"), "{refused:?}");
        assert!(refused.end.text().contains("install the registry's certificate"), "what to do: {refused:?}");
    }
    daemon.ok(&format!("image pull {name} tls-verify=no"));
    daemon.ok(&format!("image rm {name}"));
    let ca = std::fs::read_to_string(at("cert.pem")).unwrap();
    home.put(&format!("certs.d/{}/ca.crt", registry.address()), &ca);
    daemon.ok(&format!("image pull {name}"));
}

#[test]
fn nobody_sees_credentials() {
    let (password, token) = ("pass-w0rd", "d2ViOnBhc3MtdzByZA==");
    let home = Home::new("credentials");
    // htpasswd of web:pass-w0rd
    let passwords = home.0.join("htpasswd");
    std::fs::write(&passwords, "web:$2b$04$K5c9H1EWXrnCfnP3ObG25unoVfNzeid527FrxUN2.Cbb5ZPTUYkMW\n").unwrap();
    let auth = format!("auth: {{htpasswd: {{realm: suite, path: {}}}}}\n", passwords.display());
    let registry = Registry::start_with(&auth);
    let from = format!("oci:{}:image", busybox_layout().display());
    let name = registry.push(&from, "box:1", &["--dest-creds", "web:pass-w0rd"]);
    let authfile = home.0.join("auth.json");
    let auths = serde_json::json!({"auths": {registry.address(): {"auth": token}}});
    std::fs::write(&authfile, auths.to_string()).unwrap();
    let wrong = home.0.join("wrong.json");
    std::fs::write(&wrong, auths.to_string().replace(token, "d2ViOndyb25nLXBhc3M=")).unwrap();

    // What a tool is given on its way out may hold one too. Loopback is asked without it.
    let proxy = ("HTTPS_PROXY", "http://web:pr0xy-w0rd@127.0.0.1:1".to_owned());
    let debug = ("GANTRY_LOG", "debug".to_owned());
    let daemon = home.daemon(&[debug, proxy, ("NO_PROXY", "127.0.0.1".to_owned())]);
    let mut said = format!("{:?}", daemon.conn().request(&format!("image pull {name} tls-verify=no")));
    assert!(said.contains("ERR denied") && said.contains("authfile="), "{said}");
    let refused = daemon.conn().request(&format!("image pull {name} tls-verify=no authfile={}", wrong.display()));
    assert_eq!(refused.code(), "denied", "{refused:?}");
    said += &format!("{refused:?}");
    let line = format!("run {name} tls-verify=no authfile={} name=box -- sleep 1000", authfile.display());
    said += &format!("{:?}", daemon.ok(&line));
    for line in [format!("image inspect {name}"), "inspect box".to_owned(), "events since=1h follow=no".to_owned()] {
        said += &format!("{:?}", daemon.conn().request(&line));
    }
    daemon.ok("exec box -- true");
    said += &daemon.log();
    assert!(said.contains("authfile") && said.contains("inspect"), "the log tells of the tools: {said}");
    for secret in [password, token, "wrong-pass", "d2ViOndyb25nLXBhc3M", "pr0xy-w0rd"] {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
    // Nor do they lie about: not in the store, nor anywhere else of the daemon's.
    let found = shell::sh(&format!("grep -rlaF -e {password} -e {token} {} || true", daemon.place().dir().display()));
    assert_eq!(found.succeeds(), "");
    daemon.ok("rm box force=yes");
    // The host's own place for them.
    daemon.ok(&format!("image rm {name}"));
    drop(daemon);
    let daemon = home.daemon(&[("REGISTRY_AUTH_FILE", authfile.display().to_string())]);
    daemon.ok(&format!("image pull {name} tls-verify=no"));
}
