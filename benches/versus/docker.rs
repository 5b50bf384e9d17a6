//! Docker: a dockerd of its own, with its own containerd, directories and socket.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::arena::{Arena, CGROUP, Network, said};
use super::engine::{Engine, end, until};

/// Docker under comparison.
pub struct Docker {
    network: Network,
    root: PathBuf,
    run: PathBuf,
    daemon: Option<Child>,
}

impl Docker {
    /// Not started yet.
    pub fn new(arena: &Arena) -> Self {
        Self { network: Network::new(), root: arena.disk("docker"), run: arena.memory("docker"), daemon: None }
    }

    fn socket(&self) -> String {
        format!("unix://{}/docker.sock", self.run.display())
    }
}

impl Engine for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn network(&self) -> &Network {
        &self.network
    }

    fn client(&self) -> Command {
        // Debian's, whatever else a PATH may find first.
        let mut client = Command::new("/usr/bin/docker");
        client.env_remove("DOCKER_HOST").env("DOCKER_CONFIG", self.run.join("client")).args(["-H", &self.socket()]);
        client
    }

    fn pull(&self, reference: &str) -> Vec<String> {
        // A registry on loopback is one that docker takes without TLS.
        ["pull", reference].map(str::to_owned).into()
    }

    fn start(&mut self) {
        let mut command = Command::new("/usr/sbin/dockerd");
        command.arg("--data-root").arg(&self.root).arg("--exec-root").arg(self.run.join("exec"));
        command.arg("--pidfile").arg(self.run.join("pid")).args(["-H", &self.socket()]);
        command.arg("--config-file").arg(self.run.join("none.json"));
        command.args(["--cgroup-parent", &format!("/{CGROUP}-docker"), "--bip", "172.31.9.1/22"]);
        std::fs::write(self.run.join("none.json"), "{}").unwrap();
        let log = std::fs::File::create(self.run.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.daemon = Some(self.network.inside(|| command.spawn().unwrap()));
        until("dockerd's answer", || {
            let ended = self.daemon.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{}", std::fs::read_to_string(self.run.join("log")).unwrap());
            self.network.inside(|| self.client().arg("version").output().unwrap().status.success())
        });
    }

    fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            end(&mut daemon);
        }
    }

    fn version(&self) -> String {
        let asked = ["version", "--format", "{{.Server.Version}}"];
        let server = self.network.inside(|| said(self.client().args(asked)));
        let runc = said(Command::new("runc").arg("--version"));
        format!("docker {}, {}", server.trim(), runc.lines().next().unwrap_or_default().replace(" version", ""))
    }
}
