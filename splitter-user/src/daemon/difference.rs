//! Owns what differs between two configurations, said item by item, and who changes version.
//!
//! Invariant: two services without a difference are equal; every field is an item.

use super::weights;
use crate::{
    api::types::{Difference, ServiceChange},
    model::{Config, Segment, Service, TraitSettings, Version},
    state::State,
};

/// What there is, and what is said of it.
type Items = Vec<(String, String)>;

/// The services that differ, in the order of `after`, then those that go.
pub(super) fn services(before: &Config, after: &Config) -> Vec<ServiceChange> {
    let mut changes = Vec::new();
    for service in after.services() {
        let old = before.service(&service.name);
        let differences = differences(old.map(items).unwrap_or_default(), items(service));
        if !differences.is_empty() {
            let moves = old.map_or_else(Vec::new, |old| weights::moves(old, service));
            changes.push(ServiceChange {
                service: service.name.clone(),
                differences,
                moves,
                seen: None,
            });
        }
    }
    for service in &before.services {
        if after.service(&service.name).is_none() {
            changes.push(ServiceChange {
                service: service.name.clone(),
                differences: differences(items(service), Items::new()),
                moves: Vec::new(),
                seen: None,
            });
        }
    }
    changes
}

/// The interfaces that differ.
pub(super) fn interfaces(before: &Config, after: &Config) -> Vec<Difference> {
    let items = |config: &Config| {
        let item = |each: &crate::model::Interface| (each.name.clone(), each.xdp.to_string());
        config.interfaces.iter().map(item).collect()
    };
    differences(items(before), items(after))
}

/// The rules of devices that differ, by their places.
pub(super) fn devices(before: &Config, after: &Config) -> Vec<Difference> {
    let items = |config: &Config| {
        let rules = (1..).zip(&config.devices);
        rules
            .map(|(nth, rule)| (format!("rule {nth}"), rule.to_string()))
            .collect()
    };
    differences(items(before), items(after))
}

/// What differs for whoever asks for metrics.
pub(super) fn metrics(before: &Config, after: &Config) -> Vec<Difference> {
    let items = |config: &Config| {
        let listen = config.metrics.listen.iter();
        listen
            .map(|at| ("listen".to_owned(), at.to_string()))
            .collect()
    };
    differences(items(before), items(after))
}

/// What was set at run time and stays over the file.
pub(super) fn overlays(state: &State, file: &Config) -> Vec<String> {
    let mut kept = Vec::new();
    for (name, segments) in &state.segment_overlays {
        for (segment, overlay) in segments {
            for (version, weight) in crate::state::weights(&overlay.weights_ppm) {
                kept.push(format!(
                    "service {name}, segment {segment}: {version}={weight}, set at run time by {}, \
                     stays",
                    overlay.by
                ));
            }
        }
    }
    for (name, overlay) in &state.overlays {
        let service = file.service(name);
        let of_file = service.map(Service::weights).unwrap_or_default();
        for (version, weight) in crate::state::weights(&overlay.weights_ppm) {
            let says = of_file.get(&version).copied().unwrap_or_default();
            kept.push(format!(
                "service {name}: {version}={weight}, set at run time by {}, stays; the file says \
                 {says}",
                overlay.by
            ));
        }
    }
    kept
}

fn differences(before: Items, after: Items) -> Vec<Difference> {
    let find = |items: &Items, what: &str| {
        let found = items.iter().find(|(other, _)| other == what);
        found.map(|(_, value)| value.clone())
    };
    let mut differences = Vec::new();
    for (what, value) in &after {
        let old = find(&before, what);
        if old.as_ref() != Some(value) {
            differences.push(Difference {
                what: what.clone(),
                before: old,
                after: Some(value.clone()),
            });
        }
    }
    for (what, value) in before {
        if find(&after, &what).is_none() {
            differences.push(Difference {
                what,
                before: Some(value),
                after: None,
            });
        }
    }
    differences
}

