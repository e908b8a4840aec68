//! Owns limits of new flows: so many a second, with a burst, for a service and for each client.
//!
//! The generic cell rate algorithm (ITU-T I.371, annex A; the form with one stored time): a cell
//! holds when the next flow is due by the rate alone, and a flow may come up to the burst before.
//! Two CPUs that admit at the same instant may count as one: a limit is kept up to their number.

use bytemuck::{Pod, Zeroable};

/// A limit of new flows; all zero for none.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Limit {
    /// Nanoseconds from one flow to the next; 0: no limit.
    pub interval_ns: u64,
    /// Nanoseconds that flows may come before they are due: those of the burst but one.
    pub burst_ns: u64,
}

impl Limit {
    /// So many flows a second, and at most `burst` at once; both at least 1.
    pub const fn new(flows_per_s: u32, burst: u32) -> Self {
        let rate = if flows_per_s == 0 { 1 } else { flows_per_s };
        let interval_ns = 1_000_000_000 / rate as u64;
        Self {
            interval_ns,
            burst_ns: interval_ns * burst.saturating_sub(1) as u64,
        }
    }

    /// Whether there is a limit at all.
    #[inline(always)]
    pub const fn is_set(&self) -> bool {
        self.interval_ns != 0
    }

    /// What the cell becomes when a flow comes at `now_ns`; `None` when it is one too many. `due_ns`
    /// is what the cell holds; 0 for a client that was never seen.
    #[inline(always)]
    pub const fn admit(&self, due_ns: u64, now_ns: u64) -> Option<u64> {
        let due_ns = if due_ns > now_ns { due_ns } else { now_ns };
        if due_ns - now_ns > self.burst_ns {
            None
        } else {
            Some(due_ns + self.interval_ns)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flows admitted of `wanted` that come every `gap_ns`.
    fn admitted(limit: Limit, wanted: u32, gap_ns: u64) -> u32 {
        let (mut due_ns, mut count) = (0, 0);
        for n in 0..wanted {
            if let Some(next) = limit.admit(due_ns, 1 + u64::from(n) * gap_ns) {
                due_ns = next;
                count += 1;
            }
        }
        count
    }

    #[test]
    fn a_burst_passes_at_once_and_no_more() {
        assert_eq!(admitted(Limit::new(10, 5), 100, 0), 5);
        assert_eq!(admitted(Limit::new(1, 1), 100, 0), 1);
    }

    #[test]
    fn the_rate_is_kept_over_time() {
        // 10 s at 1,000 wanted a second: 100 a second, and the burst.
        let count = admitted(Limit::new(100, 50), 10_000, 1_000_000);
        assert!((1_040..=1_060).contains(&count), "{count}");
    }

    #[test]
    fn who_stays_below_the_rate_is_never_refused() {
        assert_eq!(admitted(Limit::new(100, 1), 1_000, 10_000_000), 1_000);
    }
}
