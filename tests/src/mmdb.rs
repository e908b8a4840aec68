//! Owns small databases of regions, as tests make them.

use std::{fs, net::IpAddr, path::Path};

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use maxminddb_writer::{
    Database,
    metadata::IpVersion,
    paths::{IntoBitPath as _, IpAddrWithMask},
};

/// Puts a database of countries at `path` in one step, as whoever downloads one should: it says of each
/// network which code stands beside it; none may lie in another.
///
/// # Errors
///
/// When it cannot be made or written.
pub fn put_countries(path: &Path, networks: &[(IpNet, &str)]) -> Result<()> {
    let mut database = Database::default();
    database.metadata.ip_version = IpVersion::V6;
    database.metadata.binary_format_major_version = 2;
    database.metadata.database_type = "Test-Country".to_owned();
    for (network, code) in networks {
        let record = serde_json::json!({"country": {"iso_code": code}});
        let record = database.insert_value(&record).context("a record")?;
        // Networks of IPv4 lie at ::/96.
        let (address, bits) = match network.network() {
            IpAddr::V4(v4) => (v4.to_ipv6_compatible(), 96 + network.prefix_len()),
            IpAddr::V6(v6) => (v6, network.prefix_len()),
        };
        let path = IpAddrWithMask::new(address.into(), bits).into_bit_path();
        database.insert_node(path, record);
    }
    let content = database.write_to(Vec::new()).context("a database")?;
    let beside = path.with_extension("new");
    fs::write(&beside, content)?;
    fs::rename(&beside, path)?;
    Ok(())
}
