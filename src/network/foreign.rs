//! Other firewalls of this host: what we forward passes their chains too, as do containers' questions for names, and what one
//! of them drops no accept of ours brings back. So it is said, with the line that helps; and where the configuration says
//! `firewall-cooperate`, Docker's chain is asked for its leave (`docker.rs`).

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use actix::prelude::*;
use nix::libc;

use super::docker;
use super::names::LinkNames;
use super::nfnl::{self, Nfnl, Verb};
use super::nfread::{self, Message};
use super::{Network, wrong};
use crate::refusal::Refusal;
use crate::tools::{Tools, nft};
use crate::worker::beside;

/// `NF_INET_LOCAL_IN`, `NF_INET_FORWARD`, `NF_DROP`.
const INPUT: u32 = 1;
const FORWARD: u32 = 2;
const DROP: u32 = 0;
/// How long after a change it is looked: whoever changes one chain changes more.
const SETTLED: Duration = Duration::from_millis(500);
/// `NFTA_CHAIN_TABLE`, `_NAME`, `_HOOK` and `_POLICY`; `NFTA_HOOK_HOOKNUM`.
pub const CHAIN: (u16, u16, u16, u16) = (1, 3, 4, 5);
const HOOK_NUMBER: u16 = 1;
/// `NFTA_RULE_TABLE`, `_CHAIN`, `_HANDLE` and `_EXPRESSIONS`.
pub const RULE: (u16, u16, u16, u16) = (1, 2, 3, 4);
/// `NFTA_LIST_ELEM`; `NFTA_EXPR_NAME` and `NFTA_EXPR_DATA`.
const ITEM: u16 = 1;
const EXPRESSION: (u16, u16) = (1, 2);
/// `NFTA_IMMEDIATE_DATA`, and in it `NFTA_DATA_VERDICT`; in that `NFTA_VERDICT_CODE` and `NFTA_VERDICT_CHAIN`.
const VERDICT: [u16; 2] = [2, 2];
const VERDICT_PARTS: (u16, u16) = (1, 2);

/// A chain of somebody else's that drops what is forwarded to or from the bridge, or what comes in by it, as far as can be
/// told: by its policy, or by a last rule without a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    family: u8,
    table: String,
    chain: String,
    /// [`INPUT`] or [`FORWARD`].
    hook: u32,
    /// Docker's chain for others is in the same table, and is asked by this one.
    docker: bool,
}

impl Obstacle {
    /// What is in the way, and the line to add.
    pub fn describe(&self, bridge: &str) -> String {
        let Self { family, table, chain, hook, docker } = self;
        let tool = if *family == nfnl::IP[1] { "ip6tables" } else { "iptables" };
        let family = name_of(*family);
        let lines = |star, ways: &[&str], line: &dyn Fn(&str, &str) -> String| -> Vec<String> {
            let names = wildcards(bridge, star);
            names.iter().flat_map(|name| ways.iter().map(move |way| line(way, name))).collect()
        };
        let remedy = match (docker, table.as_str()) {
            (true, _) => {
                let line = |way: &str, name: &str| format!("{tool} -I DOCKER-USER {way} {name} -j ACCEPT");
                lines('+', &["-i", "-o"], &line).join(" && ") + " (which firewall-cooperate = true does by itself)"
            }
            (_, "firewalld") => format!("firewall-cmd --zone=trusted --add-interface={bridge}"),
            _ => {
                let line =
                    |way: &str, name: &str| format!("insert rule {family} {table} {chain} {way} \"{name}\" accept");
                let ways = if *hook == INPUT { &["iifname"][..] } else { &["iifname", "oifname"] };
                format!("nft '{}'", lines('*', ways, &line).join("; "))
            }
        };
        let what = if *hook == INPUT { "comes in, containers' questions for names too" } else { "is forwarded" };
        format!("the chain {chain} of the table {family} {table} drops what {what}; add {remedy}")
    }
}

/// The names of our bridges, with a `star` for what may follow.
fn wildcards(bridge: &str, star: char) -> Vec<String> {
    let names = LinkNames::new(bridge);
    match names.prefix().starts_with(bridge) {
        true => vec![format!("{bridge}{star}")],
        false => vec![bridge.to_owned(), format!("{}{star}", names.prefix())],
    }
}

