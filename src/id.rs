//! Names of things, valid by construction: what holds one of these never needs to check it again.

mod container;
mod exec;
mod image;
mod network;
mod publish;
mod signal;
mod volume;

pub use container::{ContainerId, Name};
pub use exec::ExecId;
pub use image::ImageRef;
pub use network::{BRIDGE, NetworkMode, NetworkName, Networking};
pub use publish::{At, HostPorts, Proto, Publish, PublishedPort};
pub use signal::Signal;
pub use volume::VolumeName;
