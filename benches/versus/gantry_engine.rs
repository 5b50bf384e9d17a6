//! gantry: the daemon and the client that were built.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::arena::{Arena, CGROUP, Network, said};
use super::engine::{Engine, end, until};
use super::settings::Settings;

/// gantry under comparison.
pub struct Gantry {
    network: Network,
    bin: PathBuf,
    root: PathBuf,
    run: PathBuf,
    daemon: Option<Child>,
}

impl Gantry {
    /// Not started yet.
    pub fn new(settings: &Settings, arena: &Arena) -> Self {
        let (root, run) = (arena.disk("gantry"), arena.memory("gantry"));
        Self { network: Network::new(), bin: settings.bin.clone(), root, run, daemon: None }
    }
}

impl Engine for Gantry {
    fn name(&self) -> &'static str {
        "gantry"
    }

    fn network(&self) -> &Network {
        &self.network
    }

    fn client(&self) -> Command {
        let mut client = Command::new(self.bin.join("gantry"));
        client.env("GANTRY_SOCKET", self.run.join("gantry.sock"));
        client
    }

    fn pull(&self, reference: &str) -> Vec<String> {
        ["pull", "--tls-verify=false", reference].map(str::to_owned).into()
    }

    fn start(&mut self) {
        let mut command = Command::new(self.bin.join("gantryd"));
        command.arg("--root").arg(&self.root).arg("--run").arg(&self.run).env("GANTRY_LOG", "warn");
        // The cgroup is called after the bridge: `gantry-BRIDGE`.
        command.args(["--bridge", CGROUP.trim_start_matches("gantry-")]).stdin(Stdio::null());
        self.daemon = Some(self.network.inside(|| command.spawn().unwrap()));
        until("gantryd's answer", || {
            self.network.inside(|| self.client().arg("ping").output().unwrap().status.success())
        });
    }

    fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            end(&mut daemon);
        }
    }

    fn version(&self) -> String {
        let crun = said(Command::new("crun").arg("--version"));
        format!(
            "gantry {}, {}",
            env!("CARGO_PKG_VERSION"),
            crun.lines().next().unwrap_or_default().replace(" version", "")
        )
    }
}
