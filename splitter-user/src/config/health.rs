//! Owns the grammar of `[service.NAME.health]` and what it must be beside the service's VIPs.
//!
//! Invariant: durations are text with a unit, within the range that the error names.

use std::ops::RangeInclusive;
use std::time::Duration;

use splitter_common::weight::Weight;
use toml::de::DeValue;

use super::check::Faults;
use super::draft::ServiceDraft;
use super::passive::passive;
use super::reader::{Node, Section};
use crate::model::{
    Check, HealthSettings, HttpMethod, HttpQuestion, OnEmpty, Protocol, Question, Version,
};

const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3_600);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3_600);
const SLOW_START: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3_600);

const HTTP_KEYS: [&str; 5] = ["method", "path", "host", "expect_status", "expect_body"];
const CHECK_KEYS: [&str; 5] = ["port", "interval", "timeout", "rise", "fall"];

/// Reads `[service.NAME.health]`, where there is one.
pub(super) fn health(service: &Section<'_, '_, '_>) -> Option<HealthSettings> {
    let node = service.get("health")?;
    let context = format!("{}health: ", service.lead());
    let section = service.table("health", node, node.span(), context)?;
    let mut known = vec!["check", "passive", "max_unhealthy", "slow_start"];
    known.extend(CHECK_KEYS.iter().chain(&HTTP_KEYS));
    section.only(&known);
    let half = Weight::from_ppm(HealthSettings::MAX_UNHEALTHY_PPM).unwrap_or_default();
    Some(HealthSettings {
        check: check(&section),
        passive: passive(&section),
        max_unhealthy: percent(&section, "max_unhealthy").unwrap_or(half),
        slow_start: duration(&section, "slow_start", SLOW_START).unwrap_or_default(),
    })
}

fn check(section: &Section<'_, '_, '_>) -> Option<Check> {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Tcp,
        Http,
    }
    if section.get("check").is_none() {
        let keys = CHECK_KEYS.iter().chain(&HTTP_KEYS);
        idle(
            section,
            keys,
            "is part of a check, and there is none: write `check = \"http\"`",
        );
        return None;
    }
    let kind = section.choice("check", &[("tcp", Kind::Tcp), ("http", Kind::Http)]);
    // A word that is neither has been told. The section is read on, so that all its faults are told
    // at once: by http, which every key here may belong to.
    let question = match kind.unwrap_or(Kind::Http) {
        Kind::Http => Question::Http(http(section)),
        Kind::Tcp => {
            idle(
                section,
                &HTTP_KEYS,
                "belongs to a check by http: write `check = \"http\"`",
            );
            Question::Tcp
        }
    };
    let interval = duration(section, "interval", INTERVAL).unwrap_or(Duration::from_secs(2));
    let timeout = duration(section, "timeout", TIMEOUT);
    if let (Some(timeout), Some(node)) = (timeout, section.get("timeout"))
        && timeout > interval
    {
        let message = format!(
            "`timeout` is longer than the interval of {}: probes would overtake each other; write \
             at most that",
            humantime::format_duration(interval)
        );
        section.error(&node.span(), message);
    }
    let port = section.integer("port", 1..=u32::from(u16::MAX));
    Some(Check {
        question,
        port: port.and_then(|port| u16::try_from(port).ok()),
        interval,
        timeout: timeout.unwrap_or(Duration::from_secs(1).min(interval)),
        rise: section.integer("rise", 1..=100).unwrap_or(2),
        fall: section.integer("fall", 1..=100).unwrap_or(3),
    })
}

/// Reports every one of `keys` that is there and does nothing.
fn idle<'k>(
    section: &Section<'_, '_, '_>,
    keys: impl IntoIterator<Item = &'k &'static str>,
    why: &str,
) {
    for key in keys {
        if let Some(node) = section.get(key) {
            section.error(&node.span(), format_args!("`{key}` {why}"));
        }
    }
}

fn http(section: &Section<'_, '_, '_>) -> HttpQuestion {
    let methods = [("GET", HttpMethod::Get), ("HEAD", HttpMethod::Head)];
    let method = section.choice("method", &methods).unwrap_or_default();
    let text = |key: &str| section.text(key).map(|text| (*text.get_ref()).to_owned());
    let path = text("path").unwrap_or_else(|| "/".to_owned());
    if let Some(node) = section.get("path")
        && (!path.starts_with('/') || path.contains(|c: char| c <= ' ' || !c.is_ascii()))
    {
        let message = format!(
            "`path` is \"{path}\": write a path of ASCII without blanks that begins with /, such \
             as \"/healthz\""
        );
        section.error(&node.span(), message);
    }
    let host = text("host");
    if let (Some(host), Some(node)) = (&host, section.get("host"))
        && (host.is_empty() || host.contains(|c: char| c <= ' ' || !c.is_ascii()))
    {
        let message = format!("`host` is \"{host}\": write a name such as \"shop.example\"");
        section.error(&node.span(), message);
    }
    let expect_body = text("expect_body");
    if let (HttpMethod::Head, Some(node)) = (method, section.get("expect_body")) {
        let message = "an answer to HEAD has no body: remove `expect_body` or write `method = \
                       \"GET\"`";
        section.error(&node.span(), message);
    }
    HttpQuestion {
        method,
        path,
        host,
        expect_status: statuses(section),
        expect_body,
    }
}

