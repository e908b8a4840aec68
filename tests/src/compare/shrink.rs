//! Owns the shortening of a failing case: steps are left out as long as it still fails.

use super::{Failure, Lab, replay, step::Step};

/// So many replays at most; a long case takes a second for ten of them.
const REPLAYS: u32 = 1_500;

/// A short case that fails, with what it says; `None` when a replay does not fail.
pub(super) fn shrink(lab: &mut Lab, steps: &[Step]) -> Option<Failure> {
    let mut best = replay(lab, steps).err()?;
    let mut replays = 1;
    let mut chunk = best.steps.len() / 2;
    while chunk > 0 && replays < REPLAYS {
        let mut is_shorter = false;
        let mut at = 0;
        while at < best.steps.len() && replays < REPLAYS {
            let mut fewer = best.steps.clone();
            let end = (at + chunk).min(fewer.len());
            fewer.drain(at..end);
            replays += 1;
            match replay(lab, &fewer) {
                Err(failure) => {
                    // What fails may end before the last of its steps.
                    best = failure;
                    is_shorter = true;
                }
                Ok(_) => at += chunk,
            }
        }
        if !is_shorter || chunk > 1 {
            chunk /= 2;
        }
    }
    Some(best)
}
