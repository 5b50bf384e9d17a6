//! nft: loads a ruleset as one transaction.

use std::time::Duration;

use super::{Tool, Tools};
use crate::refusal::Refusal;

/// It takes milliseconds, and seconds where the kernel first loads a dozen modules from a slow disk or on a busy machine; a
/// firewall under reconstruction may hold it up.
const DEADLINE: Duration = Duration::from_secs(60);

/// Carries out the statements of `ruleset`: all of them, or none.
pub async fn load(tools: &Tools, ruleset: String) -> Result<(), Refusal> {
    run(tools, &["-f", "-"], ruleset).await
}

/// Asks the kernel whether it would carry `ruleset` out, and changes nothing.
pub async fn check(tools: &Tools, ruleset: String) -> Result<(), Refusal> {
    run(tools, &["-c", "-f", "-"], ruleset).await
}

async fn run(tools: &Tools, args: &[&str], ruleset: String) -> Result<(), Refusal> {
    let call = tools.call(Tool::Nft)?.args(args).deadline(DEADLINE).stdin(ruleset.into_bytes());
    let output = call.finish().await?;
    if output.status.success() { Ok(()) } else { Err(failure(&output.stderr, &output.last_words())) }
}

/// nft says what is wrong in its first line and points at it with `^^^` in its last.
fn failure(stderr: &[u8], last_words: &str) -> Refusal {
    let text = String::from_utf8_lossy(stderr);
    let error = text.lines().find(|line| line.contains("Error:")).unwrap_or(last_words);
    Refusal::tool_failed(format_args!("nft: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_told_rather_than_the_pointer_to_it() {
        let stderr = b"/dev/stdin:1:19-25: Error: Could not process rule: File exists\ncreate table inet x\n    ^^^^\n";
        assert!(failure(stderr, "^^^^").message().ends_with("Could not process rule: File exists"));
        assert!(failure(b"", "exit status: 1 and not a word").message().contains("exit status"));
    }
}
