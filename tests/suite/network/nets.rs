//! Several networks: isolated from each other, or from everything; and containers on more than one of them.

use std::net::Ipv4Addr;
use std::rc::Rc;

use gantry::config::Config;
use gantry::events::Bus;
use gantry::id::NetworkName;
use gantry::link::Post;
use gantry::network::{Connect, Create, Detach, Disconnect, List, Network, Remove, Row};
use gantry::refusal::{Code, Refusal};
use gantry::tools::Tools;

use super::world::*;
use crate::shell::program;

fn name(text: &str) -> NetworkName {
    text.parse().unwrap()
}

async fn create(network: &Post<Network>, called: &str, subnet: Option<&str>, internal: bool) -> Result<Row, Refusal> {
    let subnet = subnet.map(|subnet| subnet.parse().unwrap());
    network.send(Create { name: name(called), subnet, internal }).await.unwrap()
}

fn serve(place: &Place, called: &'static str) -> Service {
    Service::new(&place.netns, (Ipv4Addr::UNSPECIFIED, 80), called)
}

fn default_route(place: &Place) -> String {
    inside(&place.netns, || sh("ip route show default"))
}

/// On hosts whose rules see what is bridged, and on those whose do not.
#[test]
fn networks_are_isolated_from_each_other_both_ways() {
    on_a_host(async |world: Rc<World>| {
        for bridged in ["1", "0"] {
            let knob = "/proc/sys/net/bridge/bridge-nf-call-iptables";
            sh(&format!("if [ -e {knob} ]; then echo {bridged} > {knob}; fi"));
            isolated(&world).await;
        }
        sh("if [ -d /proc/sys/net/bridge ]; then echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables; fi");
    });
}

async fn isolated(world: &World) {
    let network = world.start("gantry0").await.unwrap();
    create(&network, "front", None, false).await.unwrap();
    create(&network, "back", Some("10.99.0.0/24"), false).await.unwrap();
    let places = [("bridge", "8080:80"), ("front", "8081:80"), ("back", "127.0.0.1:8082:80")];
    let mut all = Vec::new();
    for (on, port) in places {
        all.push(attach_to(&network, &format!("on-{on}"), &[on], None, &[port]).await.unwrap().1);
    }
    let (_, mate) = attach_to(&network, "mate", &["back"], None, &[]).await.unwrap();
    let services: Vec<_> = all.iter().map(|place| serve(place, "web")).collect();
    let outside = Service::new(&world.neighbour, (NEIGHBOUR, 80), "outside");
    for (nth, from) in all.iter().enumerate() {
        for (other, to) in all.iter().enumerate() {
            let reached = ask_tcp(&from.netns, to.ip, 80, if nth == other { patience() } else { impatience() });
            assert_eq!(reached.is_ok(), nth == other, "{from:?} {to:?}");
        }
        assert_eq!(ask_tcp(&from.netns, NEIGHBOUR, 80, patience()).unwrap(), format!("outside {HOST}"));
        assert!(ask_tcp(&from.netns, HOST, 8081, patience()).is_ok(), "what is published is for all");
        assert!(ask_tcp(&world.here, from.ip, 80, patience()).is_ok(), "the host reaches all");
    }
    assert!(ask_tcp(&mate.netns, all[2].ip, 80, patience()).unwrap().contains(&mate.ip.to_string()));
    assert!(ask_tcp(&world.neighbour, HOST, 8081, patience()).is_ok());
    assert!(ask_tcp(&world.neighbour, all[1].ip, 80, impatience()).is_err(), "but not past what is published");
    assert!(ask_tcp(&world.here, LOCALHOST, 8082, patience()).is_ok());
    drop((services, outside));
    world.stop(network, "gantry0").await;
}

