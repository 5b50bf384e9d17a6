//! Beside other firewalls: what they take away is put back, what they drop is told, and what they forbid stays forbidden.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::rc::Rc;
use std::time::SystemTime;

use gantry::config::Config;
use gantry::events::Bus;
use gantry::id::NetworkName;
use gantry::link::Post;
use gantry::network::{Create, Detach, Finding, Network, check};
use gantry::refusal::Refusal;
use gantry::tools::Tools;

use super::world::*;

/// What Docker does to a host: its chain for others, and a policy that drops all that it does not know.
fn dockerize(family: &str) {
    sh(&format!(
        "nft -f - <<E
add table {family} filter
add chain {family} filter FORWARD {{ type filter hook forward priority filter; policy drop; }}
add chain {family} filter DOCKER-USER
add rule {family} filter FORWARD counter jump DOCKER-USER
E"
    ));
}

/// The host's address in each family, and what iptables is called there.
const FAMILIES: [(&str, IpAddr, &str); 2] =
    [("ip", IpAddr::V4(HOST), " iptables"), ("ip6", IpAddr::V6(HOST6), " ip6tables")];

async fn start(world: &World, cooperate: bool, bus: Bus) -> Result<Post<Network>, Refusal> {
    let config = Config { firewall_cooperate: cooperate, ..world.config("gantry0") };
    start_as(&config, &bus).await
}

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

fn serve(place: &Place, called: &'static str) -> Service {
    Service::new(&place.netns, (if place.v6.is_some() { ANY6 } else { ANY }, 80), called)
}

fn answers(world: &World, port: u16) -> bool {
    answers_at(world, HOST.into(), port)
}

fn answers_at(world: &World, host: IpAddr, port: u16) -> bool {
    ask_tcp(&world.neighbour, host, port, patience()).is_ok()
}

fn is_dropped(world: &World, host: IpAddr, port: u16) -> bool {
    ask_tcp(&world.neighbour, host, port, impatience()).is_err()
}

async fn finding(config: &Config) -> Finding {
    let findings = check(config, &Tools::default()).await;
    findings.into_iter().find(|finding| finding.check == "forward").unwrap()
}

/// How many rules there are with our comment.
fn leaves() -> usize {
    sh("nft list ruleset").matches("comment \"gantry gantry0\"").count()
}

#[test]
fn a_table_that_somebody_took_away_is_back_with_all_that_was_in_it() {
    on_a_host(async |world: Rc<World>| {
        let bus = Bus::default();
        let network = start(&world, false, bus.clone()).await.unwrap();
        let create = Create { name: "back".parse().unwrap(), subnet: None, internal: true };
        network.send(create).await.unwrap().unwrap();
        let (id, web) = attach(&network, "web", &["8080:80", "127.0.0.1:9090:80/udp"]).await.unwrap();
        let (_, two) = attach_to(&network, "two", &["bridge", "back"], None, &["8081:80"]).await.unwrap();
        let services = [serve(&web, "web"), serve(&two, "two")];
        let table = || sh("nft list table inet gantry0 2>/dev/null || echo none");
        let whole = table();
        // The whole of it, its rules, a chain, a set with what asks for it, and an older state of it.
        let older = format!("flush ruleset\n{}", whole.replace("8081", "8082"));
        let harms = [
            "nft flush ruleset".to_owned(),
            "nft delete table inet gantry0".to_owned(),
            "nft flush table inet gantry0".to_owned(),
            "nft flush chain inet gantry0 forward".to_owned(),
            format!("nft -f - <<'E'\n{older}\nE"),
        ];
        for harm in &harms {
            sh(harm);
            until(&format!("after {harm:.40}"), || table() == whole).await;
            assert!(answers(&world, 8080) && answers(&world, 8081), "after {harm:.40}");
        }
        assert!(ask_udp(&world.here, LOCALHOST, 9090).unwrap().starts_with("web "));
        let restored = || {
            let (past, _) = bus.subscribe(Some(SystemTime::UNIX_EPOCH));
            past.iter().filter(|event| event.action == "restore" && event.name == "back").count()
        };
        until("each time is told", || restored() >= harms.len()).await;
        // While it is gone, a container comes on the network all the same, and another goes.
        sh("nft flush ruleset");
        let (_, third) = attach(&network, "third", &["8083:80"]).await.unwrap();
        network.send(Detach { id }).await.unwrap();
        let last = serve(&third, "third");
        until("the third is published", || table().contains("8083")).await;
        assert!(answers(&world, 8083) && !table().contains("8080"));
        drop((services, last));
        world.stop(network, "gantry0").await;
        assert_eq!(table(), "none\n");
    });
}

