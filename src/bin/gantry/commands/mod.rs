//! What the commands do, one file for each kind of them. Which there are stands in the registry.

pub mod attach;
pub mod check;
pub mod completion;
pub mod copy;
pub mod each;
pub mod events;
pub mod exec;
pub mod image;
pub mod images;
pub mod inspect;
pub mod logs;
pub mod manual;
pub mod once;
pub mod ps;
pub mod raw;
pub mod rows;
pub mod run;
pub mod stats;
pub mod top;
pub mod version;

#[cfg(test)]
mod scripted;
