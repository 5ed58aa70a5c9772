//! x
#[cfg(test)]
pub(crate) mod recount;
