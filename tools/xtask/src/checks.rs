//! One file a check. Each exports a function from the workspace to a [`Verdict`](crate::verdict::Verdict).

pub mod cargo;
pub mod directions;
pub mod interfaces;
pub mod links;
pub mod manifests;
pub mod sizes;
pub mod specification;
pub mod units;
pub mod unsafety;
pub mod words;
