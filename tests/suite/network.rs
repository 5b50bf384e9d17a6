//! The network room on real traffic: each test is a host of its own (a fresh network namespace) with a neighbour.
#![allow(clippy::disallowed_methods, reason = "the tests' own tools: ip and nft, run in a namespace of the test")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod books;
mod crowd;
mod firewall;
mod groups;
mod hands;
mod host;
mod limits;
mod nets;
mod resolver;
mod traffic;
mod v6;
pub mod world;