#[test]
fn nothing_gets_out_of_an_internal_network_or_in() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        create(&network, "vault", None, true).await.unwrap();
        create(&network, "cell", None, true).await.unwrap();
        let (_, one) = attach_to(&network, "one", &["vault"], None, &[]).await.unwrap();
        let (_, two) = attach_to(&network, "two", &["vault"], None, &[]).await.unwrap();
        let (_, other) = attach_to(&network, "other", &["cell"], None, &[]).await.unwrap();
        let (_, web) = attach(&network, "web", &["8080:80"]).await.unwrap();
        let services = [&one, &two, &other, &web].map(|place| serve(place, "in"));
        let outside = Service::new(&world.neighbour, (NEIGHBOUR, 80), "outside");
        assert_eq!(default_route(&one), "");
        assert!(ask_tcp(&one.netns, two.ip, 80, patience()).is_ok(), "among themselves");
        assert!(ask_tcp(&one.netns, NEIGHBOUR, 80, impatience()).is_err());
        // One that may do so makes itself a route.
        let gateway = one.gateway;
        inside(&one.netns, || sh(&format!("ip route add default via {gateway}")));
        for (to, port) in [(NEIGHBOUR, 80), (other.ip, 80), (web.ip, 80), (HOST, 8080), (gateway, 8080)] {
            assert!(ask_tcp(&one.netns, to, port, impatience()).is_err(), "{to}:{port}");
        }
        assert!(ask_tcp(&web.netns, one.ip, 80, impatience()).is_err());
        assert!(ask_tcp(&world.neighbour, one.ip, 80, impatience()).is_err());
        let refused = attach_to(&network, "published", &["vault", "cell"], None, &["8081:80"]).await;
        assert_eq!(code(refused), Code::BadOption);
        drop((services, outside));
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn a_container_on_several_networks_goes_out_by_the_first_that_leads_out() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        create(&network, "vault", None, true).await.unwrap();
        let front = create(&network, "front", None, false).await.unwrap();
        let on = ["vault", "front", "bridge"];
        let wanted = Some(Ipv4Addr::from_bits(network.send(List).await.unwrap()[2].gateway.to_bits() + 5));
        let (id, web) = attach_to(&network, "web", &on, wanted, &["8080:80"]).await.unwrap();
        assert_eq!((web.ips.len(), Some(web.ip)), (3, wanted));
        assert!(default_route(&web).contains(&format!("via {} dev eth1", front.gateway)), "{}", default_route(&web));
        let mates = ["vault", "front", "bridge"].map(|net| (net, network.clone()));
        let service = serve(&web, "web");
        for (nth, (net, network)) in mates.into_iter().enumerate() {
            let (_, mate) = attach_to(&network, net, &[net], None, &[]).await.unwrap();
            assert!(ask_tcp(&mate.netns, web.ips[nth], 80, patience()).is_ok(), "{net}");
        }
        assert!(ask_tcp(&world.neighbour, HOST, 8080, patience()).is_ok());
        // The way out, and the way in, go by the next.
        let left = network.send(Disconnect { id: id.clone(), network: name("front") }).await.unwrap().unwrap();
        let left: Vec<_> = left.iter().map(|endpoint| endpoint.interface.as_str()).collect();
        assert_eq!(left, ["eth0", "eth2"]);
        assert!(default_route(&web).contains("dev eth2"), "{}", default_route(&web));
        assert!(ask_tcp(&world.neighbour, HOST, 8080, patience()).is_ok());
        let last = network.send(Disconnect { id: id.clone(), network: name("bridge") }).await.unwrap();
        assert_eq!(code(last), Code::InUse, "ports lead there");
        let again = network.send(Connect { id: id.clone(), network: name("front") }).await.unwrap().unwrap();
        assert_eq!(again[2].interface, "eth1");
        let (_, mate) = attach_to(&network, "mate", &["front"], None, &[]).await.unwrap();
        assert!(ask_tcp(&mate.netns, again[2].ip, 80, patience()).is_ok());
        for (network_name, expected) in [("front", Code::Exists), ("nowhere", Code::NotFound)] {
            let refused = network.send(Connect { id: id.clone(), network: name(network_name) }).await.unwrap();
            assert_eq!(code(refused), expected);
        }
        drop(service);
        network.send(Detach { id }).await.unwrap();
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn the_first_way_out_is_that_of_a_network_connected_later() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        create(&network, "vault", None, true).await.unwrap();
        let (id, web) = attach_to(&network, "web", &["vault"], None, &[]).await.unwrap();
        let outcome = network.send(Connect { id: id.clone(), network: name("bridge") }).await.unwrap();
        assert_eq!(outcome.unwrap().len(), 2);
        let outside = Service::new(&world.neighbour, (NEIGHBOUR, 80), "outside");
        assert!(ask_tcp(&web.netns, NEIGHBOUR, 80, patience()).is_ok());
        drop(outside);
        let gone = network.send(Disconnect { id: id.clone(), network: name("bridge") }).await.unwrap();
        assert_eq!((gone.unwrap().len(), default_route(&web)), (1, String::new()));
        let (changed, ()) = futures::join!(
            async { network.send(Connect { id: id.clone(), network: name("bridge") }).await.unwrap() },
            async { network.send(Detach { id: id.clone() }).await.unwrap() },
        );
        assert_eq!(code(changed), Code::Cancelled, "it was detached while it was changed");
        assert!(network.send(List).await.unwrap().iter().all(|row| row.containers.is_empty()));
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn subnets_are_free_of_what_the_host_has_and_of_each_other() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        sh("ip route add 10.68.3.0/24 via 192.168.99.2");
        let one = create(&network, "one", None, false).await.unwrap();
        assert_eq!(one.subnet.to_string(), "10.69.0.0/16");
        for taken in ["10.69.1.0/24", "10.67.0.0/24", "192.168.99.0/24", "10.68.0.0/16"] {
            let refusal = create(&network, "two", Some(taken), false).await.unwrap_err();
            assert!(refusal.code() == Code::InUse && refusal.message().contains(taken), "{refusal}");
        }
        assert_eq!(code(create(&network, "one", None, false).await), Code::Exists);
        assert_eq!(code(create(&network, "bridge", None, false).await), Code::Exists);
        let at_once = (0..5).map(|nth| {
            let network = network.clone();
            async move { create(&network, &format!("n{nth}"), None, nth % 2 == 0).await.unwrap().subnet }
        });
        let mut subnets: Vec<_> = futures::future::join_all(at_once).await.iter().map(ToString::to_string).collect();
        subnets.sort();
        subnets.dedup();
        assert_eq!(subnets.len(), 5);
        assert_eq!(network.send(List).await.unwrap().len(), 7);
        for round in 0..3 {
            let (id, web) = attach_to(&network, "web", &["one"], None, &[]).await.unwrap();
            let refusal = network.send(Remove(name("one"))).await.unwrap().unwrap_err();
            assert!(refusal.code() == Code::InUse && refusal.message().contains("web:latest"), "{round} {refusal}");
            network.send(Detach { id }).await.unwrap();
            network.send(Remove(name("one"))).await.unwrap().unwrap();
            assert_eq!(code(network.send(Remove(name("one"))).await.unwrap()), Code::NotFound);
            assert!(!sh("nft list table inet gantry0").contains("10.69"), "no rule is left of it");
            assert_eq!(create(&network, "one", None, false).await.unwrap().subnet.to_string(), "10.69.0.0/16");
            assert_eq!(web.ip, Ipv4Addr::new(10, 69, 0, 2));
        }
        assert_eq!(code(network.send(Remove(name("bridge"))).await.unwrap()), Code::Denied);
        sh("ip route del 10.68.3.0/24");
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn further_bridges_that_a_dead_run_left_are_swept_with_or_without_its_journal() {
    on_a_host(async |world: Rc<World>| {
        for keeps_journal in [true, false] {
            let dead = world.start("gantry0").await.unwrap();
            let beside = world.start("gantry01").await.unwrap();
            create(&beside, "front", None, false).await.unwrap();
            for called in ["front", "back"] {
                create(&dead, called, None, called == "back").await.unwrap();
            }
            let (_, web) = attach_to(&dead, "web", &["front", "back"], None, &["8080:80"]).await.unwrap();
            let process = serve(&web, "orphan");
            dead.holder().do_send(Crash);
            until("the actor is gone", || !dead.holder().connected()).await;
            assert!(snapshot().contains("gantry0.n1") && snapshot().contains("gantry0.n2"), "{}", snapshot());
            // As one that was killed between the bridge and its mark leaves it.
            sh("ip link add gantry0.n3 address 02:42:0a:43:00:01 type bridge");
            let journal = world.dir.join("gantry0/network.journal");
            let steps = std::fs::read_to_string(&journal).unwrap();
            std::fs::write(&journal, steps + "link gantry0.n3\n").unwrap();
            if !keeps_journal {
                std::fs::remove_file(journal).unwrap();
                sh("ip link del gantry0.n3");
            }
            let network = world.start("gantry0").await.unwrap();
            let now = snapshot();
            assert!(!now.contains("gantry0.n") && !now.contains("gantry0.v"), "{now}");
            assert!(now.contains("gantry01.n1"), "another's is not touched");
            drop(process);
            assert_eq!(network.send(List).await.unwrap().len(), 1, "networks do not outlive their daemon");
            world.stop(network, "gantry0").await;
            world.stop(beside, "gantry01").await;
        }
    });
}

