//! gantry: a lightweight OCI container engine. This page is the map.
pub mod config;
pub mod events;
pub mod id;
pub mod images;
pub mod journal;
pub mod link;
pub mod refusal;
pub mod tools;
pub mod wire;
