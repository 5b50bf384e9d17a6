//! Pulls that are cut off, and disks that are full: what the store is like afterwards, and where the next pull begins.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use gantry::images::{Import, ImportConfig, MeasureUsage, Prune, PullPolicy, Verify, ask, ensure};
use gantry::refusal::Code;

use super::craft::{Layer, Recipe};
use super::{Place, on_actix, plain_http, pull, remove, until};
use crate::fake_registry::{Answer, FakeRegistry, noise};
use crate::registry::{Registry, run};

/// A layout of three layers, the last of them the largest; and the digest of that.
fn three_layers(dir: &Path) -> (std::path::PathBuf, String) {
    let layer = |name: &str, content: &[u8]| Layer::new().file(name, content).tar();
    let layers = vec![layer("a", &noise(1, 20_000)), layer("b", &noise(2, 30_000)), layer("c", &noise(3, 200_000))];
    let layout = Recipe::of(layers).layout(dir);
    let blobs = std::fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    let largest = blobs.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    (layout, largest.file_name().unwrap().to_str().unwrap().to_owned())
}

/// A registry with that image that cuts the largest layer off for as long as it is told to, and the blobs it was asked for.
struct Frail {
    registry: FakeRegistry,
    asked: Arc<Mutex<Vec<String>>>,
    is_broken: Arc<Mutex<bool>>,
}

impl Frail {
    fn new(dir: &Path) -> Self {
        let (layout, largest) = three_layers(dir);
        let (asked, is_broken) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(true)));
        let (asked_for, broken) = (asked.clone(), is_broken.clone());
        // The last one is cut off when the others have come, so that there is something to go on from.
        let registry = FakeRegistry::with(&layout, move |path| {
            let (_, blob) = path.split_once("/blobs/sha256:")?;
            asked_for.lock().unwrap().push(blob.to_owned());
            (blob == largest && *broken.lock().unwrap()).then(|| Answer::CutOff(vec![7; 1000]))
        });
        Self { registry, asked, is_broken }
    }

    fn name(&self) -> String {
        format!("{}/frail:1", self.registry.address())
    }

    fn asked(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.asked.lock().unwrap()).into_iter().collect()
    }
}

#[test]
fn a_pull_cut_off_goes_on_from_what_is_whole() {
    on_actix(async {
        let place = Place::new();
        let frail = Frail::new(&place.dir.join("layout"));
        let store = place.open().await;
        let refusal = pull(&store, &frail.name()).await.unwrap_err();
        assert!(refusal.code() == Code::ToolFailed && refusal.message().contains("EOF"), "{refusal}");
        assert_eq!(place.holds().await, (0, 0, 0));
        let kept = place.count("partial");
        assert!(kept >= 2, "the small layers are whole: {kept}");
        assert!(ask(&store, MeasureUsage).await.unwrap().unfinished().count >= kept);
        // Also the next daemon's.
        let store = place.reopen(store).await;
        assert_eq!(place.count("partial"), kept);
        frail.asked();
        *frail.is_broken.lock().unwrap() = false;
        let image = pull(&store, &frail.name()).await.unwrap();
        assert_eq!(std::fs::read(image.rootfs.join("a")).unwrap().len(), 20_000);
        assert!(frail.asked().len() <= 2, "the largest layer and the configuration");
        assert_eq!(place.holds().await, (1, 1, 5));
        assert_eq!(place.count("partial"), 0, "it is in the store now");
        assert!(ask(&store, Verify { reference: None }).await.unwrap()[0].faults.is_empty());
    });
}

#[test]
fn a_pull_cut_off_twice_keeps_what_it_has() {
    on_actix(async {
        let place = Place::new();
        let frail = Frail::new(&place.dir.join("layout"));
        let store = place.open().await;
        assert!(pull(&store, &frail.name()).await.is_err());
        let kept = place.count("partial");
        frail.asked();
        assert!(pull(&store, &frail.name()).await.is_err());
        let asked = frail.asked();
        assert!(asked.len() <= 2, "the largest layer and the configuration: {asked:?}");
        assert_eq!((place.holds().await, place.count("partial")), ((0, 0, 0), kept));
    });
}