fn items(service: &Service) -> Items {
    // A new field stops the build here until it is said.
    let Service {
        name: _,
        vips,
        forward,
        key,
        affinity,
        release,
        salt_group,
        http1,
        turn_slo,
        slice,
        direct,
        deny,
        allow,
        limits,
        flows,
        fail_safe_max,
        // Not the file's to change.
        supervised: _,
        segments,
        traits,
        versions,
        health,
    } = service;
    let mut items: Items = vec![
        ("forward".to_owned(), forward.to_string()),
        ("key".to_owned(), key.to_string()),
        (
            "affinity".to_owned(),
            affinity.map_or("by protocol".to_owned(), |affinity| affinity.to_string()),
        ),
        ("release".to_owned(), release.clone()),
        ("failsafe_max_weight".to_owned(), fail_safe_max.to_string()),
    ];
    items.extend(
        salt_group
            .iter()
            .map(|group| ("salt group".to_owned(), group.clone())),
    );
    if *http1 {
        items.push(("protocol".to_owned(), "http1".to_owned()));
    }
    items.extend(turn_slo.map(|slo| {
        let text = humantime::format_duration(slo).to_string();
        ("turn_slo".to_owned(), text)
    }));
    items.extend(slice.map(|slice| {
        let text = humantime::format_duration(slice).to_string();
        ("slice".to_owned(), text)
    }));
    items.push(("flows".to_owned(), flows.to_string()));
    if *traits != TraitSettings::default() {
        items.push(("traits".to_owned(), traits.to_string()));
    }
    for (word, prefixes) in [("direct", direct), ("deny", deny), ("allow", allow)] {
        let each = prefixes.iter();
        items.extend(each.map(|prefix| (format!("{word} {prefix}"), String::new())));
    }
    for (what, limit) in [("limit", limits.all), ("limit of a client", limits.each)] {
        let text = limit.map(|limit| format!("{}/s, burst {}", limit.flows_per_s, limit.burst));
        items.extend(text.map(|text| (what.to_owned(), text)));
    }
    if let Some(health) = health {
        let text = serde_json::to_string(health).unwrap_or_default();
        items.push(("health".to_owned(), text));
    }
    items.extend(vips.iter().map(|vip| (format!("VIP {vip}"), String::new())));
    let weights = service.weights();
    for version in versions {
        let Version {
            name,
            baseline,
            weight: _,
            backends,
            on_empty: _,
        } = version;
        let role = if *baseline { "baseline" } else { "" };
        items.push((format!("version {name}"), role.to_owned()));
        items.push((format!("weight of {name}"), weights[name].to_string()));
        items.push((
            format!("on_empty of {name}"),
            version.on_empty().to_string(),
        ));
        for backend in backends {
            items.push((
                format!("backend {backend} of {name}"),
                format!("weight {}", backend.weight),
            ));
        }
    }
    items.extend(
        segments
            .iter()
            .flat_map(|segment| of_segment(service, segment)),
    );
    if segments.len() > 1 {
        let names: Vec<&str> = segments.iter().map(|each| each.name.as_str()).collect();
        items.push(("order of segments".to_owned(), names.join(", ")));
    }
    if versions.len() > 1 {
        let names: Vec<&str> = versions.iter().map(|each| each.name.as_str()).collect();
        items.push(("order of versions".to_owned(), names.join(", ")));
    }
    items
}

