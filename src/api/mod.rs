//! (skeleton)

pub mod params;
