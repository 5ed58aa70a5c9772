//! How a ledger file is opened: how safe, how large, how long.

/// When an appended group counts as safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// On the disk: survives a power cut.
    Always,
    /// With the operating system: survives a killed process, not a power cut.
    Os,
}

/// How a ledger is opened.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The random id of the store the likes are for.
    pub store_id: String,
    /// When an appended group counts as safe.
    pub sync: Sync,
    /// How long flushed groups are kept, in milliseconds.
    pub keep_flushed_ms: i64,
    /// The bound on bytes in use. From three quarters of it on flushed groups go before their time; at it appends are
    /// refused. May be passed by the 64 groups between two measurements.
    pub max_bytes: u64,
    /// The bound on entries the store does not have yet.
    pub max_unflushed: u64,
}

impl OpenOptions {
    /// The defaults: a sync a group, an hour, 1 GiB, 2,000,000 entries.
    pub fn new(store_id: impl Into<String>) -> Self {
        Self {
            store_id: store_id.into(),
            sync: Sync::Always,
            keep_flushed_ms: 3_600_000,
            max_bytes: 1 << 30,
            max_unflushed: 2_000_000,
        }
    }
}
