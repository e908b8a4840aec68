//! Owns the grammar of `[[service.NAME.segment]]`.

use std::collections::BTreeMap;

use splitter_common::{capacity::MAX_SEGMENTS, weight::Weight};
use toml::{Spanned, de::DeValue};

use super::databases::in_regions;
use super::devices;
use super::parse::check_name;
use super::prefix::prefixes;
use super::prefix_file::from_file;
use super::reader::{Node, Section};
use super::version::weight;
use super::weights::apply_segment_weights;
use crate::model::{Activities, Condition, PrefixSet, RegionKind, Segment, Service, compile};

/// Reads the segments into a service whose versions have been read: `versions_whole` says whether all
/// of them could be.
pub(super) fn segments(section: &Section<'_, '_, '_>, service: &mut Service, versions_whole: bool) {
    let wanted = format!("written [[service.{}.segment]]", service.name);
    for node in section.items("segment", &wanted).unwrap_or_default() {
        let context = format!("{}segment: ", section.lead());
        let Some(unnamed) = section.table("segment", node, node.span(), context) else {
            continue;
        };
        let Some(name) = name(&unnamed, service) else {
            continue;
        };
        let context = format!("{}segment \"{name}\": ", section.lead());
        let Some(inner) = section.table("segment", node, node.span(), context) else {
            continue;
        };
        inner.only(&["name", "match", "weight"]);
        let condition = condition_of(&inner, "match", "who is in it");
        let weights = weights(&inner);
        let (Some(condition), Some(weights)) = (condition, weights) else {
            continue;
        };
        service.segments.push(Segment {
            name: name.clone(),
            condition,
            weights: BTreeMap::new(),
        });
        if versions_whole {
            weigh(&inner, service, &name, &weights);
        }
    }
    fits(section, service);
}

fn name(section: &Section<'_, '_, '_>, service: &Service) -> Option<String> {
    let Some(text) = section.text("name") else {
        if section.get("name").is_none() {
            section.error(&section.span, "no name: write `name = \"staff\"`");
        }
        return None;
    };
    check_name(section, &text, "a segment's name");
    let name = *text.get_ref();
    if service.segment(name).is_some() {
        section.error(
            &text.span(),
            format_args!("\"{name}\" is the name of another segment already; rename one"),
        );
        return None;
    }
    Some(name.to_owned())
}

/// The weights as they are written, each of which must name a version.
fn weights(section: &Section<'_, '_, '_>) -> Option<BTreeMap<String, Weight>> {
    let Some(node) = section.get("weight") else {
        let message = "no weight: write `weight = { canary = \"100%\" }`";
        section.error(&section.span, message);
        return None;
    };
    let context = format!("{}weight: ", section.lead());
    let inner = section.table("weight", node, node.span(), context)?;
    let mut weights = BTreeMap::new();
    for (name, node) in inner.entries() {
        weights.insert(name.to_owned(), weight(&inner, node)?);
    }
    if weights.is_empty() {
        let message = "no version has a weight: write `weight = { canary = \"100%\" }`";
        section.error(&node.span(), message);
        return None;
    }
    Some(weights)
}

/// Gives the last segment its weights.
fn weigh(
    section: &Section<'_, '_, '_>,
    service: &mut Service,
    name: &str,
    weights: &BTreeMap<String, Weight>,
) {
    match apply_segment_weights(service, name, weights) {
        Ok(with) => *service = with,
        Err(error) => {
            let at = section
                .get("weight")
                .map_or(section.span.clone(), Spanned::span);
            section.error(&at, error);
        }
    }
}

/// Whether the kernel has room for them.
fn fits(section: &Section<'_, '_, '_>, service: &Service) {
    let Some(node) = section.get("segment") else {
        return;
    };
    let count = service.segments.len();
    if count > MAX_SEGMENTS {
        let message = format!("{count} segments; at most {MAX_SEGMENTS} fit a service");
        section.error(&node.span(), message);
    }
    if let Err(error) = compile(&service.segments) {
        section.error(&node.span(), error);
    }
}

