//! The same images in podman: trees that are the same, archives that each reads of the other. Needs podman, which
//! `make setup` does not install, for it brings a hundred packages; where it is not there, that is said.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry::images::{Image, Load, Save, ask};
use serde_json::Value;

use super::craft::Recipe;
use super::exact::{layers, look};
use super::{Place, on_actix, pull, reference, remove};
use crate::registry::{Registry, run};

/// podman with a storage of its own, all of it in `dir`.
fn podman(dir: &Path) -> Command {
    let mut command = Command::new("podman");
    command.arg("--root").arg(dir.join("root")).arg("--runroot").arg(dir.join("run")).arg("--tmpdir");
    command.arg(dir.join("tmp")).args(["--cgroup-manager=cgroupfs", "--events-backend=none", "--storage-driver=vfs"]);
    command.env("TMPDIR", dir);
    command
}

/// Whether podman is here and willing; where not, what the test is not done for is told where it is seen.
fn has_podman(dir: &Path) -> bool {
    let tried = podman(dir).args(["images", "--quiet"]).output();
    let works = tried.as_ref().is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("\n!!! NOT COMPARED with podman: it does not run here (apt-get install podman): {tried:?}\n");
    }
    works
}

#[test]
fn podman_makes_the_same_trees() {
    let engine = Place::new();
    if !has_podman(&engine.dir) {
        return;
    }
    on_actix(async {
        let (place, workshop, registry) = (Place::new(), Place::new(), Registry::start());
        let store = place.open().await;
        let all = Recipe::of(layers()).push(&registry, &workshop.dir, "all:1");
        let real = registry.push(&format!("oci:{}:image", many_layers(&workshop.dir).display()), "real:1", &[]);
        for name in [all, real, registry.push_busybox("busybox:1")] {
            let image = pull(&store, &name).await.unwrap();
            assert_is_podmans(&image, &engine.dir, &name);
        }
        let _ = podman(&engine.dir).args(["rmi", "--all", "--force"]).output();
    });
}

/// Pulls an image with podman, and compares every file of its tree with ours.
fn assert_is_podmans(image: &Image, dir: &Path, name: &str) {
    run(podman(dir).args(["pull", "--quiet", "--tls-verify=false", name]));
    let mounted = podman(dir).args(["image", "mount", name]).output().unwrap();
    assert!(mounted.status.success(), "{mounted:?}");
    let theirs = PathBuf::from(String::from_utf8(mounted.stdout).unwrap().trim());
    let (mut ours, mut theirs) = (look(&image.rootfs), look(&theirs));
    // podman leaves out what only root may see (trusted.*), which docker and umoci keep.
    ours.values_mut().for_each(|seen| seen.attributes.retain(|name, _| !name.starts_with("trusted.")));
    // The root is no member of a layer here, and each makes its own.
    ours.remove(&OsString::new());
    theirs.remove(&OsString::new());
    let keys: BTreeSet<_> = ours.keys().chain(theirs.keys()).cloned().collect();
    let told: Vec<_> = keys.iter().filter(|key| ours.get(*key) != theirs.get(*key)).collect();
    let pairs: Vec<_> = told.iter().take(5).map(|key| (key, ours.get(*key), theirs.get(*key))).collect();
    assert!(told.is_empty(), "{name}: {pairs:#?}");
    assert!(ours.len() > 10, "{name}");
    println!("{name}: {} files, each as podman has it", ours.len());
    run(podman(dir).args(["image", "umount", name]));
}

/// Debian as it is bootstrapped, and nine layers more of what its packages put there and take away.
#[test]
#[ignore = "takes minutes and a mirror of Debian, needs debootstrap and podman; `cargo test --test suite debian -- --ignored --nocapture`"]
fn podman_makes_the_same_tree_of_debian() {
    let (engine, workshop) = (Place::new(), Place::new());
    assert!(has_podman(&engine.dir), "there is nothing to compare with");
    let layout = debian(&workshop.dir);
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let store = place.open().await;
        let name = registry.push(&format!("oci:{}:image", layout.display()), "debian:1", &[]);
        let image = pull(&store, &name).await.unwrap();
        assert_is_podmans(&image, &engine.dir, &name);
        let _ = podman(&engine.dir).args(["rmi", "--all", "--force"]).output();
    });
}

