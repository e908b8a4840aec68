//! Properties of the split law, the plan and Maglev, over many inputs. The inputs are the same at
//! every run: the seeds and the cluster secret are fixed.

#[path = "properties/health.rs"]
mod health;
#[path = "properties/lab.rs"]
mod lab;
#[path = "properties/numbers.rs"]
mod numbers;
#[path = "properties/shares.rs"]
mod shares;

use proptest::prelude::*;
use splitter_common::{
    split::Cuts,
    weight::{WHOLE_PPM, Weight},
};

fn weights(versions: usize) -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(0..=WHOLE_PPM, versions).prop_map(|raw| {
        // Scaled so that the non-baseline ones fit 100 %.
        let sum: u64 = raw[1..].iter().map(|ppm| u64::from(*ppm)).sum();
        let scale = |ppm: u32| {
            (u64::from(ppm) * u64::from(WHOLE_PPM) / sum.max(u64::from(WHOLE_PPM))) as u32
        };
        std::iter::once(0)
            .chain(raw[1..].iter().map(|ppm| scale(*ppm)))
            .collect()
    })
}

proptest! {
    #![proptest_config(lab::cases(512))]

    /// Raising a weight only adds to that version, out of the baseline; with two or three
    /// versions nobody else moves. Read backwards: lowering only releases.
    #[test]
    fn growing_only_adds(
        (weights, grown) in (2usize..=3).prop_flat_map(|n| (weights(n), 1..n)),
        more in 0..=WHOLE_PPM,
        clients in proptest::collection::vec(any::<u32>(), 200),
    ) {
        let before = Cuts::new(&weights, 0).expect("valid");
        let taken: u32 = weights[1..].iter().sum();
        let mut raised = weights.clone();
        raised[grown] += more % (WHOLE_PPM - taken + 1);
        let after = Cuts::new(&raised, 0).expect("valid");
        // Those at the edges are the ones whom a rounding would move.
        let edges = before.intervals().chain(after.intervals());
        let edges: Vec<u32> = edges.flat_map(|(_, first, last)| [first, last]).collect();
        for u in clients.into_iter().chain(edges) {
            let (from, to) = (before.version_of(u), after.version_of(u));
            prop_assert!(from == to || (from == 0 && to == grown), "{u}: {from} -> {to}");
        }
    }

    /// Each version owns its weight of the line, to the nearest of 2^32 steps, up to 8 versions.
    #[test]
    fn every_version_owns_its_weight(weights in (1usize..=8).prop_flat_map(weights)) {
        let cuts = Cuts::new(&weights, 0).expect("valid");
        let mut owned = vec![0u64; weights.len()];
        for (version, first, last) in cuts.intervals() {
            owned[version] += u64::from(last - first) + 1;
            prop_assert_eq!(cuts.version_of(first), version);
            prop_assert_eq!(cuts.version_of(last), version);
        }
        prop_assert_eq!(owned.iter().sum::<u64>(), 1 << 32);
        for (version, ppm) in weights.iter().enumerate().skip(1) {
            let exact = u64::from(*ppm) as f64 * (1u64 << 32) as f64 / f64::from(WHOLE_PPM);
            prop_assert!((owned[version] as f64 - exact).abs() <= 1.0);
        }
    }

    /// A weight prints as what it reads.
    #[test]
    fn weights_survive_their_text(ppm in 0..=WHOLE_PPM) {
        let weight = Weight::from_ppm(ppm).expect("within");
        prop_assert_eq!(Weight::parse(&weight.to_string()), Ok(weight));
    }
}
