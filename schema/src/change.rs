//! What became of a wish that is idempotent.

/// The outcome of setting a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The state is different now.
    Made,
    /// It was so already; nothing was written.
    Nothing,
    /// The user or video it is about does not exist.
    Unknown,
}
