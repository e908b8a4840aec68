//! Owns the grammar of `[[device]]`, of conditions on device classes, and of `[service.NAME.traits]`.
//!
//! Invariant: rules of the configuration are asked before those that are built in, which are read by the
//! same grammar.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::LazyLock;
use std::time::Duration;

use splitter_common::{
    capacity::{DEVICE_CLASSES, DEVICE_RULES},
    device,
};

use super::draft::Draft;
use super::error::{ConfigError, Place};
use super::health::duration;
use super::lists::Lists;
use super::nearest::hint;
use super::parse;
use super::reader::{Section, Source};
use crate::model::{Condition, DeviceRule, TcpOption, TraitSettings, UNKNOWN_DEVICE};

/// The rules that are built in, as a configuration would write them.
pub(super) const BUILT_IN_DEVICES: &str = include_str!("../../dist/devices.toml");

/// What traits can stand for.
const LATCH: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);
/// What flows can be counted in.
const WINDOW: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(30 * 86_400);
/// What the kernel counts up to.
const FLOWS: RangeInclusive<u32> = 1..=65_535;

/// Reads `[[device]]`.
pub(super) fn rules(root: &Section<'_, '_, '_>, draft: &mut Draft) {
    let nodes = root.items("device", "written [[device]]");
    for node in nodes.unwrap_or_default() {
        let context = "device: ".to_owned();
        let section = root.table("device", node, node.span(), context);
        if let Some(rule) = section.as_ref().and_then(rule) {
            let place = root.reader.place(&node.span());
            draft.devices.push((rule, place));
        }
    }
}

fn rule(section: &Section<'_, '_, '_>) -> Option<DeviceRule> {
    section.only(&["class", "ttl", "options", "window", "mss", "window_scale"]);
    let Some(class) = section.text("class") else {
        if section.get("class").is_none() {
            section.error(&section.span, "no class: write `class = \"windows\"`");
        }
        return None;
    };
    parse::check_name(section, &class, "a device class");
    if *class.get_ref() == UNKNOWN_DEVICE {
        let message = "`unknown` is the class of those that no rule knows: write another name";
        section.error(&class.span(), message);
    }
    let ttl = section.integer("ttl", 1..=255).map(|ttl| ttl as u8);
    if let (Some(ttl), Some(node)) = (ttl, section.get("ttl"))
        && device::initial_ttl(ttl) != ttl
    {
        let message = format!("`ttl` is {ttl}: stacks begin with 32, 64, 128 or 255");
        section.error(&node.span(), message);
    }
    let rule = DeviceRule {
        class: (*class.get_ref()).to_owned(),
        ttl,
        options: options(section),
        window: section
            .integer("window", 0..=65_535)
            .map(|window| window as u16),
        mss: section.integer("mss", 1..=65_535).map(|mss| mss as u16),
        window_scale: section
            .integer("window_scale", 0..=14)
            .map(|scale| scale as u8),
    };
    let unread = section.get("options").is_some() && rule.options.is_none();
    if let Some(fault) = rule.fault().filter(|_| !unread) {
        section.error(&section.span, fault);
    }
    Some(rule)
}

fn options(section: &Section<'_, '_, '_>) -> Option<Vec<TcpOption>> {
    let text = section.text("options")?;
    let words = text.get_ref().split_whitespace();
    let all: Result<Vec<_>, String> = words.map(TcpOption::parse).collect();
    match all {
        Ok(options) => Some(options),
        Err(why) => {
            section.error(&text.span(), format_args!("`options`: {why}"));
            None
        }
    }
}