/// The condition under a key; `what` it says, where it is missing.
fn condition_of(section: &Section<'_, '_, '_>, key: &str, what: &str) -> Option<Condition> {
    let Some(node) = section.get(key) else {
        let message = format!(
            "`{key}` is missing, {what}: write `{key} = {{ prefix = [\"192.0.2.0/24\"] }}`"
        );
        section.error(&section.span, message);
        return None;
    };
    condition(section, key, node)
}

/// A table of conditions, all of which must hold.
fn condition(section: &Section<'_, '_, '_>, key: &str, node: &Node<'_>) -> Option<Condition> {
    let context = format!("{}{key}: ", section.lead());
    let inner = section.table(key, node, node.span(), context)?;
    inner.only(&[
        "prefix",
        "prefix_file",
        "country",
        "subdivision",
        "city",
        "asn",
        "cohort",
        "device",
        "activity",
        "all",
        "any",
        "not",
    ]);
    let mut parts = Vec::new();
    if inner.get("prefix").is_some() || inner.get("prefix_file").is_some() {
        let mut all = prefixes(&inner, "prefix");
        all.extend(from_file(&inner));
        parts.push(Condition::Prefix(PrefixSet::new(all)));
    }
    let regions = RegionKind::ALL.into_iter();
    parts.extend(regions.filter_map(|kind| in_regions(&inner, kind)));
    parts.extend(cohort(&inner));
    parts.extend(devices::condition(&inner));
    parts.extend(activity(&inner));
    if let Some(all) = list(&inner, "all") {
        parts.push(Condition::All(all));
    }
    if let Some(any) = list(&inner, "any") {
        parts.push(Condition::Any(any));
    }
    if let Some(node) = inner.get("not") {
        parts.extend(condition(&inner, "not", node).map(|not| Condition::Not(Box::new(not))));
    }
    match parts.len() {
        0 => {
            let message = format!(
                "`{key}` says nothing: write `{key} = {{ prefix = [\"192.0.2.0/24\"] }}`, or \
                 `prefix_file`, `country`, `subdivision`, `city`, `asn`, `cohort`, `device`, `activity`, \
                 `all`, `any` or `not`"
            );
            section.error(&node.span(), message);
            None
        }
        1 => parts.pop(),
        _ => Some(Condition::All(parts)),
    }
}

/// The cohort that a condition names.
fn cohort(section: &Section<'_, '_, '_>) -> Option<Condition> {
    let text = section.text("cohort")?;
    check_name(section, &text, "a cohort's name");
    Some(Condition::Cohort((*text.get_ref()).to_owned()))
}

/// The activities that a condition names.
fn activity(section: &Section<'_, '_, '_>) -> Option<Condition> {
    let example = "a list such as [\"new\", \"light\", \"normal\", \"heavy\"]";
    let nodes = section.items("activity", example)?;
    let mut all = Activities::default();
    for node in nodes {
        match node.get_ref().as_str().and_then(Activities::named) {
            Some(activity) => {
                all.0.insert(activity);
            }
            None => section.error(&node.span(), format_args!("`activity`: write {example}")),
        }
    }
    if nodes.is_empty() {
        let span = section
            .get("activity")
            .map_or(section.span.clone(), Spanned::span);
        section.error(&span, format_args!("`activity` is empty: write {example}"));
    }
    Some(Condition::Activity(all))
}

/// The conditions of `all` or `any`.
fn list(section: &Section<'_, '_, '_>, key: &str) -> Option<Vec<Condition>> {
    let example = "a list such as [{ prefix = [\"192.0.2.0/24\"] }]";
    let nodes = section.items(key, example)?;
    if nodes.is_empty() {
        let span = section.get(key).map_or(section.span.clone(), Spanned::span);
        section.error(&span, format_args!("`{key}` is empty: write {example}"));
        return None;
    }
    let parts = nodes.iter().filter_map(|node| match node.get_ref() {
        DeValue::Table(_) => condition(section, key, node),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => {
            section.error(&node.span(), format_args!("`{key}` must be {example}"));
            None
        }
    });
    Some(parts.collect())
}
