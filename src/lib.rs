//! gantry: a lightweight OCI container engine. This page is the map of the house.
//!
//! # The flow, one way
//!
//! ```text
//!          text line            typed request          ask                event -> effects
//! socket -> wire -> session -> verbs -> engine/supervisor -> container -> undo -> images, network, volumes -> tools
//! socket <- wire <- outbox  <- reply | refusal <- results;   session <- events (bounded bus) <- every actor
//! ```
//!
//! A module uses only what stands behind it in `daemon · session · verbs · engine · supervisor · container · undo ·
//! {images, network, volumes} · tools`, and the leaves, which use only each other. What goes back up needs no import: it is a
//! return value, an event, a watched picture or a `Recipient`. A test reads the `use crate::` lines and keeps this true.
//!
//! # The rooms
//!
//! | room | what it owns |
//! | --- | --- |
//! | [`daemon`] | the daemon's life: locks, sweep, actors, sockets, signals, leave |
//! | [`session`] | one connection: lines in, verbs called, lines out; tags, order, turns, half-close and hang-up; raw connections |
//! | [`verbs`] | one file a verb; [`verbs::VERBS`] is the only list of them |
//! | [`engine`] | the actors' addresses, as verbs see them |
//! | [`supervisor`] | the `Supervisor` actor: names, children, deaths and successors, those who went |
//! | [`container`] | the `Container` actor: a pure state machine, effects, restarts, health, runtime spec, rootfs, log, standard streams, the picture it shows |
//! | [`undo`] | how each step of a journal is taken back: failure, `rm`, shutdown and sweep |
//! | [`images`] | the `ImageStore` actor: pulls, names, trees, blobs |
//! | [`volumes`] | named volumes, and who uses which |
//! | [`network`] | the `Network` actor: networks, namespaces, addresses, published ports; names, by a DNS server on each bridge |
//! | [`tools`] | the one place that starts processes: skopeo, umoci, crun, conmon, nft |
//!
//! The leaves: [`wire`] (lines, words, arguments, replies), [`id`] (names, valid by construction), [`refusal`] (the
//! closed list of error codes), [`events`] (the bus), [`journal`] (what was made, written down before), [`link`] (how a
//! death is noticed, and a successor found), [`fault`] (where tests have it fail), [`config`], [`logging`], [`cgroup`],
//! [`overlay`] (what an overlay has changed), [`du`] (what trees take on the disk), [`intake`] (what clients have sent),
//! [`outbox`] (what waits to be written), [`readiness`] (descriptors that are watched), [`changes`] (files that are
//! watched), [`worker`] (where blocking work goes), [`walk`] (trees, entry by entry), [`removal`] (of trees, however deep),
//! [`memory`] (how little of it is left), [`oom`] (whom the kernel ends first).
//!
//! # One thread
//!
//! Sessions and actors share one thread and never wait on it: file trees, mounts and netlink go to a few workers, tools
//! are processes, and what ends is told by the kernel (pidfds, pipes, inotify, netlink notices). Looking never waits for
//! doing: each container shows a picture of itself (`container::view::View`) that is replaced at every change.
//!
//! # What is deliberately absent
//!
//! No store of containers: they do not outlive the daemon. No iptables, no userland proxy, no `ip` process. No HTTP but
//! one page of metrics where it is wished for. No build of images. No global registry of actors: addresses go down
//! through constructors.

pub mod cgroup;
pub mod changes;
pub mod config;
pub mod container;
pub mod daemon;
pub mod du;
pub mod engine;
pub mod events;
pub mod fault;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod id;
pub mod images;
pub mod intake;
pub mod journal;
pub mod link;
pub mod logging;
pub mod memory;
pub mod network;
pub mod oom;
pub mod outbox;
pub mod overlay;
pub mod readiness;
pub mod refusal;
pub mod removal;
pub mod session;
pub mod supervisor;
pub mod tools;
pub mod undo;
pub mod verbs;
pub mod volumes;
pub mod walk;
pub mod wire;
pub mod worker;
