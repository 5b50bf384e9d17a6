//! A registry on loopback, with a large image.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::arena::{Arena, done};
use super::engine::{end, until};

/// Where it answers, in whichever network it was started.
const ADDRESS: &str = "127.0.0.1:15000";
/// How many layers the image has.
const LAYERS: usize = 4;

/// A registry that runs. Ended when dropped.
pub struct Registry(Child);

impl Registry {
    /// Starts one in the network of this thread, with what is stored in `store`.
    pub fn start(arena: &Arena, store: &std::path::Path) -> Self {
        let config = arena.memory("registry").join("config.yml");
        let storage = format!("storage: {{filesystem: {{rootdirectory: {}}}}}", store.display());
        fs::write(&config, format!("version: 0.1\nlog: {{level: error}}\n{storage}\nhttp: {{addr: {ADDRESS}}}\n"))
            .unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self(command.spawn().unwrap());
        until("the registry's answer", || std::net::TcpStream::connect(ADDRESS).is_ok());
        registry
    }

    /// What the image is called.
    pub fn reference(&self) -> String {
        format!("{ADDRESS}/large:1")
    }

    /// Makes the image, of so many MiB that do not compress, and stores it.
    pub fn fill(arena: &Arena, mib: usize) -> PathBuf {
        let (dir, store) = (arena.disk("large"), arena.disk("registry"));
        let image = format!("{}:large", dir.join("layout").display());
        done(Command::new("umoci").arg("init").arg("--layout").arg(dir.join("layout")));
        done(Command::new("umoci").args(["new", "--image", &image]));
        for layer in 0..LAYERS {
            let file = dir.join("file");
            random(&file, mib / LAYERS);
            done(Command::new("umoci").args(["insert", "--image", &image]).arg(&file).arg(format!("/file{layer}")));
        }
        let registry = Self::start(arena, &store);
        let to = format!("docker://{}", registry.reference());
        let from = format!("oci:{image}");
        done(Command::new("skopeo").args(["copy", "--quiet", "--dest-tls-verify=false", &from, &to]));
        fs::remove_dir_all(dir).unwrap();
        store
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

fn random(path: &std::path::Path, mib: usize) {
    let (mut file, mut block) = (File::create(path).unwrap(), vec![0; 1 << 20]);
    for _ in 0..mib {
        getrandom::fill(&mut block).unwrap();
        file.write_all(&block).unwrap();
    }
}
