//! Owns the *split law*: which version a client belongs to.
//!
//! `u` is a keyed hash of the client, a `u32`. The line 0 .. 2^32 is cut into one interval per
//! version. The first non-baseline version grows from 0 upward, the second from the top
//! downward, the baseline lies between, further versions follow the first.
//!
//! Invariant: with up to three versions, raising one weight only adds clients to that version
//! and lowering it only releases its newest; no other version is touched.

use bytemuck::{Pod, Zeroable};

use crate::{capacity::MAX_VERSIONS, weight::WHOLE_PPM};

/// The cut points of one service.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct Cuts {
    /// The last `u` (inclusive) of each interval, ascending; unused ones are `u32::MAX`.
    pub last: [u32; MAX_VERSIONS],
    /// The version that owns each interval; unused ones repeat the last owner.
    pub version: [u8; MAX_VERSIONS],
}

/// Why weights make no cut points.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SplitError {
    /// The baseline is not among the versions, or there are more than eight.
    Versions,
    /// The non-baseline weights add up to more than 100 %.
    OverWhole {
        /// The sum, in parts per million.
        sum_ppm: u64,
    },
}

impl Cuts {
    /// The cut points for `weights_ppm[version]`; what stands at `baseline` is ignored, the
    /// baseline takes the rest. A version without weight owns no interval.
    pub fn new(weights_ppm: &[u32], baseline: usize) -> Result<Self, SplitError> {
        if baseline >= weights_ppm.len() || weights_ppm.len() > MAX_VERSIONS {
            return Err(SplitError::Versions);
        }
        let others = || (0..weights_ppm.len()).filter(move |version| *version != baseline);
        let sum_ppm: u64 = others()
            .map(|version| u64::from(weights_ppm[version]))
            .sum();
        if sum_ppm > u64::from(WHOLE_PPM) {
            return Err(SplitError::OverWhole { sum_ppm });
        }
        let top = others().nth(1);
        let mut cuts = Self {
            last: [u32::MAX; MAX_VERSIONS],
            version: [0; MAX_VERSIONS],
        };
        let mut used = 0;
        let mut end_ppm = 0;
        let mut close = |version: usize, until_ppm: u64| {
            if until_ppm > end_ppm {
                end_ppm = until_ppm;
                // An edge is rounded by itself, so that it depends on nothing but its position.
                cuts.last[used] = (edge(until_ppm) - 1) as u32;
                cuts.version[used] = version as u8;
                used += 1;
            }
        };
        let mut until_ppm = 0;
        for version in others().filter(|version| Some(*version) != top) {
            until_ppm += u64::from(weights_ppm[version]);
            close(version, until_ppm);
        }
        let top_ppm = top.map_or(0, |version| u64::from(weights_ppm[version]));
        close(baseline, u64::from(WHOLE_PPM) - top_ppm);
        if let Some(version) = top {
            close(version, u64::from(WHOLE_PPM));
        }
        let owner = cuts.version[used - 1];
        for version in &mut cuts.version[used..] {
            *version = owner;
        }
        Ok(cuts)
    }

    /// The version of `u`; always below eight.
    #[inline(always)]
    pub fn version_of(&self, u: u32) -> usize {
        let mut until = 0;
        for last in &self.last[..MAX_VERSIONS - 1] {
            // 1 where `u <= last`, by the borrow and not by a comparison: a branch here would make
            // the verifier walk all that follows once for each interval.
            until += ((1 << 32 | *last as u64) - u as u64) >> 32;
        }
        // At most seven were counted; the mask tells the verifier so.
        let interval = (MAX_VERSIONS - 1 - until as usize) & (MAX_VERSIONS - 1);
        (self.version[interval] as usize) & (MAX_VERSIONS - 1)
    }

    /// The intervals in order: version, first and last `u`, both inclusive.
    pub fn intervals(&self) -> impl Iterator<Item = (usize, u32, u32)> + '_ {
        let mut next = Some(0u32);
        self.last
            .iter()
            .zip(&self.version)
            .map_while(move |(last, version)| {
                let first = next?;
                next = last.checked_add(1);
                Some((usize::from(*version), first, *last))
            })
    }
}

/// Where `ppm` parts per million of the line end, rounded to the nearest `u`.
const fn edge(ppm: u64) -> u64 {
    ((ppm << 32) + WHOLE_PPM as u64 / 2) / WHOLE_PPM as u64
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn intervals(weights: &[u32], baseline: usize) -> Vec<(usize, u32, u32)> {
        Cuts::new(weights, baseline)
            .expect("valid weights")
            .intervals()
            .collect()
    }

    #[test]
    fn the_first_grows_from_zero_the_second_from_the_top() {
        let quarter = 1 << 30;
        assert_eq!(
            intervals(&[0, 250_000, 500_000], 0),
            [
                (1, 0, quarter - 1),
                (0, quarter, 2 * quarter - 1),
                (2, 2 * quarter, u32::MAX)
            ]
        );
        assert_eq!(
            intervals(&[250_000, 0, 250_000, 250_000], 1),
            [
                (0, 0, quarter - 1),
                (3, quarter, 2 * quarter - 1),
                (1, 2 * quarter, 3 * quarter - 1),
                (2, 3 * quarter, u32::MAX)
            ]
        );
    }

    #[test]
    fn the_extremes_are_exact() {
        assert_eq!(intervals(&[0, 0], 0), [(0, 0, u32::MAX)]);
        assert_eq!(intervals(&[0, 1_000_000], 0), [(1, 0, u32::MAX)]);
        assert_eq!(intervals(&[0, 1], 0), [(1, 0, 4_294), (0, 4_295, u32::MAX)]);
        let cuts = Cuts::new(&[0, 999_999], 0).expect("valid");
        assert_eq!(
            (cuts.version_of(u32::MAX - 4_295), cuts.version_of(u32::MAX)),
            (1, 0)
        );
        assert_eq!(intervals(&[7], 0), [(0, 0, u32::MAX)]);
    }

    #[test]
    fn eight_versions_share_the_line() {
        let weights = [125_000; 8];
        let cuts = Cuts::new(&weights, 3).expect("valid");
        let mut seen = [0u64; 8];
        for (version, first, last) in cuts.intervals() {
            seen[version] += u64::from(last - first) + 1;
            assert_eq!(
                (cuts.version_of(first), cuts.version_of(last)),
                (version, version)
            );
        }
        assert_eq!(seen, [1 << 29; 8]);
    }

    #[test]
    fn refuses_what_cannot_be_cut() {
        assert_eq!(
            Cuts::new(&[0, 600_000, 400_001], 0),
            Err(SplitError::OverWhole { sum_ppm: 1_000_001 })
        );
        assert_eq!(Cuts::new(&[1, 2], 2), Err(SplitError::Versions));
        assert_eq!(Cuts::new(&[0; 9], 0), Err(SplitError::Versions));
    }
}
