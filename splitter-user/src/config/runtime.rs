//! Owns the file's rules for what is set at run time: a backend as text, and a configuration that
//! differs from the file.
//!
//! Invariant: what passes [`check_again`] would pass as a file.

use ipnet::IpNet;

use super::address::{backend_address, refused};
use super::check;
use super::draft::{Draft, ServiceDraft, VersionPlaces};
use super::error::{ConfigErrors, Place};
use crate::model::{Backend, Config, Service};

/// Reads `address:port` or a bare address as the file would, or says why it is no backend.
pub fn backend(text: &str, weight: u16) -> Result<Backend, String> {
    let (address, port) = backend_address(text).map_err(|error| error.to_string())?;
    match refused(address) {
        Some(why) => Err(format!("{address} cannot be a backend: it is {why}")),
        None => Ok(Backend {
            address,
            port,
            weight,
            leaving: false,
        }),
    }
}

/// Reads a prefix or one address as the file would, or says why it is none.
pub fn prefix(text: &str) -> Result<IpNet, String> {
    super::prefix::prefix(text).map_err(|error| error.to_string())
}

/// Holds a configuration to the rules between values of the file.
pub fn check_again(config: &Config) -> Result<(), ConfigErrors> {
    let here = Place {
        order: 0,
        file: "with what was set at run time".into(),
        line: 0,
        column: 0,
    };
    let draft = Draft {
        interfaces: config
            .interfaces
            .iter()
            .map(|interface| (interface.clone(), here.clone()))
            .collect(),
        interfaces_missed: false,
        limits: Some((config.limits, here.clone())),
        metrics: Some((config.metrics, here.clone())),
        databases: Some((config.databases.clone(), here.clone())),
        // Nothing that is set at run time changes rules.
        devices: Vec::new(),
        services: config
            .services()
            .map(|service| draft_of(service, &here))
            .collect(),
    };
    let mut faults = check::check(&draft, &here);
    if faults.is_empty() {
        return Ok(());
    }
    faults.dedup();
    Err(ConfigErrors(faults))
}

fn draft_of(service: &Service, here: &Place) -> ServiceDraft {
    let places = service.versions.iter().map(|version| VersionPlaces {
        at: here.clone(),
        weight_at: (!version.baseline).then(|| here.clone()),
        // Apart from each other: the rule of sharing tells backends from each other by where they
        // stand.
        backend_at: (0..)
            .map(|column| Place {
                column,
                ..here.clone()
            })
            .take(version.backends.len())
            .collect(),
        backends_whole: true,
    });
    ServiceDraft {
        service: service.clone(),
        at: here.clone(),
        vip_at: vec![here.clone(); service.vips.len()],
        vips_whole: true,
        version_at: places.collect(),
        versions_whole: true,
    }
}
