//! What it takes to put a container on the network, measured: `cargo bench --bench network`, as root. Prints a table.
//!
//! One attachment is a network namespace, a pair of links, an address, a route and a published port, made by the actor that
//! makes them for containers, on a host that is a network namespace of its own. Measured with none, a hundred and five
//! hundred others attached: it must not grow. `GANTRY_BENCH_RUNS` says how many of each.
#![allow(clippy::disallowed_methods, reason = "a benchmark brings its loopback link up by a process")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot measure ends there")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gantry::config::{Config, LogBounds};
use gantry::events::Bus;
use gantry::id::{ContainerId, Networking};
use gantry::link::Post;
use gantry::network::{Attach, Close, Detach, Identity, Network};
use gantry::tools::Tools;
use nix::sched::{CloneFlags, unshare};

/// How many others are attached.
const CROWDS: [usize; 3] = [0, 100, 500];
/// What lets the stock of namespaces be filled, and links vanish, between two measurements.
const REST: Duration = Duration::from_millis(60);

fn main() {
    assert!(nix::unistd::geteuid().is_root(), "network namespaces need root");
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    let (_, most) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, most, most).unwrap();
    let runs = std::env::var("GANTRY_BENCH_RUNS").map_or(50, |n| n.parse().unwrap());
    let dir = PathBuf::from(format!("/tmp/gantry-bench-network-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    actix::System::new().block_on(measure(&dir, runs));
    std::fs::remove_dir_all(&dir).unwrap();
}

async fn measure(dir: &Path, runs: usize) {
    println!("{runs} attachments of each kind; milliseconds\n");
    println!("{:<52}{:>8}{:>8}{:>8}", "", "min", "median", "p90");
    for (kind, spares) in [("a namespace made ahead", 4), ("a namespace made for it", 0)] {
        let network = Network::start(&config(dir, spares), &Tools::default(), Bus::default()).await.unwrap();
        let mut attached = 0;
        for crowd in CROWDS {
            while attached < crowd {
                attach(&network).await;
                attached += 1;
            }
            let (mut on, mut off) = (Vec::new(), Vec::new());
            for _ in 0..runs {
                tokio::time::sleep(REST).await;
                let began = Instant::now();
                let id = attach(&network).await;
                on.push(began.elapsed());
                tokio::time::sleep(REST).await;
                let began = Instant::now();
                network.send(Detach { id }).await.unwrap();
                off.push(began.elapsed());
            }
            row(&format!("attach, {kind}, beside {crowd}"), &mut on);
            row("  and detach", &mut off);
        }
        network.send(Close).await.unwrap();
    }
}

async fn attach(network: &Post<Network>) -> ContainerId {
    let id = ContainerId::random().unwrap();
    let attach = Attach {
        id: id.clone(),
        name: "bench".parse().unwrap(),
        networking: Networking::default(),
        publish: vec!["80".parse().unwrap()],
        dns: Vec::new(),
        identity: Identity::default(),
        namespace: None,
        before: None,
    };
    network.send(attach).await.unwrap().unwrap();
    id
}

fn config(dir: &Path, spares: usize) -> Config {
    Config {
        socket: dir.join("gantry.sock"),
        ro_socket: None,
        root: dir.to_owned(),
        run: dir.to_owned(),
        bridge: "bench0".to_owned(),
        subnet: None,
        ipv6: true,
        dns: Vec::new(),
        tools: None,
        stop_timeout: Duration::from_secs(1),
        log_bounds: LogBounds::default(),
        max_image_size: gantry::config::MAX_IMAGE_SIZE,
        firewall_cooperate: false,
        bridge_links: 512,
        network_spares: spares,
        metrics_listen: None,
        log_format: None,
        check: false,
    }
}

fn row(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!("{what:<52}{:>8.2}{:>8.2}{:>8.2}", at(0), at(50), at(90));
}