/// A family as nft calls it.
pub fn name_of(family: u8) -> &'static str {
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

/// What is in the way of `bridge`: chains on our hooks that drop, where neither they nor what they lead to mention the bridge.
pub fn obstacles(nfnl: &mut Nfnl, bridge: &str, v6: bool) -> io::Result<Vec<Obstacle>> {
    let (mut asked, mut docker) = (Vec::new(), Vec::new());
    nfnl.dump(Verb::GetChain.kind(), 0, &[], |chain| {
        let text = |kind| chain.text(kind).map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
        let (family, table, name) = (chain.family, text(CHAIN.0), text(CHAIN.1));
        if family != nfnl::INET && families(v6).all(|ours| ours != family) {
            return;
        }
        if (table.as_str(), name.as_str()) == docker::CHAIN {
            docker.push((family, table.clone()));
        }
        if let Some(hook) = hook(chain) {
            let drops = chain.attribute(CHAIN.3).and_then(nfread::number) == Some(DROP);
            asked.push((Obstacle { family, table, chain: name, hook, docker: false }, drops));
        }
    })?;
    let mut found = Vec::new();
    for (mut obstacle, by_policy) in asked {
        let rules = rules(nfnl, obstacle.family, &obstacle.table)?;
        let last = rules.iter().rfind(|rule| rule.chain == obstacle.chain);
        let drops = by_policy || last.is_some_and(|rule| drops_all(&rule.expressions));
        let asked = led_to(&rules, &obstacle.chain);
        let mentioned =
            rules.iter().any(|rule| asked.contains(rule.chain.as_str()) && mentions(&rule.expressions, bridge));
        if drops && !mentioned {
            obstacle.docker = obstacle.hook == FORWARD && docker.contains(&(obstacle.family, obstacle.table.clone()));
            found.push(obstacle);
        }
    }
    Ok(found)
}

/// The hook on which a chain stands, where that is one that is asked about what is ours.
pub fn hook(chain: &Message<'_>) -> Option<u32> {
    let hook = nfread::number(nfread::find(chain.attribute(CHAIN.2)?, HOOK_NUMBER)?)?;
    let ours = chain.family == nfnl::INET || nfnl::IP.contains(&chain.family);
    Some(hook).filter(|hook| ours && [INPUT, FORWARD].contains(hook))
}

/// The chains that are asked where `first` is: itself, and those that it leads to by jumps. (Those by a map of verdicts are
/// not seen.)
fn led_to<'a>(rules: &'a [Rule], first: &'a str) -> BTreeSet<&'a str> {
    let (mut known, mut further) = (BTreeSet::new(), vec![first]);
    while let Some(chain) = further.pop() {
        if known.insert(chain) {
            let own = rules.iter().filter(|rule| rule.chain == chain);
            further.extend(own.flat_map(|rule| verdicts(&rule.expressions).filter_map(jump)));
        }
    }
    known
}

/// Each statement of a rule: its name and its data.
fn statements(expressions: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    nfread::each(expressions).filter(|(kind, _)| *kind == ITEM).map(|(_, expression)| {
        let name = nfread::find(expression, EXPRESSION.0).unwrap_or_default();
        (name.strip_suffix(&[0]).unwrap_or(name), nfread::find(expression, EXPRESSION.1).unwrap_or_default())
    })
}

fn verdict(data: &[u8]) -> Option<&[u8]> {
    VERDICT.iter().try_fold(data, |data, kind| nfread::find(data, *kind))
}

fn verdicts(expressions: &[u8]) -> impl Iterator<Item = &[u8]> {
    statements(expressions).filter(|(name, _)| *name == b"immediate").filter_map(|(_, data)| verdict(data))
}

/// The chain that a verdict leads to.
fn jump(verdict: &[u8]) -> Option<&str> {
    let name = nfread::find(verdict, VERDICT_PARTS.1)?;
    std::str::from_utf8(name.strip_suffix(&[0]).unwrap_or(name)).ok()
}

/// A rule, as far as it matters here.
pub struct Rule {
    pub chain: String,
    pub handle: Vec<u8>,
    pub comment: String,
    expressions: Vec<u8>,
}

