//! Other firewalls of this host: what we forward passes their chains too, and what one of them drops no accept of ours
//! brings back. So it is said, with the line that helps; and where the configuration says `firewall-cooperate`, rules of
//! ours stand in `DOCKER-USER`, the chain that Docker keeps for others and asks first
//! (docs.docker.com, "Packet filtering and firewalls").
//!
//! Those rules are known by their comment, so whoever comes after a crash finds them without a journal.

use std::io;

use actix::prelude::*;
use nix::libc;

use super::names::LinkNames;
use super::nfnl::{self, Nfnl, Request, Verb};
use super::nfread::{self, Message};
use super::{Network, wrong};
use crate::refusal::Refusal;
use crate::tools::{Tools, nft};
use crate::worker::beside;

/// The table `filter`, of `ip` and of `ip6`, and the chain in it that Docker leaves to others.
pub const DOCKER: (&str, &str) = ("filter", "DOCKER-USER");
/// `NF_INET_FORWARD`, `NF_DROP`.
const FORWARD: u32 = 2;
const DROP: u32 = 0;
/// `NFTA_CHAIN_TABLE`, `_NAME`, `_HOOK` and `_POLICY`; `NFTA_HOOK_HOOKNUM`.
const CHAIN: (u16, u16, u16, u16) = (1, 3, 4, 5);
const HOOK_NUMBER: u16 = 1;
/// `NFTA_RULE_TABLE`, `_CHAIN`, `_HANDLE` and `_EXPRESSIONS`.
const RULE: (u16, u16, u16, u16) = (1, 2, 3, 4);
/// `NFTA_LIST_ELEM`; `NFTA_EXPR_NAME` and `NFTA_EXPR_DATA`.
const ITEM: u16 = 1;
const EXPRESSION: (u16, u16) = (1, 2);
/// `NFTA_IMMEDIATE_DATA`, in it `NFTA_DATA_VERDICT`, and in that `NFTA_VERDICT_CODE`.
const VERDICT: [u16; 3] = [2, 2, 1];

/// A chain of somebody else's that drops what is forwarded to or from the bridge, as far as can be told: by its policy,
/// or by a last rule without a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    family: u8,
    table: String,
    chain: String,
    /// Docker's chain for others is in the same table.
    docker: bool,
}

impl Obstacle {
    /// What is in the way, and the line to add.
    pub fn describe(&self, bridge: &str) -> String {
        let Self { family, table, chain, docker } = self;
        let tool = if *family == nfnl::IP[1] { "ip6tables" } else { "iptables" };
        let family = name_of(*family);
        let remedy = match (docker, table.as_str()) {
            (true, _) => format!(
                "{tool} -I DOCKER-USER -i {bridge}+ -j ACCEPT && {tool} -I DOCKER-USER -o {bridge}+ -j ACCEPT \
                 (which firewall-cooperate = true does by itself)"
            ),
            (_, "firewalld") => format!("firewall-cmd --zone=trusted --add-interface={bridge}"),
            _ => format!(
                "nft 'insert rule {family} {table} {chain} iifname \"{bridge}*\" accept; \
                 insert rule {family} {table} {chain} oifname \"{bridge}*\" accept'"
            ),
        };
        format!("the chain {chain} of the table {family} {table} drops what is forwarded; add {remedy}")
    }
}

/// A family as nft calls it.
fn name_of(family: u8) -> &'static str {
    match family {
        nfnl::INET => "inet",
        family if family == nfnl::IP[1] => "ip6",
        _ => "ip",
    }
}

/// The families that networks have.
fn families(v6: bool) -> impl Iterator<Item = u8> {
    nfnl::IP.into_iter().take(if v6 { 2 } else { 1 })
}

/// What is in the way of `bridge`: chains on the forward hook that drop, in tables that do not mention the bridge.
pub fn obstacles(nfnl: &mut Nfnl, bridge: &str, v6: bool) -> io::Result<Vec<Obstacle>> {
    let (mut forwarding, mut docker) = (Vec::new(), Vec::new());
    nfnl.dump(Verb::GetChain.kind(), 0, &[], |chain| {
        let text = |kind| chain.text(kind).map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
        let (family, table, name) = (chain.family, text(CHAIN.0), text(CHAIN.1));
        if family != nfnl::INET && families(v6).all(|ours| ours != family) {
            return;
        }
        if (table.as_str(), name.as_str()) == DOCKER {
            docker.push((family, table.clone()));
        }
        if hook(chain) == Some(FORWARD) {
            let drops = chain.attribute(CHAIN.3).and_then(nfread::number) == Some(DROP);
            forwarding.push((Obstacle { family, table, chain: name, docker: false }, drops));
        }
    })?;
    let mut found = Vec::new();
    for (mut obstacle, by_policy) in forwarding {
        let mut last_drops = false;
        let mut mentioned = false;
        for rule in rules(nfnl, obstacle.family, &obstacle.table)? {
            mentioned |= mentions(&rule.expressions, bridge);
            if rule.chain == obstacle.chain {
                last_drops = drops_all(&rule.expressions);
            }
        }
        if (by_policy || last_drops) && !mentioned {
            obstacle.docker = docker.contains(&(obstacle.family, obstacle.table.clone()));
            found.push(obstacle);
        }
    }
    Ok(found)
}

