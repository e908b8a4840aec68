//! Owns what is concluded from evidence, as pure functions: what a share may be, and whether the split is
//! what the weights say. Every test here stays valid however often it is looked at.

#[cfg(test)]
mod random;
pub mod ratio;
pub mod share;
pub mod split;
pub mod spread;
