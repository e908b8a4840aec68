//! Owns the grammar of `[service.NAME.version.NAME]` and of its backends.

use splitter_common::weight::{Weight, WeightError};
use toml::de::DeValue;

use super::address::{backend_address, usable};
use super::draft::VersionPlaces;
use super::health::on_empty;
use super::reader::{Node, Section};
use crate::model::{Backend, Version};

pub(super) fn version(name: &str, section: &Section<'_, '_, '_>) -> (Version, VersionPlaces) {
    section.only(&["baseline", "weight", "backends", "on_empty"]);
    let baseline = section.boolean("baseline").unwrap_or(false);
    let weight_node = section.get("weight");
    let mut weight = Weight::ZERO;
    match weight_node {
        Some(node) if baseline => {
            let message = "the baseline takes the rest: remove its `weight`, or set the weights \
                           of the other versions";
            section.error(&node.span(), message);
        }
        Some(node) => weight = self::weight(section, node).unwrap_or(Weight::ZERO),
        None => {}
    }
    let mut backends = Vec::new();
    let mut backend_at = Vec::new();
    let nodes = section.items("backends", "a list such as [\"10.0.1.11:8443\"]");
    for node in nodes.unwrap_or_default() {
        if let Some(backend) = backend(section, node) {
            backends.push(backend);
            backend_at.push(section.reader.place(&node.span()));
        }
    }
    let backends_whole = nodes.map_or(section.get("backends").is_none(), |nodes| {
        nodes.len() == backends.len()
    });
    let places = VersionPlaces {
        at: section.reader.place(&section.span),
        weight_at: weight_node.map(|node| section.reader.place(&node.span())),
        backend_at,
        backends_whole,
    };
    (
        Version {
            name: name.to_owned(),
            baseline,
            weight,
            backends,
            on_empty: on_empty(section),
        },
        places,
    )
}

pub(super) fn weight(section: &Section<'_, '_, '_>, node: &Node<'_>) -> Option<Weight> {
    let text = match node.get_ref() {
        DeValue::String(text) => text,
        DeValue::Integer(number) => {
            let number = number.as_str();
            let message =
                format!("a weight is a string with a percent sign: write `weight = \"{number}%\"`");
            section.error(&node.span(), message);
            return None;
        }
        DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => {
            let message = "a weight is a string with a percent sign: write `weight = \"0.5%\"`";
            section.error(&node.span(), message);
            return None;
        }
    };
    let why = match Weight::parse(text) {
        Ok(weight) => return Some(weight),
        Err(why) => why,
    };
    let todo = match why {
        WeightError::NotANumber | WeightError::TooFine => "",
        WeightError::TooLarge => "; write 0% to 100%, all versions together at most 100%",
    };
    let text = text.trim();
    let message = match why {
        WeightError::TooLarge => format!("weight {text} is {why}{todo}"),
        WeightError::NotANumber | WeightError::TooFine => format!("weight \"{text}\": {why}"),
    };
    section.error(&node.span(), message);
    None
}

fn backend(section: &Section<'_, '_, '_>, node: &Node<'_>) -> Option<Backend> {
    let form = "a backend is \"address:port\", \"address\", or \
                { address = \"address:port\", weight = 1 }";
    let (text_node, weight) = match node.get_ref() {
        DeValue::String(_) => (node, 1),
        DeValue::Table(_) => {
            let context = format!("{}backend: ", section.lead());
            let inner = section.table("backends", node, node.span(), context)?;
            inner.only(&["address", "weight"]);
            let weight = inner.integer("weight", 0..=u32::from(Backend::MAX_WEIGHT));
            if inner.get("weight").is_some() && weight.is_none() {
                return None;
            }
            let Some(text_node) = inner.get("address") else {
                section.error(&node.span(), form);
                return None;
            };
            (text_node, weight.unwrap_or(1))
        }
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => {
            section.error(&node.span(), form);
            return None;
        }
    };
    let Some(text) = text_node.get_ref().as_str() else {
        section.error(&text_node.span(), form);
        return None;
    };
    match backend_address(text) {
        Ok((address, port)) => {
            let weight = u16::try_from(weight).unwrap_or(Backend::MAX_WEIGHT);
            usable(section, text_node, address, "a backend").then_some(Backend {
                address,
                port,
                weight,
                leaving: false,
            })
        }
        Err(error) => {
            section.error(&text_node.span(), error);
            None
        }
    }
}