#[test]
fn what_is_kept_of_pulls_has_a_bound() {
    on_actix(async {
        let mut place = Place::new();
        place.max_image_size = 1 << 20;
        let frail = Frail::new(&place.dir.join("layout"));
        let store = place.open().await;
        let partial = |digit: &str| place.dir.join("root/images/partial").join(digit.repeat(64));
        let of_size = |path: &Path, size| std::fs::File::create(path).unwrap().set_len(size).unwrap();
        // With what comes it is too much.
        of_size(&partial("a"), (1 << 20) - 10_000);
        assert!(pull(&store, &frail.name()).await.is_err());
        assert!(!partial("a").exists() && place.count("partial") >= 2);
    });
}

#[test]
fn what_is_kept_of_pulls_makes_room() {
    on_actix(async {
        let place = Place::new();
        let (root, tree) = (place.dir.join("root"), place.dir.join("tree"));
        let _mounted = Small::mount(&root, "size=8m");
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join("noise"), noise(5, 1 << 20)).unwrap();
        let store = place.open().await;
        let kept = root.join("images/partial").join("b".repeat(64));
        std::fs::write(&kept, vec![1; 7 << 20]).unwrap();
        let name = super::reference("x");
        let import = || Import { path: tree.clone(), reference: name.clone(), config: ImportConfig::default() };
        assert_eq!(ask(&store, import()).await.unwrap_err().code(), Code::NoSpace);
        assert!(!kept.exists());
        assert!(ask(&store, import()).await.is_ok());
        store.send(gantry::images::Close).await.unwrap();
        until("the store is closed", || !store.holder().connected()).await;
    });
}

#[test]
fn progress_is_told_in_sum_and_of_each_blob() {
    on_actix(async {
        let place = Place::new();
        let (layout, largest) = three_layers(&place.dir.join("layout"));
        let (heard_others, wait) = std::sync::mpsc::channel();
        let wait = Mutex::new(wait);
        // The largest layer comes when it was told of.
        let last = largest.clone();
        let registry = FakeRegistry::with(&layout, move |path| {
            path.ends_with(&last).then(|| wait.lock().unwrap().recv());
            None
        });
        let store = place.open().await;
        let (listener, mut heard) = tokio::sync::mpsc::channel(64);
        let name = super::reference(&format!("{}/slow:1", registry.address()));
        let pulled = ensure(&store, name, PullPolicy::Missing, plain_http(), Some(listener));
        let told = async {
            let mut all = Vec::new();
            while let Some(progress) = heard.recv().await {
                // Told of while it is the only one missing: the others are whole.
                if progress.blob.as_ref().is_some_and(|blob| blob.ends_with(&largest)) {
                    let _ = heard_others.send(());
                }
                all.push((tokio::time::Instant::now(), progress));
            }
            all
        };
        let (image, told) = futures::join!(pulled, told);
        let image = image.unwrap();
        let fetch: Vec<_> = told.iter().filter(|(_, progress)| progress.stage == "fetch").collect();
        let sums: Vec<_> = fetch.iter().filter(|(_, progress)| progress.blob.is_none()).map(|(_, p)| p).collect();
        assert!(sums.iter().all(|sum| sum.total == image.size && sum.done <= sum.total), "{sums:?}");
        assert!(sums.is_sorted_by_key(|sum| sum.done), "{sums:?}");
        let blobs: BTreeSet<_> = fetch.iter().filter_map(|(_, progress)| progress.blob.clone()).collect();
        assert!(blobs.len() >= 3, "{blobs:?}");
        assert!(blobs.contains(&*format!("sha256:{largest}")));
        assert!(told.iter().all(|(_, progress)| progress.done <= progress.total || progress.total == 0), "{told:?}");
        // The bound is on how often it is told, however slow the machine: that many in a second at most.
        let second = std::time::Duration::from_secs(1);
        let crowded = fetch.windows(12).find(|some| some[11].0.duration_since(some[0].0) < second);
        assert!(crowded.is_none(), "{crowded:?}");
    });
}

