//! `completion`: what a shell needs to complete the client's command line.

use clap_complete::{Shell, generate};

use crate::cli;
use crate::command::{Call, Outcome};
use crate::failure::Failure;

/// Prints it, to be read by the shell: `source <(gantry completion bash)`.
pub fn completion(call: &mut Call<'_>) -> Outcome {
    let named = call.operands().into_iter().next().unwrap_or_default();
    let shell = match named.to_str() {
        Some("bash") => Shell::Bash,
        Some("zsh") => Shell::Zsh,
        Some("fish") => Shell::Fish,
        _ => return Err(Failure::Usage(format!("{}: the shells are bash, zsh and fish", named.display()))),
    };
    let mut script = Vec::new();
    generate(shell, &mut cli::parser(), "gantry", &mut script);
    call.console.say(String::from_utf8_lossy(&script).trim_end())?;
    Ok(0)
}
