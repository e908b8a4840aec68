//! Owns the shortening of a failing case: steps are left out, and parts of commits, as long as it
//! still fails.

use super::{Failure, Lab, replay, step::Step};

/// So many replays at most; a long case takes a second for ten of them.
const REPLAYS: u32 = 1_500;

/// A short case that fails, with what it says; `None` when a replay does not fail.
pub(super) fn shrink(lab: &mut Lab, steps: &[Step]) -> Option<Failure> {
    let mut shrinking = Shrinking {
        best: replay(lab, steps).err()?,
        lab,
        left: REPLAYS,
    };
    let mut chunk = shrinking.best.steps.len() / 2;
    while chunk > 0 && shrinking.left > 0 {
        let is_shorter = shrinking.leave_out(chunk);
        if !is_shorter || chunk > 1 {
            chunk /= 2;
        }
    }
    shrinking.simplify_commits();
    Some(shrinking.best)
}

struct Shrinking<'a> {
    lab: &'a mut Lab,
    best: Failure,
    left: u32,
}

impl Shrinking<'_> {
    /// Whether these steps fail too; they are the best from then on.
    fn fails(&mut self, steps: &[Step]) -> bool {
        self.left = self.left.saturating_sub(1);
        match replay(self.lab, steps) {
            Err(failure) => {
                // What fails may end before the last of its steps.
                self.best = failure;
                true
            }
            Ok(_) => false,
        }
    }

    /// Leaves out so many steps at a time.
    fn leave_out(&mut self, chunk: usize) -> bool {
        let (mut is_shorter, mut at) = (false, 0);
        while at < self.best.steps.len() && self.left > 0 {
            let mut fewer = self.best.steps.clone();
            let end = (at + chunk).min(fewer.len());
            fewer.drain(at..end);
            if self.fails(&fewer) {
                is_shorter = true;
            } else {
                at += chunk;
            }
        }
        is_shorter
    }

    /// Leaves out what commits say of a service, then single values.
    fn simplify_commits(&mut self) {
        for depth in [2, 4, 5] {
            let mut at = 0;
            while let Some(step) = self.best.steps.get(at) {
                let mut parts = match step {
                    Step::Commit { changes, .. } => {
                        changes.iter().map(|(path, _)| part(path, depth)).collect()
                    }
                    Step::Age(_)
                    | Step::Slice
                    | Step::Anew(_)
                    | Step::Turned(_)
                    | Step::Packet { .. } => Vec::new(),
                };
                parts.dedup();
                for gone in parts {
                    let mut simpler = self.best.steps.clone();
                    if let Some(Step::Commit { changes, .. }) = simpler.get_mut(at) {
                        changes.retain(|(path, _)| part(path, depth) != gone);
                    }
                    if self.left > 0 {
                        self.fails(&simpler);
                    }
                }
                at += 1;
            }
        }
    }
}

/// The first segments of a path.
fn part(path: &str, depth: usize) -> String {
    let segments: Vec<&str> = path.split('.').take(depth).collect();
    segments.join(".")
}
