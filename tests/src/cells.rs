//! Owns what a plan sees of the kernel where there is none: counters, and no numbers in use but
//! those that the plan knows of.

use splitter_common::layout::COUNTERS;
use splitter_user::plan::{InUse, Running};

/// Counters by backend number.
#[derive(Clone, Copy, Debug)]
pub struct Cells<F>(pub F);

/// Counters that stand at 0.
pub fn nothing_counted() -> impl Running {
    Cells(|_| [0; COUNTERS])
}

impl<F: Fn(u32) -> [u64; COUNTERS]> Running for Cells<F> {
    fn cells(&self, backend: u32) -> [u64; COUNTERS] {
        self.0(backend)
    }

    fn in_use(&self) -> InUse {
        InUse::default()
    }
}