/// What is wrong with all rules together.
pub(super) fn check(rules: &[(DeviceRule, Place)]) -> Vec<ConfigError> {
    let room = DEVICE_RULES - built_in().len();
    let mut classes: BTreeSet<&str> = built_in().iter().map(|rule| rule.class.as_str()).collect();
    let mut errors = Vec::new();
    for (at, (rule, place)) in rules.iter().enumerate() {
        let is_new = classes.insert(&rule.class);
        let message = if at == room {
            format!(
                "device: {} rules; there is room for {room} beside those that are built in",
                rules.len()
            )
        } else if is_new && classes.len() == DEVICE_CLASSES {
            let most = DEVICE_CLASSES - 1;
            format!(
                "device: class \"{}\" is one too many; at most {most} fit a host",
                rule.class
            )
        } else {
            continue;
        };
        let place = place.clone();
        errors.push(ConfigError { place, message });
    }
    errors
}

/// Rules of a configuration and, behind them, those that are built in.
pub(super) fn with_built_in(rules: Vec<(DeviceRule, Place)>) -> Vec<DeviceRule> {
    let own = rules.into_iter().map(|(rule, _)| rule);
    own.chain(built_in().iter().cloned()).collect()
}

/// The rules that are built in, read once; a test holds that nothing is wrong with them.
pub fn built_in() -> &'static [DeviceRule] {
    static RULES: LazyLock<Vec<DeviceRule>> = LazyLock::new(|| {
        let source = Source::new("devices.toml", 0, BUILT_IN_DEVICES.to_owned());
        let mut draft = Draft::default();
        parse::file(&source, &Lists::default(), &mut draft);
        draft.devices.into_iter().map(|(rule, _)| rule).collect()
    });
    &RULES
}

/// The device classes that a condition names.
pub(super) fn condition(section: &Section<'_, '_, '_>) -> Option<Condition> {
    let example = "a list such as [\"windows\", \"apple\"]";
    let node = section.get("device")?;
    let nodes = section.items("device", example)?;
    let of_file = section.reader.lists.classes.iter().map(String::as_str);
    let mut known: Vec<&str> = built_in()
        .iter()
        .map(|rule| rule.class.as_str())
        .chain(of_file)
        .collect();
    known.push(UNKNOWN_DEVICE);
    known.sort_unstable();
    known.dedup();
    let mut classes = BTreeSet::new();
    for node in nodes {
        match node.get_ref().as_str() {
            Some(class) if known.contains(&class) => {
                classes.insert(class.to_owned());
            }
            Some(class) => {
                let message = format!(
                    "`device`: no rule has the class \"{class}\"{}",
                    hint(class, &known)
                );
                section.error(&node.span(), message);
            }
            None => section.error(&node.span(), format_args!("`device`: write {example}")),
        }
    }
    if nodes.is_empty() {
        section.error(
            &node.span(),
            format_args!("`device` is empty: write {example}"),
        );
    }
    Some(Condition::Device(classes))
}

/// Reads `[service.NAME.traits]`.
pub(super) fn settings(section: &Section<'_, '_, '_>) -> TraitSettings {
    let defaults = TraitSettings::default();
    let Some(node) = section.get("traits") else {
        return defaults;
    };
    let context = format!("{}traits: ", section.lead());
    let Some(inner) = section.table("traits", node, node.span(), context) else {
        return defaults;
    };
    inner.only(&["latch", "window", "normal_from", "heavy_from"]);
    let settings = TraitSettings {
        latch: duration(&inner, "latch", LATCH).unwrap_or(defaults.latch),
        window: duration(&inner, "window", WINDOW).unwrap_or(defaults.window),
        normal_from: inner
            .integer("normal_from", FLOWS)
            .unwrap_or(defaults.normal_from),
        heavy_from: inner
            .integer("heavy_from", FLOWS)
            .unwrap_or(defaults.heavy_from),
    };
    if settings.normal_from >= settings.heavy_from {
        let TraitSettings {
            normal_from,
            heavy_from,
            ..
        } = settings;
        let message =
            format!("`heavy_from` is {heavy_from}: it must be above `normal_from`, {normal_from}");
        inner.error(&node.span(), message);
    }
    settings
}
