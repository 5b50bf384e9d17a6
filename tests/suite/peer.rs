//! Another host: a network namespace of its own, joined to this one by a veth pair.

use std::process::{Child, Command, Stdio};

use super::harness::Daemon;
use super::shell::{self, Output};

/// The other host. Dropped, it is gone, and the link to it too.
pub struct Peer {
    holder: Child,
    link: String,
    /// The address by which it reaches this host.
    pub host: String,
    /// Its own address.
    pub address: String,
}

impl Peer {
    /// A host beside the one that `daemon` runs on.
    #[track_caller]
    pub fn beside(daemon: &Daemon) -> Self {
        let (host, address) = daemon.place().link();
        // Outside the names that the daemon derives, so that a look for what it left does not find it.
        let link = format!("peer{}", daemon.place().bridge().trim_start_matches("gt"));
        let holder = ["--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"];
        let holder = Command::new("setpriv").args(holder).stdin(Stdio::null()).spawn().expect("setpriv and unshare");
        let peer = Self { holder, link, host, address };
        peer.connect();
        peer
    }

    fn connect(&self) {
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = self.namespace();
        shell::until(shell::patience(30), "a network namespace of its own", || {
            std::fs::read_link(&theirs).is_ok_and(|theirs| theirs != own)
        });
        let (link, host, pid) = (&self.link, &self.host, self.holder.id());
        shell::sh(&format!(
            "ip link add {link} type veth peer name eth0 netns {pid}; ip addr add {host}/30 dev {link}; ip link set {link} up"
        ))
        .succeeds();
        let inside = "ip link set lo up; ip addr add {address}/30 dev eth0; ip link set eth0 up; ip route add default via {host}";
        self.sh(&inside.replace("{address}", &self.address).replace("{host}", host)).succeeds();
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    /// A script of the shell on that host.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Output {
        let mut command = shell::command("nsenter");
        command.arg(format!("--net={}", self.namespace())).args(["bash", "-o", "pipefail", "-euc", script]);
        shell::finish(&mut command)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &self.link]).status();
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
