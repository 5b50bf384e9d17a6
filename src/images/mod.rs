//! The image store: images found, fetched and made, each unpacked once and kept as long as it is needed.
//!
//! ```text
//! store manage          the actor and its messages, each handled in a few lines
//! flight meter pull import commit load   how an image comes: single flights of pulls, and the work of each way
//! unpack bound shared open    its tree, its name, and what is found again at the next start
//! index pending settle  which names stand for what, who lets go, what is on the disk for good
//! share                 equal files of two trees, stored once
//! save prune verify inspect usage   what is done with images that are here
//! disk layout           where things lie, in the store and in an OCI layout
//! digest manifest config archive compare   documents and trees, pure or nearly
//! ```
//!
//! Nothing here knows of containers: whoever holds an [`Image`] uses it. Everything that changes the store is made in a
//! directory of its own in `tmp/` and renamed into place, the name's file last; one change at a time.

mod archive;
mod bound;
mod commit;
mod compare;
pub(crate) mod config;
mod digest;
mod disk;
mod flight;
mod image;
mod import;
mod index;
mod inspect;
mod layout;
pub(crate) mod load;
mod manage;
pub(crate) mod manifest;
mod meter;
mod open;
mod pending;
mod prune;
mod pull;
mod save;
mod settle;
mod share;
mod shared;
mod store;
mod unpack;
mod usage;
mod verify;

pub use commit::{Base, Commit};
pub use config::ImageConfig;
pub use flight::Progress;
pub use image::Image;
pub use import::ImportConfig;
pub use manage::{Inspect, Load, MeasureUsage, Prune, Save, Tag, Verify};
pub use manifest::Platform;
pub use prune::Pruned;
pub use pull::PullOptions;
pub use store::{Close, ImageStore, Import, List, Listed, PullPolicy, Remove, ask, ensure};
pub use usage::Usage;
pub use verify::Verified;
