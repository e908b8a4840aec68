//! Owns `whois`: who an address is by the databases of regions, and to each service.
//!
//! Invariant: databases are asked as they lie on the disk, services as they are in force in the kernel;
//! `status` warns where a database has changed and is not in force.

use std::{collections::BTreeMap, fs, net::IpAddr, path::Path};

use super::{
    core::{Core, Daemon},
    explain, segments,
    wall::text_of,
};
use crate::{
    api::{
        Refusal,
        types::{Whois, WhoisDatabase, WhoisService},
    },
    config::Database,
    model::{Databases, RegionKind, Service},
};

/// Who an address is.
pub(super) async fn whois(daemon: &Daemon, address: IpAddr) -> Result<Whois, Refusal> {
    let address = address.to_canonical();
    let databases = daemon.core.lock().await.file.databases.clone();
    // Outside of the lock: a database may be a hundred megabytes long.
    let asked = tokio::task::spawn_blocking(move || ask(&databases, address)).await;
    let databases = asked.map_err(Refusal::internal)?;
    let mut core = daemon.core.lock().await;
    let services = core.config.services.clone();
    let services = services
        .iter()
        .map(|each| service(&mut core, each, address));
    Ok(Whois {
        address: address.to_string(),
        databases,
        services: services.collect::<Result<_, _>>()?,
    })
}

/// What each database says.
fn ask(databases: &Databases, address: IpAddr) -> Vec<WhoisDatabase> {
    let mut asked = BTreeMap::<&Path, Vec<RegionKind>>::new();
    for (kind, paths) in databases {
        for path in paths {
            asked.entry(path).or_default().push(*kind);
        }
    }
    let one = |(path, kinds): (&Path, Vec<RegionKind>)| {
        let said = said(path, address);
        let said = said.unwrap_or_else(|why| WhoisDatabase {
            error: Some(why),
            ..WhoisDatabase::default()
        });
        WhoisDatabase {
            path: path.display().to_string(),
            asked: kinds.iter().map(|kind| kind.key().to_owned()).collect(),
            ..said
        }
    };
    asked.into_iter().map(one).collect()
}

fn said(path: &Path, address: IpAddr) -> Result<WhoisDatabase, String> {
    let content = fs::read(path).map_err(|error| error.to_string())?;
    let database = Database::new(content)?;
    let built = Some(text_of(database.built()));
    let Some((network, record)) = database.look_up(address)? else {
        return Ok(WhoisDatabase {
            built,
            ..WhoisDatabase::default()
        });
    };
    Ok(WhoisDatabase {
        built,
        network: Some(network.to_string()),
        country: record.country,
        country_name: record.country_name,
        subdivisions: record.subdivisions,
        city_number: record.city_number,
        city: record.city,
        asn: record.asn,
        organization: record.organization,
        ..WhoisDatabase::default()
    })
}

fn service(core: &mut Core, service: &Service, address: IpAddr) -> Result<WhoisService, Refusal> {
    let segments = segments::holding(core, service, address)?;
    let told = match explain::explain(core, &service.name, address, None, None) {
        Ok(told) => told,
        Err(refusal) => {
            return Ok(WhoisService {
                service: service.name.clone(),
                segment: segments.first().cloned(),
                segments,
                version: None,
                denied: None,
                note: Some(refusal.in_a_line()),
            });
        }
    };
    Ok(WhoisService {
        service: told.service,
        segments,
        segment: told.segment,
        version: Some(told.version),
        denied: told.denied,
        note: None,
    })
}
