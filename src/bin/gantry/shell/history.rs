//! Where the lines that were typed are kept: a file of the user's own, bounded, for nobody else to read.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use rustyline::Editor;
use rustyline::history::FileHistory;

use super::complete::Helper;

/// How many lines are kept.
pub const LINES_MAX: usize = 1000;

/// The file, where there is a place for it.
pub struct Place(Option<PathBuf>);

impl Place {
    /// `$XDG_STATE_HOME/gantry/history`, else under `~/.local/state`, as the XDG Base Directory Specification (0.8) has it,
    /// which takes absolute paths alone.
    pub fn of_user() -> Self {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        Self(state.map(|state| state.join("gantry/history")))
    }

    /// What was typed in former sessions. A history that cannot be read is an empty one.
    pub fn load(&self, editor: &mut Editor<Helper, FileHistory>) {
        let Some(file) = &self.0 else { return };
        if let Some(directory) = file.parent() {
            let _ = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        }
        let _ = editor.load_history(file);
    }

    /// Writes down what was typed last, at once: a session may end in any way. That it cannot is no reason to end it.
    pub fn keep(&self, editor: &mut Editor<Helper, FileHistory>) {
        if let Some(file) = &self.0 {
            let _ = editor.append_history(file);
        }
    }
}
