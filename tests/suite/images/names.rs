//! Names, and who may lose them.

use gantry::images::{List, PullPolicy, ensure};
use gantry::refusal::Code;

use super::{Place, code, layout_with_label, on_actix, plain_http, pull, reference, remove, until};
use crate::registry::Registry;

#[test]
fn an_image_in_use_stays() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let (one, two) = (registry.push_busybox("httpd:1"), registry.push_busybox("httpd:2"));
        let store = place.open().await;
        let held = pull(&store, &one).await.unwrap();
        let twin = pull(&store, &two).await.unwrap();
        assert_eq!((&held.rootfs, &held.digest), (&twin.rootfs, &twin.digest));
        assert_eq!(place.holds().await, (2, 1, 3), "two names share one tree");
        drop(twin);

        let refusal = remove(&store, &one).await.unwrap_err();
        assert!(refusal.code() == Code::InUse && refusal.message().contains("remove the container"), "{refusal}");
        remove(&store, &two).await.unwrap();
        assert_eq!(place.holds().await, (1, 1, 3));
        drop(held);
        remove(&store, &one).await.unwrap();
        assert_eq!(code(remove(&store, &one).await), Code::NotFound);
        assert_eq!(place.holds().await, (0, 0, 0));
        assert!(store.send(List).await.unwrap().is_empty());
    });
}

#[test]
fn a_tag_that_moves_leaves_the_image_that_is_held() {
    on_actix(async {
        let (place, registry) = (Place::new(), Registry::start());
        let name = registry.push_busybox("httpd:1");
        let store = place.open().await;
        let before = pull(&store, &name).await.unwrap();
        let other = layout_with_label(&place.dir, "moved");
        registry.push(&format!("oci:{}:image", other.display()), "httpd:1", &[]);
        let after = ensure(&store, reference(&name), PullPolicy::Always, plain_http(), None).await.unwrap();
        assert_ne!(before.digest, after.digest);
        assert!(before.rootfs.join("bin/busybox").exists(), "a container of it still runs");
        assert_eq!(place.holds().await, (1, 2, 5));
        drop(before);
        until("the nameless image is gone", || place.count("rootfs") == 1).await;
        assert_eq!(place.holds().await, (1, 1, 3));
    });
}
