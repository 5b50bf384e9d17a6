//! What is found again of a store, and what is not given up though it cannot be read.

use gantry::images::{List, ask};

use super::{Place, layout_with_label, on_actix, pull, remove};
use crate::registry::Registry;

#[test]
fn what_cannot_be_read_is_not_thereby_lost() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let one = registry.push_busybox("one:1");
        let other = layout_with_label(&place.dir, "other");
        let two = registry.push(&format!("oci:{}:image", other.display()), "two:1", &[]);
        let store = place.open().await;
        let manifest = pull(&store, &one).await.unwrap().digest.trim_start_matches("sha256:").to_owned();
        drop(pull(&store, &two).await.unwrap());
        assert_eq!(place.holds().await, (2, 2, 5));

        // Neither is a file, and neither is missing.
        let (stray, blob) = (place.dir.join("root/images/names/x.json"), place.dir.join("root/images/blobs/sha256"));
        let (blob, aside) = (blob.join(&manifest), place.dir.join("aside"));
        std::fs::create_dir(&stray).unwrap();
        std::fs::rename(&blob, &aside).unwrap();
        std::fs::create_dir(&blob).unwrap();
        let store = place.reopen(store).await;
        assert_eq!(store.send(List).await.unwrap().len(), 1);
        remove(&store, &two).await.unwrap();
        std::fs::remove_dir(&blob).unwrap();
        std::fs::rename(&aside, &blob).unwrap();
        std::fs::remove_dir(&stray).unwrap();

        let store = place.reopen(store).await;
        assert_eq!(place.holds().await, (1, 1, 3), "what only the other one needed is gone by now");
        assert!(pull(&store, &one).await.unwrap().rootfs.join("bin/busybox").exists());
        assert!(ask(&store, gantry::images::Verify { reference: None }).await.unwrap()[0].faults.is_empty());
    });
}
