//! Where a container can be in its life.

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its directories are being made.
    Preparing,
    /// Made, and not running yet.
    Created,
    /// Network, rootfs and process are being made.
    Starting,
    /// Its process runs.
    Running,
    /// Every process of it is frozen, or about to be.
    Paused,
    /// It was asked to stop, and has not yet.
    Stopping,
    /// Its process has ended; address, ports and mount are being freed.
    Leaving,
    /// Ended, and everything it ran with is free.
    Exited,
    /// Its name is free; what is left of it is being removed.
    Removing,
    /// Its actor panicked again and again. What runs of it is left alone, and nothing but its removal can be asked for.
    Failed,
}

impl Phase {
    /// The state as the wire names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing | Self::Created | Self::Starting => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping | Self::Leaving => "stopping",
            // What runs is seen in its picture.
            Self::Exited | Self::Removing | Self::Failed => "exited",
        }
    }
}