fn of_segment(service: &Service, segment: &Segment) -> Items {
    let Segment {
        name,
        condition,
        weights: _,
    } = segment;
    let mut items = vec![(format!("segment {name}"), condition.to_string())];
    for (version, weight) in service.under(segment).weights() {
        items.push((format!("weight of {version} in {name}"), weight.to_string()));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_str;

    const FILE: &str = "\
[[interface]]
name = \"eth0\"
[service.shop]
vips = [\"203.0.113.10:80/tcp\"]
[service.shop.version.stable]
baseline = true
backends = [\"10.0.0.1:80\", \"10.0.0.2:80\"]
[service.shop.version.canary]
weight = \"10%\"
backends = [\"10.0.0.3:80\"]
";

    fn config(replacements: &[(&str, &str)]) -> Config {
        let text = replacements
            .iter()
            .fold(FILE.to_owned(), |text, (from, to)| {
                assert!(text.contains(from), "{from}");
                text.replace(from, to)
            });
        parse_str("test.toml", &text).expect("a valid configuration")
    }

    fn said(replacements: &[(&str, &str)]) -> Vec<String> {
        let changes = services(&config(&[]), &config(replacements));
        let line = |each: Difference| format!("{} {:?} {:?}", each.what, each.before, each.after);
        changes
            .into_iter()
            .flat_map(|change| change.differences)
            .map(line)
            .collect()
    }

    #[test]
    fn every_key_is_told_and_nothing_else() {
        assert!(said(&[]).is_empty());
        for (from, to, wanted) in [
            (
                "\"10%\"",
                "\"30%\"",
                "weight of canary Some(\"10%\") Some(\"30%\")",
            ),
            (
                "\"10.0.0.3:80\"",
                "\"10.0.0.4:80\"",
                "backend 10.0.0.3:80 of canary Some(\"weight 1\") None",
            ),
            (
                "\"10.0.0.3:80\"",
                "{ address = \"10.0.0.3:80\", weight = 7 }",
                "backend 10.0.0.3:80 of canary Some(\"weight 1\") Some(\"weight 7\")",
            ),
            (
                "80/tcp\"",
                "80/tcp\", \"203.0.113.10:80/udp\"",
                "VIP 203.0.113.10:80/udp None Some(\"\")",
            ),
            (
                "vips",
                "key = \"client/24\"\nvips",
                "key Some(\"client\") Some(\"client/24\")",
            ),
            (
                "vips",
                "affinity = \"client\"\nvips",
                "affinity Some(\"by protocol\") Some(\"client\")",
            ),
            (
                "vips",
                "release = \"2\"\nvips",
                "release Some(\"1\") Some(\"2\")",
            ),
            (
                "vips",
                "salt_group = \"g\"\nvips",
                "salt group None Some(\"g\")",
            ),
            (
                "vips",
                "protocol = \"http1\"\nvips",
                "protocol None Some(\"http1\")",
            ),
            (
                "vips",
                "turn_slo = \"300ms\"\nvips",
                "turn_slo None Some(\"300ms\")",
            ),
            ("vips", "slice = \"10m\"\nvips", "slice None Some(\"10m\")"),
            (
                "vips",
                "direct = [\"10.9.0.0/16\"]\nvips",
                "direct 10.9.0.0/16 None Some(\"\")",
            ),
            (".canary]", ".beta]", "version canary Some(\"\") None"),
        ] {
            let lines = said(&[(from, to)]);
            assert!(
                lines.iter().any(|line| line == wanted),
                "{wanted}: {lines:#?}"
            );
        }
    }

    #[test]
    fn who_moves_is_what_weight_set_says() {
        let changes = services(&config(&[]), &config(&[("\"10%\"", "\"30%\"")]));
        let [change] = &changes[..] else {
            panic!("{changes:?}")
        };
        let [moved] = &change.moves[..] else {
            panic!("{change:?}")
        };
        assert_eq!(
            (moved.from.as_str(), moved.to.as_str()),
            ("stable", "canary")
        );
        assert!((moved.percent_of_clients - 20.0).abs() < 1e-6);
    }

    #[test]
    fn services_and_interfaces_come_and_go() {
        let (one, other) = (config(&[]), config(&[("shop", "mall"), ("eth0", "eth1")]));
        let names: Vec<String> = services(&one, &other)
            .into_iter()
            .map(|change| change.service)
            .collect();
        assert_eq!(names, ["mall", "shop"]);
        let told = interfaces(&one, &other);
        assert_eq!(
            (
                told[0].what.as_str(),
                &told[0].before,
                told[0].after.as_deref()
            ),
            ("eth1", &None, Some("auto"))
        );
        assert_eq!((told[1].what.as_str(), &told[1].after), ("eth0", &None));
    }
}
