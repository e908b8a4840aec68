//! Databases of regions as tests make them.

use std::net::IpAddr;

use ipnet::IpNet;
use maxminddb_writer::{
    Database,
    metadata::IpVersion,
    paths::{IntoBitPath as _, IpAddrWithMask},
};
use serde_json::Value;

/// The content of a database that says of each network what stands beside it; where they overlap, of some.
/// Those of IPv4 lie at `::/96`.
pub(in crate::config) fn mmdb(networks: &[(IpNet, Value)]) -> Vec<u8> {
    let mut database = Database::default();
    database.metadata.ip_version = IpVersion::V6;
    database.metadata.binary_format_major_version = 2;
    database.metadata.database_type = "Test".to_owned();
    database.metadata.build_epoch = 1_800_000_000;
    let mut values: Vec<(&Value, _)> = Vec::new();
    for (network, value) in networks {
        let known = values.iter().find(|(known, _)| *known == value);
        let data = match known {
            Some((_, data)) => *data,
            None => {
                let data = database.insert_value(value).expect("a value");
                values.push((value, data));
                data
            }
        };
        let (address, bits) = match network.network() {
            IpAddr::V4(v4) => (v4.to_ipv6_compatible(), 96 + network.prefix_len()),
            IpAddr::V6(v6) => (v6, network.prefix_len()),
        };
        let path = IpAddrWithMask::new(address.into(), bits).into_bit_path();
        database.insert_node(path, data);
    }
    database.write_to(Vec::new()).expect("written")
}

/// The same from texts.
pub(in crate::config) fn from_texts(networks: &[(&str, Value)]) -> Vec<u8> {
    let networks: Vec<(IpNet, Value)> = networks
        .iter()
        .map(|(network, value)| (network.parse().expect("a prefix"), value.clone()))
        .collect();
    mmdb(&networks)
}

/// A database of countries.
pub(crate) fn database_of_countries(networks: &[(&str, &str)]) -> Vec<u8> {
    let record = |code: &str| serde_json::json!({"country_code": code});
    let networks = networks
        .iter()
        .map(|(network, code)| (*network, record(code)));
    from_texts(&networks.collect::<Vec<_>>())
}
