//! Owns the grammar of `[service.NAME]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::address::usable;
use super::devices;
use super::draft::{ServiceDraft, VersionPlaces};
use super::error::Place;
use super::flows::{flows, limits};
use super::health::{duration, health};
use super::parse::check_name;
use super::prefix::prefixes;
use super::reader::{Node, Section};
use super::segments::segments;
use super::version::{version, weight};
use splitter_common::weight::Weight;

use crate::model::{Affinity, DEFAULT_FAIL_SAFE_MAX, ForwardMethod, Service, SplitKey, Vip};

/// What a service can promise of its turns: what a histogram tells apart.
const TURN_SLO: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
/// A slice must be long enough for clients to come in it; what is longer says nothing of late faults.
const SLICE: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(86_400);

/// What can stand in the table of a service.
const KEYS: [&str; 19] = [
    "vips",
    "forward",
    "key",
    "affinity",
    "release",
    "salt_group",
    "protocol",
    "turn_slo",
    "slice",
    "direct",
    "deny",
    "allow",
    "limit",
    "flows",
    "failsafe_max_weight",
    "health",
    "segment",
    "traits",
    "version",
];

pub(super) fn service(name: &str, section: &Section<'_, '_, '_>) -> ServiceDraft {
    section.only(&KEYS);
    let keys = [
        ("client", SplitKey::Client),
        ("client/24", SplitKey::Client24),
        ("flow", SplitKey::Flow),
    ];
    let affinities = [("flow", Affinity::Flow), ("client", Affinity::Client)];
    let label = |key: &str| {
        let text = section.text(key)?;
        check_name(section, &text, &format!("a `{key}`"));
        Some((*text.get_ref()).to_owned())
    };
    let mut service = Service {
        name: name.to_owned(),
        vips: Vec::new(),
        forward: forward(section),
        key: section.choice("key", &keys).unwrap_or_default(),
        affinity: section.choice("affinity", &affinities),
        release: label("release").unwrap_or_else(|| "1".to_owned()),
        salt_group: label("salt_group"),
        http1: section
            .choice("protocol", &[("http1", true)])
            .unwrap_or_default(),
        turn_slo: duration(section, "turn_slo", TURN_SLO),
        slice: duration(section, "slice", SLICE),
        direct: prefixes(section, "direct"),
        deny: prefixes(section, "deny"),
        allow: prefixes(section, "allow"),
        limits: limits(section),
        flows: flows(section),
        fail_safe_max: fail_safe_max(section),
        supervised: false,
        segments: Vec::new(),
        traits: devices::settings(section),
        versions: Vec::new(),
        health: health(section),
    };
    let (vip_at, vips_whole) = vips(section, &mut service);
    let (version_at, versions_whole) = versions(section, &mut service);
    segments(section, &mut service, versions_whole);
    let at = section.reader.place(&section.span);
    ServiceDraft {
        service,
        at,
        vip_at,
        vips_whole,
        version_at,
        versions_whole,
    }
}

/// Reads the VIPs into the service: their places, and whether all could be read.
fn vips(section: &Section<'_, '_, '_>, service: &mut Service) -> (Vec<Place>, bool) {
    let mut places = Vec::new();
    let nodes = section.items("vips", "a list such as [\"203.0.113.10:443/tcp\"]");
    for node in nodes.unwrap_or_default() {
        if let Some(vip) = vip(section, node) {
            service.vips.push(vip);
            places.push(section.reader.place(&node.span()));
        }
    }
    let whole = nodes.map_or(section.get("vips").is_none(), |nodes| {
        nodes.len() == places.len()
    });
    (places, whole)
}

/// Likewise the versions.
fn versions(section: &Section<'_, '_, '_>, service: &mut Service) -> (Vec<VersionPlaces>, bool) {
    let mut places = Vec::new();
    let versions = section.named("version", "version");
    let whole = section.get("version").is_none_or(|node| {
        node.get_ref()
            .as_table()
            .is_some_and(|table| table.len() == versions.len())
    });
    for (name, section) in versions {
        check_name(
            &section,
            &Spanned::new(section.span.clone(), name),
            "a version's name",
        );
        let (version, its_places) = version(name, &section);
        service.versions.push(version);
        places.push(its_places);
    }
    (places, whole)
}

fn fail_safe_max(section: &Section<'_, '_, '_>) -> Weight {
    let node = section.get("failsafe_max_weight");
    node.and_then(|node| weight(section, node))
        .unwrap_or(DEFAULT_FAIL_SAFE_MAX)
}

fn forward(section: &Section<'_, '_, '_>) -> ForwardMethod {
    // Known words that have no code behind them yet deserve a better answer than "write nat".
    if let Some(text) = section.text("forward") {
        let word = *text.get_ref();
        match word {
            "nat" => {}
            "l2" | "ipip" | "gue" => {
                let message = format!(
                    "forward \"{word}\": l2, ipip and gue are not supported yet; write \"nat\""
                );
                section.error(&text.span(), message);
            }
            other => section.error(
                &text.span(),
                format_args!("`forward` is \"{other}\": write \"nat\""),
            ),
        }
    }
    ForwardMethod::Nat
}

fn vip(section: &Section<'_, '_, '_>, node: &Node<'_>) -> Option<Vip> {
    let span = node.span();
    let DeValue::String(text) = node.get_ref() else {
        section.error(
            &span,
            "a VIP must be a string such as \"203.0.113.10:443/tcp\"",
        );
        return None;
    };
    let vip: Vip = match text.parse() {
        Ok(vip) => vip,
        Err(error) => {
            section.error(&span, error);
            return None;
        }
    };
    usable(section, node, vip.address, "a VIP").then_some(vip)
}
