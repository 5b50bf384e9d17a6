//! The one place that starts processes: argument vectors, a clean environment, a deadline, bounded output.
//!
//! Each tool's file knows that tool's options, outputs and quirks, and nothing of who asks.

pub mod attach;
mod call;
pub mod conmon;
pub mod crun;
pub mod exec;
pub mod filters;
pub mod init;
pub mod nft;
pub mod orphans;
pub mod process;
mod sealed;
pub mod skopeo;
pub mod spawn;
pub mod terminal;
pub mod umoci;
pub mod userns;

use std::path::{Path, PathBuf};

pub use call::{Call, Output};

use crate::refusal::Refusal;

/// The programs that gantry stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tool {
    /// Runs containers.
    Crun,
    /// Watches one container each.
    Conmon,
    /// Fetches images.
    Skopeo,
    /// Unpacks images.
    Umoci,
    /// Loads the static ruleset.
    Nft,
}

impl Tool {
    /// Every tool.
    pub const ALL: &[Self] = &[Self::Crun, Self::Conmon, Self::Skopeo, Self::Umoci, Self::Nft];

    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crun => "crun",
            Self::Conmon => "conmon",
            Self::Skopeo => "skopeo",
            Self::Umoci => "umoci",
            Self::Nft => "nft",
        }
    }

    /// The Debian package it comes in.
    pub fn package(self) -> &'static str {
        match self {
            Self::Nft => "nftables",
            other => other.name(),
        }
    }
}

/// Where tools are looked for behind `PATH`: a daemon's `PATH` often lacks the administrator's directories.
const USUAL: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Where the tools are. Cheap to clone; looks anew each time, so that a tool installed later is found.
#[derive(Clone, Debug, Default)]
pub struct Tools {
    dir: Option<PathBuf>,
}

impl Tools {
    /// The tools of `dir`, or of `PATH`. `nft` is none of the four that `dir` holds, but one there is preferred.
    pub fn new(dir: Option<PathBuf>) -> Self {
        Self { dir }
    }

    /// Where `tool` is.
    pub fn path(&self, tool: Tool) -> Result<PathBuf, Refusal> {
        let missing = |place: &dyn std::fmt::Display| {
            Refusal::tool_failed(format_args!(
                "{} is not in {place}; install the package {}",
                tool.name(),
                tool.package()
            ))
        };
        if let Some(dir) = &self.dir {
            let path = dir.join(tool.name());
            if is_program(&path) {
                return Ok(path);
            }
            if tool != Tool::Nft {
                return Err(missing(&dir.display()));
            }
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::env::split_paths(&path).chain(USUAL.iter().map(PathBuf::from));
        places.map(|dir| dir.join(tool.name())).find(|path| is_program(path)).ok_or_else(|| missing(&"PATH"))
    }

    /// A call of `tool`, to be given its arguments.
    pub fn call(&self, tool: Tool) -> Result<Call, Refusal> {
        Ok(Call::new(tool, &self.path(tool)?))
    }
}

fn is_program(path: &Path) -> bool {
    use nix::unistd::{AccessFlags, access};
    path.is_file() && access(path, AccessFlags::X_OK).is_ok()
}
