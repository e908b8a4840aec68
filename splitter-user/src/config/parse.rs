//! Owns the grammar of the file: which tables and keys there are and what each may hold.
//!
//! Invariant: what this module looks at stands in one table; whatever takes two of them is
//! [`super::check`]'s.

use toml::Spanned;
use toml::de::DeTable;

use super::databases::databases;
use super::devices;
use super::draft::Draft;
use super::error::{ConfigError, Place};
use super::lists::Lists;
use super::metrics::metrics;
use super::reader::{Reader, Section, Source};
use super::service::service;
use crate::model::{Interface, Limits, NAME_MAX, XdpChoice, is_name};

/// What came of reading one file.
pub(super) struct Parsed {
    /// Whether all of its text could be followed.
    pub(super) complete: bool,
    pub(super) errors: Vec<ConfigError>,
}

/// Reads one file into `draft`.
pub(super) fn file(source: &Source, lists: &Lists, draft: &mut Draft) -> Parsed {
    let reader = Reader::new(source, lists);
    let (tree, faults) = DeTable::parse_recoverable(&source.text);
    for fault in &faults {
        let span = fault.span().unwrap_or(0..0);
        // The library's message may run over several lines; an error is one.
        let message = fault.message().trim().replace('\n', "; ");
        reader.error(&span, format_args!("not valid TOML: {message}"));
    }
    // A tree with holes would be blamed for what only the holes lack.
    if faults.is_empty() {
        let root = Section::new(&reader, tree.get_ref(), 0..0, String::new());
        read(&root, draft);
    }
    Parsed {
        complete: faults.is_empty(),
        errors: reader.into_errors(),
    }
}

fn read(root: &Section<'_, '_, '_>, draft: &mut Draft) {
    root.only(&[
        "databases",
        "device",
        "interface",
        "limits",
        "metrics",
        "service",
    ]);
    devices::rules(root, draft);
    for node in root
        .items("interface", "written [[interface]]")
        .unwrap_or_default()
    {
        let context = "interface: ".to_owned();
        let section = root.table("interface", node, node.span(), context);
        match section.as_ref().and_then(interface) {
            Some(interface) => draft.interfaces.push(interface),
            None => draft.interfaces_missed = true,
        }
    }
    draft.interfaces_missed |= root
        .get("interface")
        .is_some_and(|node| !node.get_ref().is_array());
    if let Some(node) = root.get("limits") {
        let section = root.table("limits", node, node.span(), "limits: ".to_owned());
        if let Some(section) = section {
            limits(&section, draft);
        }
    }
    if let Some(node) = root.get("metrics") {
        let section = root.table("metrics", node, node.span(), "metrics: ".to_owned());
        if let Some(section) = section {
            metrics(&section, draft);
        }
    }
    if let Some(node) = root.get("databases") {
        let section = root.table("databases", node, node.span(), "databases: ".to_owned());
        if let Some(section) = section {
            databases(&section, draft);
        }
    }
    for (name, section) in root.named("service", "service") {
        check_name(
            &section,
            &Spanned::new(section.span.clone(), name),
            "a service's name",
        );
        draft.services.push(service(name, &section));
    }
}

pub(super) fn check_name(section: &Section<'_, '_, '_>, name: &Spanned<&str>, what: &str) {
    if !is_name(name.get_ref()) {
        let message = format!(
            "\"{}\" cannot be {what}: write 1 to {NAME_MAX} of a-z, 0-9, - and _, beginning with \
             a letter or a digit",
            name.get_ref()
        );
        section.error(&name.span(), message);
    }
}

fn interface(section: &Section<'_, '_, '_>) -> Option<(Interface, Place)> {
    section.only(&["name", "xdp"]);
    let words = [
        ("auto", XdpChoice::Auto),
        ("native", XdpChoice::Native),
        ("generic", XdpChoice::Generic),
    ];
    let xdp = section.choice("xdp", &words).unwrap_or_default();
    if section.get("name").is_none() {
        section.error(&section.span, "no name: write `name = \"eth0\"`");
    }
    let name = section.text("name")?;
    let text = *name.get_ref();
    // The kernel's own rule: dev_valid_name() in net/core/dev.c, IFNAMSIZ 16 with its end.
    let fits = (1..=15).contains(&text.len()) && text != "." && text != "..";
    if !fits || text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
        let message =
            format!("\"{text}\" cannot be an interface's name: write it as `ip link` does");
        section.error(&name.span(), message);
        return None;
    }
    Some((
        Interface {
            name: text.to_owned(),
            xdp,
        },
        section.reader.place(&name.span()),
    ))
}

fn limits(section: &Section<'_, '_, '_>, draft: &mut Draft) {
    section.only(&Limits::ALL.map(|limit| limit.key));
    let mut limits = Limits::default();
    for limit in Limits::ALL {
        if let Some(entries) = section.integer(limit.key, limit.range) {
            *(limit.of)(&mut limits) = entries;
            let node = section.get(limit.key);
            let odd = limit.power_of_two && !entries.is_power_of_two();
            if let Some(node) = node.filter(|_| odd) {
                let above = entries.next_power_of_two();
                let (key, below) = (limit.key, above / 2);
                let message = format!(
                    "`{key}` is {entries}: it must be a power of two, such as {below} or {above}"
                );
                section.error(&node.span(), message);
            }
        }
    }
    let at = section.reader.place(&section.span);
    match &draft.limits {
        Some((_, other)) => {
            let message = format!("limits stand in {other} already; keep them in one place");
            section.reader.error(&section.span, message);
        }
        None => draft.limits = Some((limits, at)),
    }
}
