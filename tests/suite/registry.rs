//! A real registry on loopback, for as long as a test needs it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a fixture starts programs itself, and fails by panic"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// A `docker-registry` of one test's own. Ended, and its storage removed, when it is dropped.
pub struct Registry {
    process: Child,
    dir: PathBuf,
    address: String,
}

impl Registry {
    /// Starts one on a free port of 127.0.0.1, speaking plain HTTP, open to all.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one with more lines of configuration, as an `auth:` section.
    pub fn start_with(more: &str) -> Self {
        Self::start_as("", more)
    }

    /// Starts one with more in its `http:` section, as `tls: {…}`.
    pub fn start_in_http(more: &str) -> Self {
        Self::start_as(&format!(", {more}"), "")
    }

    fn start_as(http: &str, more: &str) -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("gantry-registry-{}-{serial}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let config = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: \"127.0.0.1:0\"{http}}}\n{more}",
            dir.join("data").display()
        );
        std::fs::write(dir.join("config.yml"), config).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(dir.join("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry is needed: install the package docker-registry");
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = log.by_ref().map_while(Result::ok).find_map(|line| {
            let rest = line.split_once("listening on ")?.1;
            Some(rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect())
        });
        // It must not stand still for a full pipe.
        std::thread::spawn(move || log.for_each(drop));
        Self { process, dir, address: address.expect("docker-registry says where it listens") }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Pushes a busybox image with an `httpd` that serves `/www` on port 80; `name` is `REPOSITORY:TAG`. Gives the full
    /// reference.
    pub fn push_busybox(&self, name: &str) -> String {
        self.push(&format!("oci:{}:image", busybox_layout().display()), name, &[])
    }

    /// Pushes what skopeo finds at `from`, with more options for the copy.
    pub fn push(&self, from: &str, name: &str, options: &[&str]) -> String {
        let reference = format!("{}/{name}", self.address);
        let to = format!("docker://{reference}");
        run(Command::new("skopeo")
            .args(["copy", "--quiet", "--dest-tls-verify=false"])
            .args(options)
            .args([from, &to]));
        reference
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// An OCI layout with a busybox image tagged `image`, made once and kept among cargo's temporary files.
pub fn busybox_layout() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let made = super::shell::scratch().join("busybox-1");
    if !made.exists() {
        let aside = made.with_extension(std::process::id().to_string());
        make_busybox(&aside);
        // Another test process may have been faster.
        let _ = std::fs::rename(aside.join("layout"), &made);
        std::fs::remove_dir_all(&aside).unwrap();
    }
    made
}

fn make_busybox(dir: &Path) {
    let (tree, image) = (dir.join("tree"), format!("{}:image", dir.join("layout").display()));
    make_busybox_tree(&tree);
    run(Command::new("umoci").arg("init").arg("--layout").arg(dir.join("layout")));
    run(Command::new("umoci").args(["new", "--image", &image]));
    run(Command::new("umoci").args(["insert", "--image", &image]).arg(&tree).arg("/"));
    run(Command::new("umoci").args(["config", "--image", &image, "--config.exposedports=80/tcp"]).args([
        "--config.cmd=/bin/httpd",
        "--config.cmd=-f",
        "--config.cmd=-h",
        "--config.cmd=/www",
        "--config.env=PATH=/bin",
        "--config.label=made.by=gantry-suite",
    ]));
}

/// A root file system with the host's static busybox, a link for each of its commands, and a page to serve.
pub fn make_busybox_tree(tree: &Path) {
    for dir in ["bin", "etc", "tmp", "www", "root"] {
        std::fs::create_dir_all(tree.join(dir)).unwrap();
    }
    std::fs::copy("/bin/busybox", tree.join("bin/busybox")).expect("/bin/busybox is needed: install busybox-static");
    let list = Command::new("/bin/busybox").arg("--list").output().unwrap().stdout;
    for applet in String::from_utf8(list).unwrap().lines().filter(|applet| *applet != "busybox") {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(applet)).unwrap();
    }
    std::fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/www:/bin/sh\n").unwrap();
    std::fs::write(tree.join("etc/group"), "root:x:0:\nweb:x:102:\n").unwrap();
    std::fs::write(tree.join("www/index.html"), "It works\n").unwrap();
}

/// Runs a program to its end, which must be a good one.
pub fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
