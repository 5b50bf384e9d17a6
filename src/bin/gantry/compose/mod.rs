//! `gantry compose`: several containers from one file, by lines of the protocol and nothing else.
//!
//! ```text
//! files -> yaml -> interpolate -> merge                      load: one tree, every variable in its place
//!       -> model <- service <- process, nets, mounts, lifecycle   what cannot be honoured is refused by its path
//!       -> wanted, there -> plan; order                      what is to be, what is, what is to be done, and when
//!       -> up (pull, work, waits, follow, abort), down, again, ps, logs, exec, config
//! ```
//!
//! Containers of a project are called `SERVICE:PROJECT`, the second of a service `SERVICE:PROJECT-2`: the daemon's DNS
//! answers to `SERVICE` with all of them. Labels tell which they are, and what they were made with.

pub mod again;
pub mod config;
pub mod down;
pub mod exec;
pub mod flags;
pub mod logs;
pub mod ps;
pub mod pull;
pub mod up;

mod abort;
mod dotenv;
mod follow;
mod ground;
mod interpolate;
mod lifecycle;
mod load;
mod merge;
mod model;
mod mounts;
mod nets;
mod node;
mod notes;
mod order;
mod plan;
mod process;
mod service;
mod session;
mod there;
mod waits;
mod wanted;
mod work;
mod yaml;
