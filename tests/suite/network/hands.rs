//! What somebody did to our links by hand: a clear error, and the actor goes on.

use std::rc::Rc;

use gantry::network::{Connect, Create, Detach, Disconnect};
use gantry::refusal::Code;

use super::world::*;

#[test]
fn a_link_that_somebody_deleted_is_missed_by_nobody() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let create = Create { name: "back".parse().unwrap(), subnet: None, internal: false };
        network.send(create).await.unwrap().unwrap();
        let (id, web) = attach(&network, "web", &["8080:80"]).await.unwrap();
        let on = network.send(Connect { id: id.clone(), network: "back".parse().unwrap() }).await.unwrap().unwrap();
        sh(&format!("ip link del {}; ip link del {}", web.link, on[1].link));
        let left =
            network.send(Disconnect { id: id.clone(), network: "back".parse().unwrap() }).await.unwrap().unwrap();
        assert_eq!(left.len(), 1);
        network.send(Detach { id }).await.unwrap();
        assert!(is_free(8080));
        attach(&network, "again", &["8080:80"]).await.unwrap();
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn a_bridge_that_somebody_deleted_or_renamed_is_told() {
    on_a_host(async |world: Rc<World>| {
        for harm in
            ["ip link del gantry0", "ip link set gantry0 down; ip link set gantry0 name mine; ip link set mine up"]
        {
            let network = world.start("gantry0").await.unwrap();
            let (id, _) = attach(&network, "web", &["8080:80"]).await.unwrap();
            sh(harm);
            let refusal = attach(&network, "other", &["8081:80"]).await.unwrap_err();
            assert_eq!(refusal.code(), Code::WrongState, "{refusal}");
            assert!(refusal.message().contains("gantry0 was deleted or renamed"), "{refusal}");
            assert!(is_free(8081), "nothing is kept");
            network.send(Detach { id }).await.unwrap();
            // What is not concerned goes on.
            let create = Create { name: "back".parse().unwrap(), subnet: None, internal: false };
            network.send(create).await.unwrap().unwrap();
            attach_to(&network, "third", &["back"], None, &["8080:80"]).await.unwrap();
            world.stop(network, "gantry0").await;
            assert!(!sh("ip -o link").contains("mine"), "it goes by whatever name");
        }
    });
}
