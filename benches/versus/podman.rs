//! Podman: its command, which needs no daemon, in directories of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::arena::{Arena, CGROUP, Network, said};
use super::engine::{Engine, end, until};

/// Its configuration: no limit above those of this process, which may not raise them; no systemd.
const CONF: &str = r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"#;

/// Podman under comparison.
pub struct Podman {
    network: Network,
    root: PathBuf,
    run: PathBuf,
    service: Option<Child>,
}

impl Podman {
    /// Not started yet.
    pub fn new(arena: &Arena) -> Self {
        let (root, run) = (arena.disk("podman"), arena.memory("podman"));
        std::fs::write(run.join("containers.conf"), CONF).unwrap();
        Self { network: Network::new(), root, run, service: None }
    }
}

impl Engine for Podman {
    fn name(&self) -> &'static str {
        "podman"
    }

    fn network(&self) -> &Network {
        &self.network
    }

    fn client(&self) -> Command {
        let mut client = Command::new("/usr/bin/podman");
        client.env("CONTAINERS_CONF", self.run.join("containers.conf")).env_remove("CONTAINER_HOST");
        client.arg("--root").arg(&self.root).arg("--runroot").arg(self.run.join("run"));
        client.arg("--tmpdir").arg(self.run.join("tmp")).arg("--network-config-dir").arg(self.root.join("networks"));
        client.args(["--storage-driver", "overlay"]);
        client
    }

    fn run_options(&self) -> Vec<String> {
        vec!["--cgroup-parent".to_owned(), format!("/{CGROUP}-podman")]
    }

    fn pull(&self, reference: &str) -> Vec<String> {
        ["pull", "--tls-verify=false", reference].map(str::to_owned).into()
    }

    fn start(&mut self) {}

    fn stop(&mut self) {
        if let Some(mut service) = self.service.take() {
            end(&mut service);
        }
    }

    fn version(&self) -> String {
        let crun = said(Command::new("crun").arg("--version"));
        let podman = said(self.client().arg("--version")).replace(" version", "");
        format!("{}, {}", podman.trim(), crun.lines().next().unwrap_or_default().replace(" version", ""))
    }

    fn spare_daemon(&mut self) {
        let socket = self.run.join("podman.sock");
        let mut command = self.client();
        command
            .args(["system", "service", "--time=0"])
            .arg(format!("unix://{}", socket.display()))
            .stdin(Stdio::null());
        self.service = Some(self.network.inside(|| command.spawn().unwrap()));
        until("podman's service", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    }
}
