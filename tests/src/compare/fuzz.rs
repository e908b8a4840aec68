//! Owns malformed traffic: packets of [`super::traffic`], most of them damaged by one to three
//! mutations that know where the fields stand; half of those get right checksums again, so that
//! the damage is not the checksum's alone.

mod mutate;

use super::{
    Source,
    step::Step,
    traffic::{AGE_S, Traffic, commits},
};
use crate::model::{Model, repair};

/// Steps of a case.
const STEPS: u32 = 600;

/// Steps of a case of damaged packets.
pub struct Fuzz {
    traffic: Traffic,
    left: u32,
}

impl Fuzz {
    /// The packets of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            traffic: Traffic::new(seed),
            left: STEPS,
        }
    }
}

impl Source for Fuzz {
    fn next(&mut self, model: &Model) -> Option<Step> {
        self.left = self.left.checked_sub(1)?;
        let traffic = &mut self.traffic;
        if self.left == STEPS - 1 {
            return Some(commits::first(&mut traffic.rng));
        }
        if traffic.once_in(600) {
            return Some(commits::change(&mut traffic.rng));
        }
        if traffic.once_in(200) {
            return Some(Step::Age(AGE_S));
        }
        if traffic.once_in(300) {
            return Some(commits::evidence(&mut traffic.rng));
        }
        let whole = Step::line(traffic.packet(model)).expect("the packet language");
        let Step::Packet { mut frame, .. } = whole.clone() else {
            return Some(whole);
        };
        // Live flows need some that are whole.
        if traffic.once_in(4) {
            return Some(whole);
        }
        for _ in 0..traffic.rng.u32(1..=3) {
            mutate::mutate(&mut frame, &mut traffic.rng);
        }
        if traffic.rng.bool() {
            repair(&mut frame);
        }
        Some(Step::bytes(frame))
    }
}
