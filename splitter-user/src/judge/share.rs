//! Owns the interval of a share: what part of all clients is a version's, as far as those who were
//! counted can tell.

/// The standard normal quantile of a two-sided interval of 99 %.
const Z: f64 = 2.575_829_303_548_901;

/// A share and between which bounds it lies in 99 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// What was counted, 0 ..= 1.
    pub share: f64,
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

/// The share of `own` of `all`, with Wilson's score interval (JASA 22, 1927; Brown, Cai and DasGupta
/// 2001 on why not the textbook's); `None` of nothing.
pub fn share(own: u64, all: u64) -> Option<Share> {
    if all == 0 {
        return None;
    }
    let n = all as f64;
    let p = own.min(all) as f64 / n;
    let z2 = Z * Z / n;
    let middle = (p + z2 / 2.0) / (1.0 + z2);
    let half = Z / (1.0 + z2) * (p * (1.0 - p) / n + z2 / (4.0 * n)).sqrt();
    Some(Share {
        share: p,
        low: (middle - half).max(0.0),
        high: (middle + half).min(1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_the_share_and_narrows() {
        assert_eq!(share(0, 0), None);
        let few = share(1, 20).expect("counted");
        assert!(few.low > 0.0 && few.low < 0.05 && few.high > 0.2, "{few:?}");
        let many = share(50_000, 1_000_000).expect("counted");
        assert!((many.high - many.low) < 0.0013, "{many:?}");
        assert!(many.low < 0.05 && many.high > 0.05);
        let none = share(0, 100).expect("counted");
        assert_eq!(none.low, 0.0);
        assert!(none.high > 0.05 && none.high < 0.08, "{none:?}");
        let all = share(100, 100).expect("counted");
        assert!(all.high > 0.999_999 && all.low > 0.92, "{all:?}");
    }
}
