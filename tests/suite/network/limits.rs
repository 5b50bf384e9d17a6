//! What runs out: network namespaces, and the room for the kernel's notices. It is told, or made up for, and the actor goes on.

use std::process::Command;
use std::rc::Rc;

use gantry::config::Config;
use gantry::events::Bus;
use gantry::network::{Detach, Network};
use gantry::refusal::Code;
use gantry::tools::Tools;

use super::world::*;

/// How many notices were lost in this namespace by all who listen to that group of that protocol: links, or rules.
fn lost(protocol: u8, group: u32) -> u64 {
    let group = 1_u32 << (group - 1);
    let listeners = format!("$2 == {protocol} && $4 == \"{group:08x}\" {{ lost += $9 }}");
    sh(&format!("awk '{listeners} END {{ print lost + 0 }}' /proc/net/netlink")).trim().parse().unwrap()
}

#[test]
fn notices_that_are_lost_are_made_up_for() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let (_, web) = attach(&network, "web", &["8080:80"]).await.unwrap();
        let table = || sh("nft list table inet gantry0 2>/dev/null || echo none");
        let whole = table();
        // The actor is on this very thread: until it is awaited, it reads nothing, and the kernel keeps so much and no more.
        sh("nft 'add table inet noise; add set inet noise s { type ipv4_addr; }'");
        let mut rounds = 0..100;
        while lost(12, 7) == 0 {
            rounds.next().expect("the room for notices has an end");
            sh("{ echo 'add element inet noise s {'
                seq 8000 | awk '{ printf \"10.0.%d.%d comment \\\"%0120d\\\",\\n\", $1 / 250, $1 % 250, 0 }'
                echo '}'; echo 'flush set inet noise s'; } | nft -f -");
        }
        sh("nft delete table inet gantry0");
        until("the table is back, though nobody told of its end", || table() == whole).await;
        // From here on it hears again.
        sh("nft delete table inet gantry0");
        until("the table is back", || table() == whole).await;
        sh("nft delete table inet noise");
        assert!(sh("ip -o link").contains(&web.link));
        world.stop(network, "gantry0").await;
    });
}

/// That a link is gone is among what was lost: its address is free again all the same.
#[test]
fn a_link_of_which_nobody_told_that_it_is_gone_is_missed() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let (id, web) = attach(&network, "web", &["8080:80"]).await.unwrap();
        // Somebody is in its namespace yet.
        let held = std::fs::File::open(&web.netns).unwrap();
        network.send(Detach { id }).await.unwrap();
        assert!(sh("ip -o link").contains(&web.link));
        // The actor reads nothing from here on, as above.
        let mut rounds = 0..100;
        while lost(0, 1) == 0 {
            rounds.next().expect("the room for notices has an end");
            sh("for n in $(seq 500); do echo link set wire0 txqueuelen 1001; echo link set wire0 txqueuelen 1000; done |
                ip -batch -");
        }
        let before = lost(0, 1);
        drop(held);
        let deadline = std::time::Instant::now() + patience();
        while sh("ip -o link").contains(&web.link) {
            assert!(std::time::Instant::now() < deadline, "the kernel takes it away");
        }
        assert!(lost(0, 1) > before, "nobody was told");
        let again =
            tokio::time::timeout(patience(), attach_to(&network, "again", &[], Some(web.ip), &["8080:80"])).await;
        assert_eq!(again.expect("it is missed").unwrap().1.ip, web.ip);
        world.stop(network, "gantry0").await;
    });
}

/// The bound is one for each user namespace, so this is done in one of its own.
#[test]
fn as_many_namespaces_as_there_may_be_are_told() {
    let test = "network::limits::in_a_user_namespace";
    let itself = std::env::current_exe().unwrap();
    let within = ["--user", "--map-root-user", "--net"];
    let run = Command::new("unshare").args(within).arg(itself).args(["--exact", test, "--ignored"]).output().unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
#[ignore = "for the test above, in a user namespace of its own"]
fn in_a_user_namespace() {
    on_a_host(async |world: Rc<World>| {
        let config = Config { network_spares: 0, ..world.config("gantry0") };
        let network = Network::start(&config, &Tools::default(), Bus::default()).await.unwrap();
        // Those that there are: the test's, the host's and its neighbour's.
        sh("echo 4 > /proc/sys/user/max_net_namespaces");
        let (id, _) = attach(&network, "one", &["8080:80"]).await.unwrap();
        let refusal = attach(&network, "two", &["8081:80"]).await.unwrap_err();
        assert_eq!(refusal.code(), Code::Busy, "{refusal}");
        assert!(refusal.message().contains("user.max_net_namespaces"), "{refusal}");
        assert!(is_free(8081), "nothing of it is left");
        network.send(Detach { id }).await.unwrap();
        // The kernel counts it until it is taken down, a moment later.
        let mut tries = 0..1000;
        while let Err(refusal) = attach(&network, "two", &["8081:80"]).await {
            assert_eq!(refusal.code(), Code::Busy, "{refusal}");
            tries.next().expect("the namespace of the first is gone some time");
            tokio::time::sleep(patience() / 500).await;
        }
        world.stop(network, "gantry0").await;
    });
}
