//! Owns the bridge between `bytemuck::Pod`, which splitter-common proves, and `aya::Pod`, which
//! aya's typed maps ask for.

use bytemuck::{Pod, Zeroable};

/// A value whose bytes are its meaning.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raw<T>(pub T);

// SAFETY: `bytemuck::Pod` promises that every bit pattern is a value and that there is no padding,
// which is more than `aya::Pod` asks for.
#[allow(unsafe_code, reason = "the Pod bridge; see the module")]
unsafe impl<T: Pod + Zeroable> aya::Pod for Raw<T> {}
