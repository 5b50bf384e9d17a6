//! What runs out: network namespaces, and the room for the kernel's notices. It is told, or made up for, and the actor goes on.

use std::process::Command;
use std::rc::Rc;

use gantry::config::Config;
use gantry::events::Bus;
use gantry::network::{Detach, Network};
use gantry::refusal::Code;
use gantry::tools::Tools;

use super::world::*;

/// How many notices of rules were lost in this namespace, by all who listen.
fn lost() -> u64 {
    const LISTENERS: &str =
        "awk '$2 == 12 && $4 == \"00000040\" { lost += $9 } END { print lost + 0 }' /proc/net/netlink";
    sh(LISTENERS).trim().parse().unwrap()
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
        while lost() == 0 {
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