/// An nft that fails as long as `nft.off` is beside it, and the tools that it is one of.
fn fickle_nft(config: &Config) -> Tools {
    let nft = config.run.join("nft").display().to_string();
    let real = sh("command -v nft").trim().to_owned();
    let script =
        format!("#!/bin/sh\nif [ -e {nft}.off ]; then echo no such luck >&2; exit 1; fi\nexec {real} \"$@\"\n");
    program(nft.as_ref(), &script);
    Tools::new(Some(config.run.clone()))
}

#[test]
fn what_cannot_be_made_leaves_nothing() {
    on_a_host(async |world: Rc<World>| {
        let config = world.config("gantry0");
        let (tools, off) = (fickle_nft(&config), config.run.join("nft.off"));
        let network = Network::start(&config, &tools, Bus::default()).await.unwrap();
        let before = snapshot();
        std::fs::write(&off, "").unwrap();
        assert_eq!(code(create(&network, "front", None, false).await), Code::ToolFailed);
        until("the host is as it was", || snapshot() == before).await;
        std::fs::remove_file(off).unwrap();
        create(&network, "front", None, false).await.unwrap();
        std::fs::remove_file(config.run.join("nft")).unwrap();
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn a_bridge_that_is_not_ours_keeps_its_name_and_its_place() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        // The second is like one that we had made and not marked yet.
        sh("ip link add gantry0.n1 type bridge; ip link add gantry0.n2 address 02:42:0a:44:00:01 type bridge");
        let front = create(&network, "front", None, false).await.unwrap();
        assert_eq!(front.bridge, "gantry0.n3");
        world.stop(network, "gantry0").await;
        sh("ip link del gantry0.n1; ip link del gantry0.n2");
    });
}

