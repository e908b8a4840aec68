//! Owns the plan: desired state -> numbers -> the tables of one commit. Pure; nothing here knows
//! the kernel.
//!
//! Invariants: a number (service, frontend, version, backend) that is given to a new owner is
//! born in the commit that gives it; a service that changes in any way is written anew with that
//! commit's generation, because flows are stamped with it.

pub mod base;
pub mod devices;
pub mod directory;
mod error;
pub mod evidence;
mod giver;
mod guard;
pub mod image;
pub mod numbers;
pub mod prefix_rows;
pub mod prefixes;
pub mod recover;
mod segments;
pub mod service;

pub use error::PlanError;
pub use giver::{InUse, Running};
pub use image::Image;
pub use numbers::Numbers;
pub use service::ServiceImage;
