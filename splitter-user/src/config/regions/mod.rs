//! Owns databases of regions (MaxMind DB files, `.mmdb`): what they say of an address, and which prefixes
//! a region has.
//!
//! Invariant: the prefixes of a region have an address when a look-up of that address tells that region,
//! and no other. Left out are the aliases under which IPv6 has the addresses of IPv4 once more (6to4,
//! Teredo), since no client is known by them.

mod record;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use maxminddb::{MaxMindDbError, Reader, WithinOptions};

pub use record::Record;

use crate::model::{Region, RegionKind};

/// A database, whole in memory.
pub struct Database(Reader<Vec<u8>>);

/// Regions, each with its kind.
pub(super) type Wanted = BTreeSet<(RegionKind, Region)>;

/// What came of looking for regions in a database.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The prefixes of those that it has.
    pub(super) prefixes: BTreeMap<(RegionKind, Region), Vec<IpNet>>,
    /// The kinds of region that it tells of anybody.
    pub(super) kinds: BTreeSet<RegionKind>,
    /// What was probably meant by those that it has not.
    pub(super) meant: BTreeMap<(RegionKind, Region), String>,
}

impl Database {
    /// Takes the content of a file, or says what it is not.
    pub fn new(content: Vec<u8>) -> Result<Self, String> {
        let reader = Reader::from_source(content).map_err(|error| match error {
            MaxMindDbError::InvalidDatabase { .. } => {
                format!("it is no whole .mmdb file ({error})")
            }
            // The library's errors are open-ended; they speak for themselves.
            _ => error.to_string(),
        })?;
        Ok(Self(reader))
    }

    /// What it calls itself: `GeoLite2-Country`.
    pub fn name(&self) -> &str {
        &self.0.metadata().database_type
    }

    /// When it was built, in seconds since 1970.
    pub fn built(&self) -> u64 {
        self.0.metadata().build_epoch
    }

    /// What it says of an address, and of which prefix it says that.
    pub fn look_up(&self, address: IpAddr) -> Result<Option<(IpNet, Record)>, String> {
        if address.is_ipv6() && self.0.metadata().ip_version == 4 {
            return Ok(None);
        }
        let found = self.0.lookup(address).map_err(damaged)?;
        let Some(record) = found.decode::<Record>().map_err(damaged)? else {
            return Ok(None);
        };
        let network = found.network().map_err(damaged)?;
        let network = IpNet::new(network.ip(), network.prefix()).map_err(damaged)?;
        Ok(Some((network.trunc(), record)))
    }

    /// Looks for regions in all that it says, in one walk; where there are none to look for, only until
    /// it has told each of some kinds of region.
    pub(super) fn find(
        &self,
        wanted: &Wanted,
        kinds: &BTreeSet<RegionKind>,
    ) -> Result<Found, String> {
        let wanted: Vec<&(RegionKind, Region)> = wanted.iter().collect();
        let mut prefixes = vec![Vec::new(); wanted.len()];
        // Many networks share a record, which is read once.
        let mut known = HashMap::<usize, Vec<usize>>::new();
        let mut found = Found::default();
        for network in self.walk()? {
            let network = network.map_err(damaged)?;
            let Some(offset) = network.offset() else {
                continue;
            };
            let those = match known.get(&offset) {
                Some(those) => those,
                None => {
                    let record: Record = network.decode().map_err(damaged)?.unwrap_or_default();
                    found.kinds.extend(record.kinds());
                    let all = wanted.iter().enumerate();
                    let those = all.filter(|(_, (kind, region))| record.is_in(*kind, region));
                    let those = those.map(|(at, _)| at).collect();
                    known.entry(offset).or_insert(those)
                }
            };
            if those.is_empty() {
                if wanted.is_empty() && found.kinds.is_superset(kinds) {
                    break;
                }
                continue;
            }
            let network = network.network().map_err(damaged)?;
            let network = IpNet::new(network.ip(), network.prefix()).map_err(damaged)?;
            for at in those {
                prefixes[*at].extend(as_prefixes(network));
            }
        }
        for (wanted, prefixes) in wanted.into_iter().zip(prefixes) {
            if prefixes.is_empty() {
                let meant = self.meant(&known, wanted)?;
                found
                    .meant
                    .extend(meant.map(|meant| (wanted.clone(), meant)));
            } else {
                found.prefixes.insert(wanted.clone(), prefixes);
            }
        }
        Ok(found)
    }

    fn walk(&self) -> Result<maxminddb::Within<'_, Vec<u8>>, String> {
        self.0.networks(WithinOptions::default()).map_err(damaged)
    }

    /// What somebody probably meant by a region that it has not. `known`: where its records begin.
    fn meant(
        &self,
        known: &HashMap<usize, Vec<usize>>,
        (kind, region): &(RegionKind, Region),
    ) -> Result<Option<String>, String> {
        let Region::Name(name) = region else {
            return Ok(None);
        };
        let mut guess = record::Guess::new(*kind, name);
        let mut left: BTreeSet<usize> = known.keys().copied().collect();
        for network in self.walk()? {
            let network = network.map_err(damaged)?;
            let new = network.offset().is_some_and(|offset| left.remove(&offset));
            if new && let Some(record) = network.decode::<Record>().map_err(damaged)? {
                guess.look(&record);
            }
            if left.is_empty() {
                break;
            }
        }
        Ok(guess.best())
    }
}

fn damaged(error: impl std::fmt::Display) -> String {
    format!("it is damaged: {error}")
}

/// A network of the walk as prefixes of clients.
fn as_prefixes(network: IpNet) -> impl Iterator<Item = IpNet> {
    let network = network.trunc();
    let (own, v4) = match network {
        IpNet::V4(_) => (Some(network), None),
        IpNet::V6(v6) => {
            // What is said of ::/96 and all around it is said of IPv4 too, which a database has there.
            let around = v6.prefix_len() <= 96 && v6.contains(&Ipv6Addr::UNSPECIFIED);
            let all = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);
            // IPv4-mapped addresses stand for IPv4 in the kernel's lists.
            let mapped = Ipv6Net::new_assert(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 96);
            let own = (!mapped.contains(&v6)).then_some(network);
            (own, around.then_some(IpNet::V4(all)))
        }
    };
    own.into_iter().chain(v4)
}

#[cfg(test)]
mod tests;
