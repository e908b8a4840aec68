//! Owns the grammar of what the file says of flows: `flows` and `[service.NAME.limit]`.

use super::reader::Section;
use crate::model::{FlowFate, FlowLimit, FlowLimits};

/// Reads `flows`.
pub(super) fn flows(section: &Section<'_, '_, '_>) -> FlowFate {
    let Some(text) = section.text("flows") else {
        return FlowFate::default();
    };
    text.get_ref().parse().unwrap_or_else(|error| {
        section.error(&text.span(), format_args!("`flows`: {error}"));
        FlowFate::default()
    })
}

/// Reads the section `limit`.
pub(super) fn limits(section: &Section<'_, '_, '_>) -> FlowLimits {
    let Some(node) = section.get("limit") else {
        return FlowLimits::default();
    };
    let context = format!("{}limit: ", section.lead());
    let Some(inner) = section.table("limit", node, node.span(), context) else {
        return FlowLimits::default();
    };
    inner.only(&["flows_per_s", "burst", "client_flows_per_s", "client_burst"]);
    FlowLimits {
        all: limit(&inner, "flows_per_s", "burst"),
        each: limit(&inner, "client_flows_per_s", "client_burst"),
    }
}

/// A rate and its burst; without one, a burst is what the rate lets through in a second.
fn limit(section: &Section<'_, '_, '_>, rate: &str, burst: &str) -> Option<FlowLimit> {
    let range = 1..=FlowLimit::MAX;
    let flows_per_s = section.integer(rate, range.clone());
    let at_once = section.integer(burst, range);
    if section.get(rate).is_none()
        && let Some(node) = section.get(burst)
    {
        let message = format!("`{burst}` limits nothing without `{rate}`: write both");
        section.error(&node.span(), message);
    }
    let flows_per_s = flows_per_s?;
    Some(FlowLimit {
        flows_per_s,
        burst: at_once.unwrap_or(flows_per_s),
    })
}
