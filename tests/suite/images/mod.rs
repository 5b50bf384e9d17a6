//! The image store on the real tools and a real registry: pulls, imports, names, removal, and what each leaves behind.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs of its own, and fails by panic"
)]

mod archives;
mod craft;
mod errors;
mod exact;
pub mod formats;
mod hostile;
mod import;
mod manage;
mod names;
mod opening;
mod podman;
mod pull;
mod resume;
mod sharing;

use std::future::Future;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gantry::config::Config;
use gantry::events::Bus;
use gantry::id::ImageRef;
use gantry::images::{Close, Image, ImageStore, PullOptions, PullPolicy, Remove, ask, ensure};
use gantry::link::Post;
use gantry::refusal::{Code, Refusal};
use gantry::tools::Tools;

use crate::registry::run;
use crate::shell;

/// A directory of one test's own, with a store in it.
struct Place {
    dir: PathBuf,
    tools: Tools,
    bus: Bus,
    max_image_size: u64,
}

impl Place {
    fn new() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("gantry-images-{}-{serial}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self { dir, tools: Tools::default(), bus: Bus::default(), max_image_size: gantry::config::MAX_IMAGE_SIZE }
    }

    /// One whose tools are the real ones, but `name`, which is `script`. `$REAL` is the real one, `$LOG` a file.
    fn with_tool(name: &str, script: &str) -> Self {
        let mut place = Self::new();
        let tools = place.dir.join("tools");
        std::fs::create_dir(&tools).unwrap();
        for tool in ["skopeo", "umoci"].iter().filter(|tool| **tool != name) {
            symlink(format!("/usr/bin/{tool}"), tools.join(tool)).unwrap();
        }
        let head = format!("#!/bin/sh\nREAL=/usr/bin/{name} LOG={}\n", place.dir.join("log").display());
        shell::program(&tools.join(name), &(head + script));
        place.tools = Tools::new(Some(tools));
        place
    }

    async fn open(&self) -> Post<ImageStore> {
        ImageStore::start(&self.config(), &self.tools, self.bus.clone()).await.unwrap()
    }

    /// Ends the store, and opens it again as the next daemon would.
    async fn reopen(&self, store: Post<ImageStore>) -> Post<ImageStore> {
        let names = self.dir.join("root/images/names");
        let unsettled = |path: &Path| std::fs::read_to_string(path).is_ok_and(|record| record.contains("\"boot\""));
        let settled = || std::fs::read_dir(&names).unwrap().all(|entry| !unsettled(&entry.unwrap().path()));
        until("all names are known to be on the disk", settled).await;
        store.send(Close).await.unwrap();
        until("the store is closed", || !store.holder().connected()).await;
        self.open().await
    }

    fn config(&self) -> Config {
        Config {
            socket: self.dir.join("socket"),
            ro_socket: None,
            root: self.dir.join("root"),
            run: self.dir.join("run"),
            bridge: "none".to_owned(),
            subnet: None,
            ipv6: true,
            dns: Vec::new(),
            tools: None,
            stop_timeout: Duration::ZERO,
            log_bounds: gantry::config::LogBounds::default(),
            firewall_cooperate: false,
            bridge_links: 512,
            network_spares: 4,
            max_image_size: self.max_image_size,
            metrics_listen: None,
            log_format: None,
            check: false,
        }
    }

    fn count(&self, what: &str) -> usize {
        std::fs::read_dir(self.dir.join("root/images").join(what)).unwrap().count()
    }

    /// How many names, trees and blobs the store holds, once it has no work left over.
    async fn holds(&self) -> (usize, usize, usize) {
        until("tmp/ is empty", || self.count("tmp") == 0).await;
        (self.count("names"), self.count("rootfs"), self.count("blobs/sha256"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Waits for what happens beside us, and fails when it does not.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + shell::patience(60);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn on_actix(test: impl Future<Output = ()>) {
    actix_rt::System::new().block_on(test);
}

fn reference(text: &str) -> ImageRef {
    text.parse().unwrap()
}

fn plain_http() -> PullOptions {
    PullOptions { tls_verify: Some(false), ..PullOptions::default() }
}

async fn pull(store: &Post<ImageStore>, name: &str) -> Result<Arc<Image>, Refusal> {
    ensure(store, reference(name), PullPolicy::Missing, plain_http(), None).await
}

async fn remove(store: &Post<ImageStore>, name: &str) -> Result<String, Refusal> {
    ask(store, Remove { reference: reference(name) }).await.map(|name| name.to_string())
}

fn code<T>(result: Result<T, Refusal>) -> Code {
    result.err().expect("a refusal").code()
}

/// The busybox image with one label more.
fn layout_with_label(dir: &Path, label: &str) -> PathBuf {
    let layout = dir.join(format!("layout-{label}"));
    run(Command::new("cp").arg("-r").arg(crate::registry::busybox_layout()).arg(&layout));
    let image = format!("{}:image", layout.display());
    run(Command::new("umoci").args(["config", "--image", &image, &format!("--config.label=l={label}")]));
    layout
}