fn hook(chain: &Message<'_>) -> Option<u32> {
    nfread::number(nfread::find(chain.attribute(CHAIN.2)?, HOOK_NUMBER)?)
}

/// A rule, as far as it matters here.
struct Rule {
    chain: String,
    handle: Vec<u8>,
    comment: String,
    expressions: Vec<u8>,
}

/// The rules of a table, in their order; none where there is no such table.
fn rules(nfnl: &mut Nfnl, family: u8, table: &str) -> io::Result<Vec<Rule>> {
    let mut attributes = Vec::new();
    nfnl::text(&mut attributes, RULE.0, table);
    let mut rules = Vec::new();
    let done = nfnl.dump(Verb::GetRule.kind(), family, &attributes, |rule| {
        // A kernel that does not filter tells of all.
        if rule.text(RULE.0) == Some(table.as_bytes()) {
            rules.push(Rule {
                chain: rule.text(RULE.1).map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default(),
                handle: rule.attribute(RULE.2).unwrap_or_default().to_vec(),
                comment: rule.rule_comment(),
                expressions: rule.attribute(RULE.3).unwrap_or_default().to_vec(),
            });
        }
    });
    match done {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Vec::new()),
        done => done.map(|()| rules),
    }
}

/// Whether a rule compares something with the name of the bridge, or with what it begins with: whoever wrote it has
/// thought of it.
fn mentions(expressions: &[u8], bridge: &str) -> bool {
    let name = bridge.as_bytes();
    let ends = |at: usize| expressions.get(at + name.len()).is_none_or(|next| !next.is_ascii_alphanumeric());
    let mut places = expressions.windows(name.len()).enumerate();
    places.any(|(at, place)| place == name && ends(at))
}

/// Whether a rule drops, or rejects, whatever comes to it.
fn drops_all(expressions: &[u8]) -> bool {
    let mut drops = false;
    for (_, expression) in nfread::each(expressions).filter(|(kind, _)| *kind == ITEM) {
        let name = nfread::find(expression, EXPRESSION.0).unwrap_or_default();
        let data = nfread::find(expression, EXPRESSION.1).unwrap_or_default();
        match name.strip_suffix(&[0]).unwrap_or(name) {
            b"counter" | b"log" => {}
            b"reject" => drops = true,
            b"immediate" => {
                let verdict = VERDICT.iter().try_fold(data, |data, kind| nfread::find(data, *kind));
                drops |= verdict.and_then(nfread::number) == Some(DROP);
            }
            // A condition, or something that only xtables knows.
            _ => return false,
        }
    }
    drops
}

/// The comment of our rules in others' chains.
fn comment(bridge: &str) -> String {
    format!("gantry {bridge}")
}

/// Whether our leave stands in Docker's chain of that family; none where there is no such chain.
fn has_leave(nfnl: &mut Nfnl, family: u8, bridge: &str) -> io::Result<Option<bool>> {
    let mut there = false;
    nfnl.dump(Verb::GetChain.kind(), family, &[], |chain| {
        let is = |kind, name: &str| chain.text(kind) == Some(name.as_bytes());
        there |= is(CHAIN.0, DOCKER.0) && is(CHAIN.1, DOCKER.1);
    })?;
    if !there {
        return Ok(None);
    }
    let own = comment(bridge);
    Ok(Some(rules(nfnl, family, DOCKER.0)?.iter().any(|rule| rule.chain == DOCKER.1 && rule.comment == own)))
}

/// What lets through Docker's chain what comes from our bridges or goes there. What does may still be dropped, by our own
/// rules. (As iptables can show it: it refuses to touch a chain with anything else.)
fn leave(family: u8, bridge: &str) -> String {
    let ((table, chain), family) = (DOCKER, name_of(family));
    let names = [bridge.to_owned(), format!("{}*", LinkNames::new(bridge).prefix())];
    let both = names.iter().flat_map(|name| ["iifname", "oifname"].map(|which| (which, name)));
    let rule = |(which, name): (&str, &String)| {
        let comment = comment(bridge);
        format!("insert rule {family} {table} {chain} {which} \"{name}\" counter accept comment \"{comment}\"\n")
    };
    both.map(rule).collect()
}

/// Takes our leave out of Docker's chain, and says whether it was there. Blocks.
pub fn withdraw(bridge: &str) -> Result<bool, Refusal> {
    let done = Nfnl::open().and_then(|mut nfnl| {
        let [v4, v6] = nfnl::IP.map(|family| remove(&mut nfnl, family, bridge));
        Ok(v4? | v6?)
    });
    done.map_err(|error| wrong("gantry's rules in the chain DOCKER-USER", &error))
}

