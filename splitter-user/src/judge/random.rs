//! Owns the seeded generator of the judge's simulations.

/// The generator of Steele, Lea and Flood (SplitMix64, OOPSLA 2014).
pub(super) struct Random(pub(super) u64);

impl Random {
    /// 0 .. 1.
    pub(super) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        (word >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number from 1 on, Pareto-distributed and cut off at `most`.
    pub(super) fn pareto(&mut self, exponent: f64, most: f64) -> f64 {
        (1.0 - self.unit()).powf(-1.0 / exponent).min(most)
    }
}