#[test]
fn rules_that_could_not_be_taken_away_go_with_the_next_that_are_made() {
    on_a_host(async |world: Rc<World>| {
        let config = world.config("gantry0");
        let (tools, off) = (fickle_nft(&config), config.run.join("nft.off"));
        let network = Network::start(&config, &tools, Bus::default()).await.unwrap();
        create(&network, "front", None, false).await.unwrap();
        std::fs::write(&off, "").unwrap();
        network.send(Remove(name("front"))).await.unwrap().unwrap();
        std::fs::remove_file(off).unwrap();
        until("its rules are gone", || !sh("nft list table inet gantry0").contains("gantry0.n1")).await;
        assert_eq!(create(&network, "front", None, false).await.unwrap().bridge, "gantry0.n1");
        std::fs::remove_file(config.run.join("nft")).unwrap();
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn a_network_that_went_by_half_is_a_network_still() {
    on_a_host(async |world: Rc<World>| {
        let config = Config { bridge_links: 2, ..world.config("gantry0") };
        let network = Network::start(&config, &Tools::default(), Bus::default()).await.unwrap();
        create(&network, "front", None, false).await.unwrap();
        for round in 0..2 {
            let mut all = Vec::new();
            for nth in 0..3 {
                all.push(attach_to(&network, &format!("c{nth}"), &["front"], None, &[]).await.unwrap());
            }
            let service = serve(&all[2].1, "third");
            assert!(ask_tcp(&all[0].1.netns, all[2].1.ip, 80, patience()).is_ok(), "{round}");
            drop(service);
            for (id, _) in all {
                network.send(Detach { id }).await.unwrap();
            }
            // The further bridge goes, and the first is somebody else's by then.
            let alias = sh("ip link show gantry0.n1 | sed -n 's/^ *alias //p'");
            sh("ip link set gantry0.n1 alias mine");
            assert_eq!(code(network.send(Remove(name("front"))).await.unwrap()), Code::InUse);
            sh(&format!("ip link set gantry0.n1 alias '{}'", alias.trim()));
        }
        network.send(Remove(name("front"))).await.unwrap().unwrap();
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn ports_that_somebody_leads_elsewhere_are_led_by_the_books_again() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        create(&network, "front", None, false).await.unwrap();
        let (id, web) = attach_to(&network, "web", &["front", "bridge"], None, &["8080:80", "8081:80"]).await.unwrap();
        sh("nft delete element inet gantry0 published '{ tcp . 8080, tcp . 8081 }'
            nft add element inet gantry0 published '{ tcp . 8081 : 10.67.9.9 . 80 }'");
        network.send(Disconnect { id, network: name("front") }).await.unwrap().unwrap();
        let leads = |port: u16| format!("tcp . {port} : {} . 80", web.ips[1]);
        until("both lead to it", || {
            let published = sh("nft list map inet gantry0 published");
            published.contains(&leads(8080)) && published.contains(&leads(8081))
        })
        .await;
        world.stop(network, "gantry0").await;
    });
}