/// The rules of a table, in their order; none where there is no such table.
pub fn rules(nfnl: &mut Nfnl, family: u8, table: &str) -> io::Result<Vec<Rule>> {
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
    for (name, data) in statements(expressions) {
        match name {
            b"counter" | b"log" => {}
            b"reject" => drops = true,
            b"immediate" => {
                let code = verdict(data).and_then(|verdict| nfread::find(verdict, VERDICT_PARTS.0));
                drops |= code.and_then(nfread::number) == Some(DROP);
            }
            // A condition, or something that only xtables knows.
            _ => return false,
        }
    }
    drops
}

/// What `check` says: nothing is in the way, or what is.
pub fn try_forward(bridge: &str, cooperate: bool, v6: bool) -> Result<String, Refusal> {
    let mut nfnl = Nfnl::open().map_err(|error| wrong("a netlink socket", &error))?;
    let found = obstacles(&mut nfnl, bridge, v6).map_err(|error| wrong("the host's rules", &error))?;
    let in_the_way: Vec<_> = found.iter().filter(|obstacle| !(cooperate && obstacle.docker)).collect();
    match in_the_way.first() {
        None => Ok("no chain of others drops what is forwarded, or what comes in".to_owned()),
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
            let lacks = Nfnl::open().and_then(|mut nfnl| docker::lacks_leave(&mut nfnl, family, &name));
            lacks.map_err(|error| wrong("the chain DOCKER-USER", &error))
        });
        if missing.await? {
            nft::load(&tools, docker::leave(family, &bridge)).await?;
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

/// What is known of other firewalls.
pub struct Others {
    /// They are asked for their leave.
    pub cooperate: bool,
    /// It will be looked in a moment.
    due: bool,
    /// What the log says of them.
    told: Vec<String>,
}

impl Others {
    /// Nothing yet.
    pub fn new(cooperate: bool) -> Self {
        Self { cooperate, due: false, told: Vec::new() }
    }
}

impl Network {
    /// The same when those who change rules just now are done.
    pub(super) fn look_soon(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.others.due, true) {
            ctx.run_later(SETTLED, |network, ctx| {
                network.others.due = false;
                network.look_at_others(ctx);
            });
        }
    }

    /// Looks whether some other firewall is in the way, and says so; with its leave, it is not.
    pub(super) fn look_at_others(&self, ctx: &mut Context<Self>) {
        // One at a time, and not when all is being taken down.
        let turn = self.turn.clone().lock_owned().into_actor(self);
        ctx.spawn(turn.then(|turn, network, _| {
            let (tools, bridge, cooperate) =
                (network.tools.clone(), network.rules.table.clone(), network.others.cooperate);
            let (closing, v6) = (network.closing, network.v6);
            let seen = async move {
                let seen = if closing { Ok(Vec::new()) } else { see_to_it(tools, bridge, cooperate, v6).await };
                drop(turn);
                seen
            };
            seen.into_actor(network).map(|seen, network, _| match seen {
                Ok(obstacles) => {
                    let new = obstacles.iter().filter(|obstacle| !network.others.told.contains(obstacle));
                    new.for_each(|obstacle| log::warn!("{obstacle}"));
                    network.others.told = obstacles;
                }
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
    fn the_line_to_add_is_the_other_firewalls() {
        let obstacle = |family, table: &str, docker| {
            let (table, chain) = (table.to_owned(), "FORWARD".to_owned());
            Obstacle { family, table, chain, hook: FORWARD, docker }.describe("gantry0")
        };
        assert!(obstacle(2, "filter", true).contains("iptables -I DOCKER-USER -i gantry0+ -j ACCEPT"));
        assert!(obstacle(10, "filter", true).contains("ip6tables -I DOCKER-USER -i gantry0+ -j ACCEPT"));
        assert!(obstacle(10, "mine", false).contains("nft 'insert rule ip6 mine FORWARD"));
        assert!(obstacle(1, "firewalld", false).contains("firewall-cmd"));
        assert!(obstacle(1, "mine", false).contains("nft 'insert rule inet mine FORWARD iifname \"gantry0*\" accept;"));
    }
}
