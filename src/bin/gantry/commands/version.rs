//! `version`: the client's and the daemon's.

use crate::command::{Call, Outcome};

/// Prints the client's own even where the daemon cannot be reached.
pub fn version(call: &mut Call<'_>) -> Outcome {
    call.console.say(&format!("Client: gantry {}", env!("CARGO_PKG_VERSION")))?;
    let reply = call.daemon.connect()?.ask(&call.request()?)?;
    let get = |key| reply.get(key).unwrap_or_default();
    call.console.say(&format!("Server: gantryd {} (protocol {})", get("version"), get("protocol")))?;
    Ok(0)
}
