//! Owns the grammar of `[service.NAME.health.passive]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use splitter_common::weight::Weight;

use super::health::{duration, percent};
use super::reader::Section;
use crate::model::Passive;

const WINDOW: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(600);
const EJECT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// Reads it, where there is one.
pub(super) fn passive(health: &Section<'_, '_, '_>) -> Option<Passive> {
    let node = health.get("passive")?;
    let context = format!("{}passive: ", health.lead());
    let section = health.table("passive", node, node.span(), context)?;
    section.only(&[
        "window",
        "min_handshakes",
        "unanswered",
        "resets",
        "eject_for",
        "eject_max",
    ]);
    let usual = Passive::default();
    let eject_for = duration(&section, "eject_for", EJECT).unwrap_or(usual.eject_for);
    let eject_max = duration(&section, "eject_max", EJECT);
    if let (Some(most), Some(node)) = (eject_max, section.get("eject_max"))
        && most < eject_for
    {
        let message = format!(
            "`eject_max` is shorter than the first ejection of {}: write at least that",
            humantime::format_duration(eject_for)
        );
        section.error(&node.span(), message);
    }
    Some(Passive {
        window: duration(&section, "window", WINDOW).unwrap_or(usual.window),
        min_handshakes: section
            .integer("min_handshakes", 1..=1_000_000)
            .unwrap_or(usual.min_handshakes),
        unanswered: share(&section, "unanswered").unwrap_or(usual.unanswered),
        resets: share(&section, "resets").unwrap_or(usual.resets),
        eject_for,
        eject_max: eject_max.unwrap_or(usual.eject_max.max(eject_for)),
    })
}

/// A share from which on something counts: with 0 % everything would.
fn share(section: &Section<'_, '_, '_>, key: &str) -> Option<Weight> {
    let share = percent(section, key)?;
    if share == Weight::ZERO {
        let span = section.get(key)?.span();
        let message = format!("`{key}` is 0%, which every backend reaches: write \"50%\", say");
        section.error(&span, message);
        return None;
    }
    Some(share)
}
