//! The suite: one integration binary; its module list is the table of contents.

mod images;
mod registry;
