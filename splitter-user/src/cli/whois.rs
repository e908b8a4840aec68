//! Owns what `whois` prints.

use super::text::table;
use crate::api::types::{Whois, WhoisDatabase, WhoisService};

/// The answer to `whois`: what databases say, then what services make of it.
pub(super) fn whois(who: &Whois) -> String {
    let mut out = format!("{}\n", who.address);
    if who.databases.is_empty() {
        out += "  no database to ask: see [databases]\n";
    }
    for database in &who.databases {
        out += &format!("  {}\n", said(database));
    }
    let rows = who.services.iter().map(service).collect();
    out + &table(
        &["SERVICE", "VERSION", "BY", "IN SEGMENTS"],
        &[0, 1, 2, 3],
        rows,
    )
}

fn said(database: &WhoisDatabase) -> String {
    let path = &database.path;
    if let Some(error) = &database.error {
        return format!("{path} cannot be read: {error}");
    }
    let built = database.built.as_deref().unwrap_or_default();
    let date = built.split('T').next().unwrap_or_default();
    let by = format!("by {path} of {date}");
    let Some(network) = &database.network else {
        return format!("not known {by}");
    };
    let named = |name: Option<&String>| name.map_or_else(String::new, |name| format!(" ({name})"));
    let mut parts = Vec::new();
    if let Some(code) = &database.country {
        let name = named(database.country_name.as_ref());
        parts.push(format!("country {code}{name}"));
    }
    let subdivisions = database.subdivisions.iter();
    parts.extend(subdivisions.map(|code| format!("subdivision {code}")));
    let number = database.city_number.map(|number| number.to_string());
    match &database.city {
        Some(name) => parts.push(format!("city {name}{}", named(number.as_ref()))),
        None => parts.extend(number.map(|number| format!("city {number}"))),
    }
    if let Some(number) = database.asn {
        let name = named(database.organization.as_ref());
        parts.push(format!("asn {number}{name}"));
    }
    if parts.is_empty() {
        parts.push("nothing of use".to_owned());
    }
    format!("{} {by}, for {network}", parts.join(", "))
}

fn service(service: &WhoisService) -> Vec<String> {
    let version = match (&service.denied, &service.version) {
        (Some(why), _) => format!("(denied: {why})"),
        (None, Some(version)) => version.clone(),
        (None, None) => "-".to_owned(),
    };
    let by = match (&service.note, &service.segment) {
        (Some(note), _) => note.clone(),
        (None, Some(segment)) => format!("segment {segment}"),
        (None, None) => "the service's weights".to_owned(),
    };
    let segments = match service.segments.as_slice() {
        [] => "-".to_owned(),
        several => several.join(", "),
    };
    vec![service.service.clone(), version, by, segments]
}
