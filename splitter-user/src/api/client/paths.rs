//! Owns the paths of questions that have parameters.

use crate::api::types::{ClientQuery, FlowQuery, TraceQuery};

use crate::events::EventQuery;

/// The path of a question about events.
pub(super) fn events_path(verb: &str, wanted: &EventQuery) -> String {
    let EventQuery {
        service,
        since,
        after,
        limit,
    } = wanted;
    let (after, limit) = (
        after.map(|after| after.to_string()),
        limit.map(|limit| limit.to_string()),
    );
    let all = [
        ("service", service),
        ("since", since),
        ("after", &after),
        ("limit", &limit),
    ];
    let asked = all
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let asked: Vec<String> = asked
        .map(|(name, value)| format!("{name}={}", escape(value)))
        .collect();
    format!("/v1/events{verb}?{}", asked.join("&"))
}

/// The path of a trace.
pub(super) fn trace_path(wanted: &TraceQuery) -> String {
    let TraceQuery {
        client,
        service,
        seconds,
    } = wanted;
    let mut path = format!("/v1/trace?client={}", escape(client));
    if let Some(service) = service {
        path += &format!("&service={}", escape(service));
    }
    if let Some(seconds) = seconds {
        path += &format!("&seconds={seconds}");
    }
    path
}

/// The path of a question about flows.
pub(super) fn flows_path(service: &str, verb: &str, wanted: &FlowQuery) -> String {
    let FlowQuery {
        version,
        client,
        pending,
        limit,
    } = wanted;
    let mut path = format!(
        "/v1/services/{}/flows{verb}?pending={pending}&limit={limit}",
        escape(service)
    );
    for (name, value) in [("version", version), ("client", client)] {
        if let Some(value) = value {
            path += &format!("&{name}={}", escape(value));
        }
    }
    path
}

/// The path of a question about clients.
pub(super) fn clients_path(service: &str, wanted: &ClientQuery) -> String {
    let ClientQuery { version, limit } = wanted;
    let version = version.as_ref();
    let version = version.map_or_else(String::new, |name| format!("&version={}", escape(name)));
    format!(
        "/v1/services/{}/clients?limit={limit}{version}",
        escape(service)
    )
}

/// Percent-encodes whatever could mean something in a URI (RFC 3986, section 2.3).
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}
