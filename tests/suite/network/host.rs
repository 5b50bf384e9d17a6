//! What the network does to its host: beside other daemons, after a crash, among what is not ours.

use std::net::Ipv4Addr;
use std::rc::Rc;

use gantry::config::Config;
use gantry::events::Bus;
use gantry::network::{Close, Network, check};
use gantry::refusal::Code;
use gantry::tools::Tools;
use nix::sched::{CloneFlags, unshare};

use super::world::*;
use crate::shell::program;

#[test]
fn two_daemons_stand_side_by_side() {
    on_a_host(async |world: Rc<World>| {
        let one = world.start("gantry0").await.unwrap();
        let two = world.start("gantry01").await.unwrap();
        assert_eq!(code(world.start_once("gantry0").await.map(drop)), Code::InUse, "a bridge has one daemon");
        let (_, web) = attach(&one, "web", &["8080:80"]).await.unwrap();
        assert_eq!(code(attach(&two, "web", &["8080:80"]).await), Code::InUse);
        let (_, web_two) = attach(&two, "web", &["8081:80"]).await.unwrap();
        assert_ne!(web.ip.octets()[1], web_two.ip.octets()[1], "subnets differ");
        let services = [&web, &web_two].map(|web| Service::new(&web.netns, (Ipv4Addr::UNSPECIFIED, 80), "web"));
        assert!(ask_tcp(&world.neighbour, HOST, 8080, patience()).is_ok());
        assert!(ask_tcp(&web.netns, HOST, 8081, patience()).is_ok(), "from a container of the other");
        assert!(ask_tcp(&web.netns, web_two.ip, 80, impatience()).is_err(), "but not past the published port");
        let [first, second] = services;
        drop(first);
        world.stop(one, "gantry0").await;
        assert!(ask_tcp(&world.neighbour, HOST, 8081, patience()).is_ok(), "the other's end does not matter");
        drop(second);
        world.stop(two, "gantry01").await;
    });
}