#[test]
fn what_is_kept_of_a_pull_goes_with_a_prune() {
    on_actix(async {
        let place = Place::new();
        let frail = Frail::new(&place.dir.join("layout"));
        let store = place.open().await;
        assert!(pull(&store, &frail.name()).await.is_err());
        assert!(place.count("partial") >= 2);
        let pruned = ask(&store, Prune::default()).await.unwrap();
        assert!(pruned.names.is_empty() && pruned.bytes > 50_000, "{pruned:?}");
        assert_eq!(place.count("partial"), 0);

        // What is damaged there is fetched anew.
        assert!(pull(&store, &frail.name()).await.is_err());
        for kept in std::fs::read_dir(place.dir.join("root/images/partial")).unwrap() {
            std::fs::write(kept.unwrap().path(), "damaged").unwrap();
        }
        *frail.is_broken.lock().unwrap() = false;
        let image = pull(&store, &frail.name()).await.unwrap();
        assert_eq!(std::fs::read(image.rootfs.join("b")).unwrap().len(), 30_000);
        assert!(ask(&store, Verify { reference: None }).await.unwrap()[0].faults.is_empty());
        assert_eq!(place.holds().await, (1, 1, 5));
    });
}

#[test]
fn what_a_killed_run_had_fetched_is_gone_on_from() {
    on_actix(async {
        let place = Place::new();
        let frail = Frail::new(&place.dir.join("layout"));
        *frail.is_broken.lock().unwrap() = false;
        // As a killed daemon leaves it: some blobs whole, one on its way.
        let (layout, largest) = three_layers(&place.dir.join("layout-2"));
        let work = place.dir.join("root/images/tmp/pull-7/layout");
        std::fs::create_dir_all(&work).unwrap();
        run(Command::new("cp").arg("-r").arg(layout.join("blobs")).arg(&work));
        std::fs::rename(work.join("blobs/sha256").join(&largest), work.join("oci-put-blob7")).unwrap();
        std::fs::write(work.join("blobs/sha256/noise"), "not a blob").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", work.join("blobs/sha256").join("0".repeat(64))).unwrap();
        let store = place.open().await;
        assert_eq!((place.holds().await, place.count("partial")), ((0, 0, 0), 4));
        assert!(pull(&store, &frail.name()).await.is_ok());
        assert!(frail.asked().contains(&largest));
        assert!(frail.asked().len() <= 1);
        assert_eq!((place.holds().await, place.count("partial")), ((1, 1, 5), 0));
    });
}

/// A file system of its own size, unmounted at the end.
pub struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    pub fn mount(dir: &'a Path, options: &str) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(dir));
        Self(dir)
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let root = place.dir.join("root");
        let small = registry.push_busybox("small:1");
        let zeros = Recipe::of(vec![Layer::new().file("z", &vec![0; 24 << 20]).tar()]);
        let noise = Recipe::of(vec![Layer::new().file("n", &noise(4, 12 << 20)).tar()]);
        let files = (0..3000).fold(Layer::new(), |layer, n| layer.file(&format!("f{n}"), b""));
        let (wide, deep) = (zeros.push(&registry, &place.dir, "wide:1"), noise.push(&registry, &place.dir, "deep:1"));
        let files = Recipe::of(vec![files.tar()]).push(&registry, &place.dir, "files:1");
        for (name, options) in [(&wide, "size=16m"), (&deep, "size=16m"), (&files, "size=64m,nr_inodes=1500")] {
            let _mounted = Small::mount(&root, options);
            let store = place.open().await;
            drop(pull(&store, &small).await.unwrap());
            let before = (place.holds().await, ask(&store, MeasureUsage).await.unwrap());
            let refusal = pull(&store, name).await.unwrap_err();
            assert_eq!(refusal.code(), Code::NoSpace, "{name} {options}: {refusal}");
            assert_eq!((place.holds().await, ask(&store, MeasureUsage).await.unwrap()), before, "{name}");
            assert!(ask(&store, Verify { reference: None }).await.unwrap()[0].faults.is_empty());
            // And it goes on.
            remove(&store, &small).await.unwrap();
            assert!(pull(&store, &small).await.is_ok(), "{name}");
            store.send(gantry::images::Close).await.unwrap();
            until("the store is closed", || !store.holder().connected()).await;
        }
    });
}