fn remove(nfnl: &mut Nfnl, family: u8, bridge: &str) -> io::Result<bool> {
    let own = comment(bridge);
    let rules = rules(nfnl, family, DOCKER.0)?;
    let ours = rules.iter().filter(|rule| rule.chain == DOCKER.1 && rule.comment == own);
    let requests: Vec<_> = ours
        .map(|rule| {
            let mut attributes = Vec::new();
            nfnl::text(&mut attributes, RULE.0, DOCKER.0);
            nfnl::text(&mut attributes, RULE.1, DOCKER.1);
            nfnl::attribute(&mut attributes, RULE.2, &rule.handle);
            Request { verb: Verb::DeleteRule, family, flags: 0, attributes }
        })
        .collect();
    if requests.is_empty() { Ok(false) } else { nfnl.commit(&requests).map(|()| true) }
}

/// What `check` says: nothing is in the way, or what is.
pub fn try_forward(bridge: &str, cooperate: bool, v6: bool) -> Result<String, Refusal> {
    let mut nfnl = Nfnl::open().map_err(|error| wrong("a netlink socket", &error))?;
    let found = obstacles(&mut nfnl, bridge, v6).map_err(|error| wrong("the host's rules", &error))?;
    let in_the_way: Vec<_> = found.iter().filter(|obstacle| !(cooperate && obstacle.docker)).collect();
    match in_the_way.first() {
        None => Ok("no chain of others drops what is forwarded".to_owned()),
        Some(_) => {
            let all: Vec<_> = in_the_way.iter().map(|obstacle| obstacle.describe(bridge)).collect();
            Err(Refusal::denied(all.join("; ")))
        }
    }
}

/// Asks for leave where that is wished and to be had, and gives what is in the way all the same.
async fn see_to_it(tools: Tools, bridge: String, cooperate: bool, v6: bool) -> Result<Vec<String>, Refusal> {
    for family in families(v6).filter(|_| cooperate) {
        let name = bridge.clone();
        let missing = beside(move || {
            let found = Nfnl::open().and_then(|mut nfnl| has_leave(&mut nfnl, family, &name));
            found.map(|leave| leave == Some(false)).map_err(|error| wrong("the chain DOCKER-USER", &error))
        });
        if missing.await? {
            nft::load(&tools, leave(family, &bridge)).await?;
            log::info!("the chain DOCKER-USER of {} lets through what is forwarded for {bridge}", name_of(family));
        }
    }
    beside(move || {
        let found = Nfnl::open().and_then(|mut nfnl| obstacles(&mut nfnl, &bridge, v6));
        let found = found.map_err(|error| wrong("the host's rules", &error))?;
        Ok(found.iter().map(|obstacle| obstacle.describe(&bridge)).collect())
    })
    .await
}

impl Network {
    /// Looks whether some other firewall is in the way, and says so; with its leave, it is not.
    pub(super) fn look_at_others(&self, ctx: &mut Context<Self>) {
        // One at a time, and not when all is being taken down.
        let turn = self.turn.clone().lock_owned().into_actor(self);
        ctx.spawn(turn.then(|turn, network, _| {
            let (tools, bridge, cooperate) = (network.tools.clone(), network.rules.table.clone(), network.cooperate);
            let (closing, v6) = (network.closing, network.v6);
            let seen = async move {
                let seen = if closing { Ok(Vec::new()) } else { see_to_it(tools, bridge, cooperate, v6).await };
                drop(turn);
                seen
            };
            seen.into_actor(network).map(|seen, _, _| match seen {
                Ok(obstacles) => obstacles.iter().for_each(|obstacle| log::warn!("{obstacle}")),
                Err(refusal) => log::warn!("other firewalls' rules: {refusal}"),
            })
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridge_is_mentioned_by_its_whole_name() {
        assert!(mentions(b"..gantry0\0\0..", "gantry0") && mentions(b"gantry0", "gantry0"));
        assert!(mentions(b"x gantry0.n", "gantry0"));
        assert!(!mentions(b"gantry01\0", "gantry0") && !mentions(b"gantry", "gantry0"));
    }

    #[test]
    fn the_leave_names_our_bridges_and_no_others() {
        let text = leave(nfnl::IP[0], "gantry0");
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains("iifname \"gantry0\" counter accept comment \"gantry gantry0\""), "{text}");
        assert!(text.contains("oifname \"gantry0.*\""), "{text}");
        assert!(leave(nfnl::IP[1], "gantry0").lines().all(|line| line.starts_with("insert rule ip6 filter ")));
    }

    #[test]
    fn the_line_to_add_is_the_other_firewalls() {
        let obstacle = |family, table: &str, docker| {
            Obstacle { family, table: table.to_owned(), chain: "FORWARD".to_owned(), docker }.describe("gantry0")
        };
        assert!(obstacle(2, "filter", true).contains("iptables -I DOCKER-USER -i gantry0+ -j ACCEPT"));
        assert!(obstacle(10, "filter", true).contains("ip6tables -I DOCKER-USER -i gantry0+ -j ACCEPT"));
        assert!(obstacle(10, "mine", false).contains("nft 'insert rule ip6 mine FORWARD"));
        assert!(obstacle(1, "firewalld", false).contains("firewall-cmd"));
        assert!(obstacle(1, "mine", false).contains("nft 'insert rule inet mine FORWARD iifname \"gantry0*\" accept;"));
    }
}
