//! Floor 2: one folder for each feature, with everything of it.

pub mod admission;
