//! The integration tests: real tools and real traffic, in namespaces and directories of their own.

mod images;
mod network;
mod registry;