/// Codes and ranges of codes; 200 to 299 unless told otherwise.
fn statuses(section: &Section<'_, '_, '_>) -> Vec<(u16, u16)> {
    let usual = vec![(200, 299)];
    let Some(nodes) = section.items("expect_status", "a list such as [200, \"300-399\"]") else {
        return usual;
    };
    let mut ranges = Vec::new();
    for node in nodes {
        match status(node) {
            Some(range) => ranges.push(range),
            None => section.error(
                &node.span(),
                "an expected status is a code such as 200 or a range such as \"200-299\", within \
                 100 to 599",
            ),
        }
    }
    if let (true, Some(node)) = (nodes.is_empty(), section.get("expect_status")) {
        let message = "`expect_status` is empty, so that no answer is good: write [200]";
        section.error(&node.span(), message);
    }
    ranges
}

fn status(node: &Node<'_>) -> Option<(u16, u16)> {
    let (first, last) = match node.get_ref() {
        DeValue::Integer(code) => (code.as_str(), code.as_str()),
        DeValue::String(range) => range.split_once('-')?,
        DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => return None,
    };
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (100 <= first && first <= last && last <= 599).then_some((first, last))
}

pub(super) fn percent(section: &Section<'_, '_, '_>, key: &str) -> Option<Weight> {
    let text = section.text(key)?;
    match Weight::parse(text.get_ref()) {
        Ok(share) => Some(share),
        Err(error) => {
            let message = format!(
                "`{key}` is \"{}\": {error}; write a share such as \"50%\"",
                text.get_ref()
            );
            section.error(&text.span(), message);
            None
        }
    }
}

/// A duration within `range`, as text with a unit.
pub(super) fn duration(
    section: &Section<'_, '_, '_>,
    key: &str,
    range: RangeInclusive<Duration>,
) -> Option<Duration> {
    if let Some(DeValue::Integer(number)) = section.get(key).map(|node| node.get_ref()) {
        let number = number.as_str();
        let message = format!("a duration is text with a unit: write `{key} = \"{number}s\"`");
        section.error(&section.get(key)?.span(), message);
        return None;
    }
    let text = section.text(key)?;
    let read = humantime::parse_duration(text.get_ref());
    match read {
        Ok(duration) if range.contains(&duration) => Some(duration),
        Ok(_) | Err(_) => {
            let shown = |duration: &Duration| humantime::format_duration(*duration).to_string();
            let message = format!(
                "`{key}` is \"{}\": write a duration of {} to {}, such as {}",
                text.get_ref(),
                shown(range.start()),
                shown(range.end()),
                examples(&range)
            );
            section.error(&text.span(), message);
            None
        }
    }
}

/// Durations of a range, as they may be written.
fn examples(range: &RangeInclusive<Duration>) -> String {
    let fits = |text: &&str| {
        let read = humantime::parse_duration(text);
        read.is_ok_and(|duration| range.contains(&duration))
    };
    let fitting = ["2s", "500ms", "10m"].into_iter().filter(fits).take(2);
    let quoted: Vec<String> = fitting.map(|text| format!("\"{text}\"")).collect();
    quoted.join(" or ")
}

/// Reads a version's `on_empty`.
pub(super) fn on_empty(section: &Section<'_, '_, '_>) -> Option<OnEmpty> {
    let words = [
        ("baseline", OnEmpty::Baseline),
        ("keep", OnEmpty::Keep),
        ("reset", OnEmpty::Reset),
        ("drop", OnEmpty::Drop),
    ];
    section.choice("on_empty", &words)
}

/// What takes the service as a whole: a check needs a TCP port, and the baseline cannot stand in
/// for itself.
pub(super) fn sound(draft: &ServiceDraft, faults: &mut Faults) {
    let service = &draft.service;
    for (version, places) in service.versions.iter().zip(&draft.version_at) {
        if itself(version) {
            let message = format!(
                "service \"{}\", version \"{}\": the baseline cannot be served by itself when it \
                 is empty: write `on_empty = \"keep\"`, \"reset\" or \"drop\"",
                service.name, version.name
            );
            faults.add(&places.at, message);
        }
    }
    let health = service.health.as_ref();
    let Some(check) = health.and_then(|health| health.check.as_ref()) else {
        return;
    };
    let is_tcp = |protocol| protocol == Protocol::Tcp;
    // Without a VIP at all, that alone is the fault.
    if !draft.vips_whole || service.vips.is_empty() || check.port.is_some() {
        return;
    }
    if !service.vips.iter().any(|vip| is_tcp(vip.protocol)) {
        let message = format!(
            "service \"{}\", health: every VIP is UDP, and a check asks over TCP: write the `port` \
             on which the backends answer it",
            service.name
        );
        return faults.add(&draft.at, message);
    }
    let mut backends = service
        .versions
        .iter()
        .flat_map(|version| &version.backends);
    if let Some(backend) = backends.find(|backend| check.port_of(service, backend).is_none()) {
        let message = format!(
            "service \"{}\", health: backend {backend} has no port, and no TCP VIP of its family \
             names one: write the `port` on which the backends answer the check",
            service.name
        );
        faults.add(&draft.at, message);
    }
}

fn itself(version: &Version) -> bool {
    version.baseline && version.on_empty == Some(OnEmpty::Baseline)
}