/// Where ten layers of Debian are laid out. Packages with set-id bits, file capabilities, diversions, and many small files.
fn debian(dir: &Path) -> PathBuf {
    let (layout, bundle) = (dir.join("debian"), dir.join("bundle"));
    let (image, root) = (format!("{}:image", layout.display()), bundle.join("rootfs"));
    run(Command::new("umoci").arg("init").arg("--layout").arg(&layout));
    run(Command::new("umoci").args(["new", "--image", &image]));
    run(Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle));
    run(Command::new("debootstrap").args(["--variant=minbase", "bookworm"]).arg(&root));
    let apt = "export DEBIAN_FRONTEND=noninteractive; apt-get -qy --no-install-recommends";
    let layers = [
        "true",
        "install iputils-ping sudo",
        "install python3-minimal",
        "install locales ca-certificates",
        "purge python3-minimal",
        "autoremove",
        "install less man-db",
        "install perl dash",
        "purge less",
        "clean",
    ];
    for (nth, step) in layers.iter().enumerate() {
        let script = if nth == 0 { (*step).to_owned() } else { format!("{apt} {step}; echo {nth} >/etc/layer") };
        run(Command::new("chroot").arg(&root).args(["sh", "-ec", &script]));
        run(Command::new("umoci").args(["repack", "--refresh-bundle", "--image", &image]).arg(&bundle));
    }
    layout
}

/// An image of ten layers made of the host's own files, with what tools do to such trees in between.
fn many_layers(dir: &Path) -> PathBuf {
    let (layout, tree) = (dir.join("many"), dir.join("tree"));
    let image = format!("{}:image", layout.display());
    run(Command::new("umoci").arg("init").arg("--layout").arg(&layout));
    run(Command::new("umoci").args(["new", "--image", &image]));
    for (n, from) in ["/etc/skel", "/etc/default", "/etc/alternatives", "/usr/share/terminfo", "/usr/share/doc/bash"]
        .iter()
        .enumerate()
    {
        let _ = std::fs::remove_dir_all(&tree);
        std::fs::create_dir_all(&tree).unwrap();
        let _ = Command::new("cp").args(["-a", from]).arg(tree.join("copied")).output();
        std::fs::write(tree.join("serial"), n.to_string()).unwrap();
        run(Command::new("umoci").args(["insert", "--image", &image]).arg(&tree).arg("/data"));
        run(Command::new("umoci").args(["insert", "--image", &image]).arg(&tree).arg(format!("/layer-{n}")));
        if n == 2 {
            run(Command::new("umoci").args(["insert", "--image", &image, "--whiteout", "/layer-1"]));
            run(Command::new("umoci").args(["insert", "--image", &image, "--opaque"]).arg(&tree).arg("/data"));
        }
    }
    layout
}

#[test]
fn podman_reads_our_archives_and_we_its() {
    let engine = Place::new();
    if !has_podman(&engine.dir) {
        return;
    }
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let store = place.open().await;
        let name = super::formats::push_docker_format(&registry, &place.dir);
        let digest = pull(&store, &name).await.unwrap().digest.clone();
        let path = |name: &str| place.dir.join(name).display().to_string();
        ask(&store, Save { reference: reference(&name), path: path("ours.tar").into() }).await.unwrap();
        remove(&store, &name).await.unwrap();

        run(podman(&engine.dir).args(["load", "--quiet", "-i", &path("ours.tar")]));
        let inspected = podman(&engine.dir).args(["image", "inspect", &name]).output().unwrap();
        let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
        assert_eq!(inspected[0]["Config"]["Cmd"][0], "/bin/httpd");
        // What it pulls itself has the health check, and keeps it in a docker-archive.
        run(podman(&engine.dir).args(["rmi", "--force", &name]));
        run(podman(&engine.dir).args(["pull", "--quiet", "--tls-verify=false", &name]));
        for (format, archive) in [("docker-archive", "theirs.tar"), ("oci-archive", "theirs-oci.tar")] {
            run(podman(&engine.dir).args(["save", "--quiet", "--format", format, "-o", &path(archive), &name]));
            let loaded = ask(&store, Load { path: path(archive) }).await.unwrap();
            assert_eq!(loaded[0].name.to_string(), name, "{format}");
            assert_eq!(loaded[0].config.cmd[0], "/bin/httpd", "{format}");
            // skopeo's library drops it where podman writes OCI.
            assert_eq!(loaded[0].config.healthcheck.is_some(), format == "docker-archive");
            assert!(loaded[0].rootfs.join("bin/busybox").exists());
        }
        assert!(digest.starts_with("sha256:"));
        let _ = podman(&engine.dir).args(["rmi", "--all", "--force"]).output();
    });
}