#[test]
fn what_a_dead_run_left_is_swept_and_what_it_found_is_restored() {
    on_a_host(async |world: Rc<World>| {
        let dead = world.start("gantry0").await.unwrap();
        let (_, attachment) = attach(&dead, "web", &["8080:80"]).await.unwrap();
        // A process of the dead run lives on in its namespace.
        let process = Service::new(&attachment.netns, (Ipv4Addr::UNSPECIFIED, 80), "orphan");
        dead.holder().do_send(Crash);
        until("the actor is gone", || !dead.holder().connected()).await;
        let left = snapshot();
        assert!(left.contains("table inet gantry0") && left.contains(&attachment.link), "{left}");
        std::fs::remove_file(world.dir.join("gantry0/network.journal")).unwrap();
        let network = world.start("gantry0").await.unwrap();
        assert!(!snapshot().contains(&format!("{}@", attachment.link)));
        let (_, again) = attach(&network, "web", &["8080:80"]).await.unwrap();
        assert_eq!(again.ip, attachment.ip);
        drop(process);
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn the_last_one_out_restores_whatever_became_of_the_first() {
    on_a_host(async |world: Rc<World>| {
        sh("echo 0 > /proc/sys/net/ipv4/conf/all/accept_redirects");
        let before = snapshot();
        let forwards = || sh("cat /proc/sys/net/ipv4/ip_forward").trim() == "1";
        let first = world.start("gantry0").await.unwrap();
        let second = world.start("gantry1").await.unwrap();
        first.holder().do_send(Crash);
        until("the actor is gone", || !first.holder().connected()).await;
        world.stop(second, "gantry1").await;
        assert!(forwards(), "the first one's bridge is there yet");
        let third = world.start("gantry2").await.unwrap();
        // Only the journal knows now what the first one found.
        sh("ip link del gantry0");
        let again = world.start("gantry0").await.unwrap();
        world.stop(again, "gantry0").await;
        assert!(forwards(), "the third needs it");
        world.stop(third, "gantry2").await;
        until("the host is as it was", || snapshot() == before).await;
        sh("echo 1 > /proc/sys/net/ipv4/conf/all/accept_redirects");
    });
}

#[test]
fn a_bridge_that_was_not_marked_yet_is_swept() {
    on_a_host(async |world: Rc<World>| {
        let config = world.config("gantry0");
        sh("ip link add gantry0 address 02:42:0a:43:00:01 type bridge");
        assert_eq!(code(world.start("gantry0").await.map(drop)), Code::InUse, "nobody says that it is ours");
        std::fs::write(config.run.join("network.journal"), "link gantry0\n").unwrap();
        let network = world.start("gantry0").await.unwrap();
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    on_a_host(async |world: Rc<World>| {
        let before = snapshot();
        sh("ip link add gantry0 type bridge; nft add table inet gantry1");
        let with = snapshot();
        for bridge in ["gantry0", "gantry1"] {
            let refusal = world.start(bridge).await.unwrap_err();
            assert!(refusal.code() == Code::InUse && refusal.message().contains("not gantry's"), "{refusal}");
            std::fs::remove_dir(world.dir.join(bridge)).unwrap();
        }
        until("what is not ours is as it was", || snapshot() == with).await;
        sh("ip link del gantry0; nft delete table inet gantry1");
        until("the host is as it was", || snapshot() == before).await;
        let config = Config { subnet: Some("192.168.0.0/16".parse().unwrap()), ..world.config("gantry0") };
        let refusal = start_as(&config, &Bus::default()).await.unwrap_err();
        assert!(refusal.code() == Code::InUse && refusal.message().contains("wire0"), "{refusal}");
        std::fs::remove_dir(world.dir.join("gantry0")).unwrap();
    });
}

#[test]
fn what_cannot_be_taken_down_holds_nothing_else_back() {
    on_a_host(async |world: Rc<World>| {
        let before = snapshot();
        let network = world.start("gantry0").await.unwrap();
        sh("nft delete table inet gantry0; nft add table inet gantry0");
        network.send(Close).await.unwrap();
        assert!(sh("nft list ruleset").contains("table inet gantry0"), "it is somebody else's now");
        sh("nft delete table inet gantry0");
        until("the host is as it was", || snapshot() == before).await;
        let journal = world.dir.join("gantry0/network.journal");
        assert_eq!(std::fs::read_to_string(&journal).unwrap(), "table gantry0\n", "the rest is done");
        std::fs::remove_file(journal).unwrap();
        std::fs::remove_dir(world.dir.join("gantry0")).unwrap();
    });
}

#[test]
fn links_that_forwarded_though_the_host_did_not_do_so_again() {
    on_a_host(async |world: Rc<World>| {
        sh("echo 1 > /proc/sys/net/ipv4/conf/wire0/forwarding");
        let before = snapshot();
        let network = world.start("gantry0").await.unwrap();
        world.stop(network, "gantry0").await;
        until("the host is as it was", || snapshot() == before).await;
        // By the alias of what a dead run left, too.
        let dead = world.start("gantry0").await.unwrap();
        dead.holder().do_send(Crash);
        until("the actor is gone", || !dead.holder().connected()).await;
        std::fs::remove_file(world.dir.join("gantry0/network.journal")).unwrap();
        let network = world.start("gantry0").await.unwrap();
        world.stop(network, "gantry0").await;
        until("the host is as it was", || snapshot() == before).await;
        sh("echo 0 > /proc/sys/net/ipv4/conf/wire0/forwarding");
    });
}

#[test]
fn without_nft_nothing_is_left_behind() {
    on_a_host(async |world: Rc<World>| {
        let config = world.config("gantry0");
        let nft = config.run.join("nft");
        program(&nft, "#!/bin/sh\necho '1:1-2: Error: no such luck' >&2; exit 1\n");
        let tools = Tools::new(Some(config.run.clone()));
        let refusal = Network::start(&config, &tools, Bus::default()).await.unwrap_err();
        assert!(refusal.code() == Code::ToolFailed && refusal.message().contains("no such luck"), "{refusal}");
        let findings = check(&config, &tools).await;
        assert!(findings.iter().any(|finding| finding.check == "nft" && !finding.ok), "{findings:?}");
        std::fs::remove_file(nft).unwrap();
        let findings = check(&config, &tools).await;
        assert!(findings.iter().all(|finding| finding.ok), "{findings:?}");
        std::fs::remove_dir(config.run).unwrap();
    });
}

/// What was set before it is put back: the links by which the host heeds routers' advertisements among it.
#[test]
fn a_sysctl_that_cannot_be_set_leaves_the_others_as_they_were() {
    on_a_host_of_both(async |world: Rc<World>| {
        let before = snapshot();
        // For this thread and for those that it starts.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let sysctl = "/proc/sys/net/ipv6/conf/all/forwarding";
        sh(&format!("mount --make-rprivate /; mount --bind {sysctl} {sysctl}; mount -o remount,bind,ro {sysctl}"));
        let refusal = world.start("gantry0").await.unwrap_err();
        assert!(refusal.code() == Code::Internal && refusal.message().contains(sysctl), "{refusal}");
        until("the host is as it was", || snapshot() == before).await;
        sh(&format!("umount {sysctl}"));
        let network = world.start("gantry0").await.unwrap();
        world.stop(network, "gantry0").await;
    });
}
