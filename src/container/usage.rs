//! How much disk containers take up.

use std::io;
use std::sync::Arc;

use super::log_files;
use super::plan::Places;
use crate::du::{Du, Taken};

/// What containers take up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// What they wrote to their file systems, and what was made for them.
    pub layers: Taken,
    /// What they wrote to their standard output and error.
    pub logs: Taken,
}

/// Measures those whose things lie at `places`. It walks trees: not for the daemon's thread.
pub fn measure(places: &[Arc<Places>]) -> io::Result<DiskUsage> {
    let (mut du, mut usage) = (Du::default(), DiskUsage::default());
    for places in places {
        let mut log = 0;
        for file in log_files::all(&places.log()) {
            log += du.tree(&file)?;
        }
        // The log lies in there too, each of its files once. The overlay that is mounted there does not count.
        let all = Du::default().tree(&places.data)?;
        usage.layers.count += 1;
        usage.layers.bytes += all.saturating_sub(log);
        usage.logs.count += usize::from(log > 0);
        usage.logs.bytes += log;
    }
    Ok(usage)
}