#[test]
fn a_table_of_that_name_that_is_not_ours_is_left_alone() {
    on_a_host(async |world: Rc<World>| {
        let network = start(&world, false, Bus::default()).await.unwrap();
        sh("nft delete table inet gantry0; nft add table inet gantry0 '{ comment \"mine\"; }'");
        // What is asked afterwards is answered after the notice.
        let create = Create { name: "front".parse::<NetworkName>().unwrap(), subnet: None, internal: false };
        assert!(network.send(create).await.unwrap().is_err(), "the actor goes on, and says that it cannot");
        assert!(sh("nft list ruleset").contains("comment \"mine\""));
        sh("nft delete table inet gantry0");
        until("ours is back", || sh("nft list ruleset").contains("comment \"gantry\"")).await;
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn a_chain_that_drops_is_told_with_the_line_that_helps() {
    on_a_host_of_both(async |world: Rc<World>| {
        let config = world.config("gantry0");
        assert!(finding(&config).await.ok);
        let network = start(&world, false, Bus::default()).await.unwrap();
        let (_, web) = attach(&network, "web", &["8080:80"]).await.unwrap();
        let service = serve(&web, "web");
        for (family, host, iptables) in FAMILIES {
            let is_dropped = || is_dropped(&world, host, 8080);
            assert!(finding(&config).await.ok && answers_at(&world, host, 8080), "our own chains are no obstacle");
            dockerize(family);
            assert!(is_dropped());
            let told = finding(&config).await;
            let line =
                format!("{iptables} -I DOCKER-USER -i gantry0+ -j ACCEPT &&{iptables} -I DOCKER-USER -o gantry0+");
            assert!(!told.ok && told.detail.contains(&line), "{told:?}");
            sh(&format!(
                "nft delete table {family} filter; nft -f - <<'E'
                table {family} mine {{
                    chain forward {{ type filter hook forward priority filter; ct mark 7 accept; counter reject; }}
                }}\nE"
            ));
            assert!(is_dropped());
            let told = finding(&config).await;
            let chain = format!("the chain forward of the table {family} mine");
            assert!(!told.ok && told.detail.contains(&chain), "{told:?}");
            let line = told.detail.split_once("; add ").unwrap().1.to_owned();
            sh(&line);
            assert!(answers_at(&world, host, 8080), "{line}");
            assert!(finding(&config).await.ok);
            sh(&format!("nft delete table {family} mine"));
        }
        drop(service);
        world.stop(network, "gantry0").await;
    });
}

/// A line for the bridge helps where it stands in what the chain that drops leads to, and nowhere else.
#[test]
fn a_line_for_what_comes_in_lets_nothing_through_that_is_forwarded() {
    on_a_host(async |world: Rc<World>| {
        let config = world.config("gantry0");
        sh("nft -f - <<'E'
            table inet filter {
                chain input { type filter hook input priority filter; iifname \"gantry0*\" accept; }
                chain own { }
                chain others { jump own; }
                chain forward { type filter hook forward priority filter; policy drop; jump others; }
            }\nE");
        let told = finding(&config).await;
        assert!(!told.ok && told.detail.contains("the chain forward of the table inet filter"), "{told:?}");
        sh("nft 'add rule inet filter own iifname \"gantry0*\" accept'");
        assert!(finding(&config).await.ok);
        sh("nft delete table inet filter");
        std::fs::remove_dir(config.run).unwrap();
    });
}

#[test]
fn a_chain_that_drops_what_comes_in_is_told_with_the_line_that_helps() {
    on_a_host(async |world: Rc<World>| {
        let config = world.config("gantry-longer");
        let network = world.start("gantry-longer").await.unwrap();
        let further = Create { name: "front".parse().unwrap(), subnet: None, internal: false };
        network.send(further).await.unwrap().unwrap();
        let mut places = Vec::new();
        for on in ["bridge", "front"] {
            places.push(attach_to(&network, on, &[on], None, &[]).await.unwrap().1);
        }
        let process = Service::new(&world.here, (Ipv4Addr::UNSPECIFIED, 7777), "host");
        sh("nft -f - <<'E'
            table inet mine { chain input { type filter hook input priority filter; policy drop; }; }\nE");
        let reach = |place: &Place, patience| ask_tcp(&place.netns, place.gateway, 7777, patience).is_ok();
        assert!(places.iter().all(|place| !reach(place, impatience())));
        let told = finding(&config).await;
        assert!(
            !told.ok && told.detail.contains("the chain input of the table inet mine drops what comes in"),
            "{told:?}"
        );
        let line = told.detail.split_once("; add ").unwrap().1.to_owned();
        sh(&line);
        assert!(places.iter().all(|place| reach(place, patience())), "{line}");
        assert!(finding(&config).await.ok);
        sh("nft delete table inet mine");
        drop(process);
        world.stop(network, "gantry-longer").await;
    });
}

#[test]
fn docker_is_asked_for_its_leave_and_has_its_chain_back() {
    on_a_host_of_both(async |world: Rc<World>| {
        for (family, host, _) in FAMILIES {
            cooperates(&world, family, host).await;
        }
    });
}

async fn cooperates(world: &World, family: &str, host: IpAddr) {
    dockerize(family);
    let config = Config { firewall_cooperate: true, ..world.config("gantry0") };
    let network = start(world, true, Bus::default()).await.unwrap();
    let (_, web) = attach(&network, "web", &["8080:80"]).await.unwrap();
    let service = serve(&web, "web");
    until("our leave stands", || leaves() == 4).await;
    assert!(answers_at(world, host, 8080));
    assert!(finding(&config).await.ok);
    // One of the four is deleted by hand.
    sh(&format!(
        "h=$(nft -a list chain {family} filter DOCKER-USER | sed -n 's/.*handle //p' | sed -n 2p)
        nft delete rule {family} filter DOCKER-USER handle $h"
    ));
    until("our leave is whole again", || leaves() == 4).await;
    // Docker starts anew.
    sh(&format!("nft delete table {family} filter"));
    dockerize(family);
    until("our leave stands again", || leaves() == 4).await;
    assert!(answers_at(world, host, 8080));
    drop(service);
    // A crash leaves it, and the next start, which is not to ask, takes it away.
    network.holder().do_send(Crash);
    until("the actor is gone", || !network.holder().connected()).await;
    assert_eq!(leaves(), 4);
    let network = start(world, true, Bus::default()).await.unwrap();
    until("our leave stands once", || leaves() == 4).await;
    world.stop(network, "gantry0").await;
    assert_eq!(leaves(), 0);
    sh(&format!("nft delete table {family} filter"));
}

/// As README says.
#[test]
fn a_host_firewall_can_forbid_a_published_port() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let (_, web) = attach(&network, "web", &["8080:80", "8081:80"]).await.unwrap();
        let (_, other) = attach(&network, "other", &[]).await.unwrap();
        let service = serve(&web, "web");
        assert!(answers(&world, 8080));
        sh("nft add table inet mine
            nft add chain inet mine forward '{ type filter hook forward priority filter; }'
            nft add rule inet mine forward iifname wire0 meta l4proto tcp ct original proto-dst 8080 drop");
        assert!(is_dropped(&world, HOST.into(), 8080), "forbidden to whoever comes by that link");
        assert!(answers(&world, 8081), "the other port is not");
        assert!(ask_tcp(&other.netns, HOST, 8080, patience()).is_ok(), "nor are containers");
        sh("nft delete table inet mine");
        assert!(answers(&world, 8080));
        drop(service);
        world.stop(network, "gantry0").await;
    });
}

/// Asks from a port of its own, that is: in one flow.
fn ask(socket: &UdpSocket, port: u16) -> Option<String> {
    let mut buffer = [0; 64];
    for _ in 0..20 {
        // What was refused on its way is told by the next call.
        if socket.send_to(b"?", (HOST, port)).is_err() {
            continue;
        }
        if let Ok((length, _)) = socket.recv_from(&mut buffer) {
            return Some(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    }
    None
}

#[test]
fn a_flow_of_udp_that_began_while_nothing_led_on_is_led_when_the_table_is_back() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let (_, web) = attach(&network, "web", &["8053:80/udp"]).await.unwrap();
        let service = serve(&web, "web");
        let socket = inside(&world.neighbour, || UdpSocket::bind("0.0.0.0:0").unwrap());
        socket.set_nonblocking(true).unwrap();
        // Somebody else has the kernel remember flows too. This thread is the daemon's: until it waits, nothing is put back.
        sh("nft -f - <<'E'
            table inet mine { chain in { type filter hook prerouting priority filter; ct state invalid drop; }; }\nE
            nft delete table inet gantry0");
        socket.send_to(b"?", (HOST, 8053)).unwrap();
        until("the flow is led", || {
            // What was refused on its way is told by the next call.
            let _ = socket.send_to(b"?", (HOST, 8053));
            socket.recv(&mut [0; 64]).is_ok()
        })
        .await;
        sh("nft delete table inet mine");
        drop(service);
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn the_companion_of_the_table_is_put_back_too() {
    on_a_host_of_both(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let has = || sh("nft list tables").contains("table bridge gantry0");
        // Not every kernel has such tables.
        if has() {
            sh("nft delete table bridge gantry0");
            until("it is back", has).await;
        }
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn flows_of_udp_follow_the_port_to_whoever_has_it() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let socket = inside(&world.neighbour, || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_read_timeout(Some(impatience() / 2)).unwrap();
            socket
        });
        // A flow that began when nobody was there.
        socket.send_to(b"?", (HOST, 8053)).unwrap();
        let (id, one) = attach(&network, "one", &["8053:80/udp"]).await.unwrap();
        let first = serve(&one, "one");
        assert_eq!(ask(&socket, 8053), Some(format!("one {NEIGHBOUR}")));
        // The same flow, for it never rests, when the port is another's.
        drop(first);
        network.send(Detach { id }).await.unwrap();
        let (_, two) = attach(&network, "two", &["8053:80/udp"]).await.unwrap();
        assert_ne!(two.ip, one.ip);
        let second = serve(&two, "two");
        assert_eq!(ask(&socket, 8053), Some(format!("two {NEIGHBOUR}")));
        drop(second);
        world.stop(network, "gantry0").await;
    });
}
