//! The image store: images found, fetched and made, each unpacked once and kept as long as it is needed.
//!
//! The actor is in [`store`](self), the work of a pull in `pull`, the rules of names in `index`, the directories in
//! `disk`. Nothing here knows of containers: whoever holds an [`Image`] uses it.

mod archive;
mod compare;
mod config;
mod digest;
mod disk;
mod flight;
mod image;
mod import;
mod index;
mod inspect;
mod layout;
mod load;
mod manage;
mod manifest;
mod open;
mod pending;
mod prune;
mod pull;
mod save;
mod settle;
mod shared;
mod store;
mod unpack;
mod usage;
mod verify;

pub use config::ImageConfig;
pub use flight::Progress;
pub use image::Image;
pub use import::ImportConfig;
pub use manage::{Inspect, Load, MeasureUsage, Prune, Save, Tag, Verify};
pub use manifest::Platform;
pub use prune::Pruned;
pub use pull::PullOptions;
pub use store::{ImageStore, Import, List, Listed, PullPolicy, Remove, ask, ensure};
pub use usage::Usage;
pub use verify::Verified;
