//! Owns the sizes of the kernel's tables that a configuration can set, and what a configuration
//! needs of them.
//!
//! Invariant: every table whose size the program does not depend on has a key here. Fixed are the
//! directory and its address filter, whose sizes are part of how the program finds a place in
//! them, and the versions of a service, which stand in its row.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use splitter_common::capacity::{
    self, COHORT_MEMBERS, ESTABLISHED_FLOWS, FRAGMENTED_DATAGRAMS, JUDGED_CLIENTS, KNOWN_CLIENTS,
    LEDGERS, LIMITED_CLIENTS, MAX_BACKENDS, MAX_ENDPOINTS, MAX_FRONTENDS, MAX_PREFIXES,
    MAX_SERVICES, PENDING_FLOWS, TABLE_PAGES,
};

use super::Service;

/// Sizes of the kernel's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Established flows.
    pub flows: u32,
    /// Handshakes begun and not completed, datagrams not answered.
    pub pending: u32,
    /// Datagrams whose fragments are followed at once.
    pub fragments: u32,
    /// Services.
    pub services: u32,
    /// VIPs.
    pub vips: u32,
    /// Backends, counted once per service and version.
    pub backends: u32,
    /// Pages of Maglev tables, of 4 KiB each.
    pub table_pages: u32,
    /// Prefixes in the lists of all services, those of a commit beside those in force.
    pub prefixes: u32,
    /// Addresses in cohorts.
    pub cohort_members: u32,
    /// Clients whose new flows are limited, remembered at once.
    pub limited_clients: u32,
    /// Clients whose device class and activity are remembered at once.
    pub known_clients: u32,
    /// Services whose clients are judged at once.
    pub judged_services: u32,
    /// Clients of a judged service that are told apart, a power of two: of more, some that come later
    /// are taken for one that was counted.
    pub judged_clients: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: ESTABLISHED_FLOWS,
            pending: PENDING_FLOWS,
            fragments: FRAGMENTED_DATAGRAMS,
            services: MAX_SERVICES,
            vips: MAX_FRONTENDS,
            // Number 0 marks an empty cell.
            backends: MAX_BACKENDS - 1,
            table_pages: TABLE_PAGES,
            prefixes: MAX_PREFIXES,
            cohort_members: COHORT_MEMBERS,
            limited_clients: LIMITED_CLIENTS,
            known_clients: KNOWN_CLIENTS,
            judged_services: LEDGERS,
            judged_clients: JUDGED_CLIENTS,
        }
    }
}

/// One key of `[limits]`.
pub struct Limit {
    /// The key.
    pub key: &'static str,
    /// What it may be. The largest numbers of services, VIPs and backends are those of 16 bits.
    pub range: RangeInclusive<u32>,
    /// Whether it must be a power of two.
    pub power_of_two: bool,
    /// Its place.
    pub of: fn(&mut Limits) -> &mut u32,
}

impl Limits {
    /// Every key.
    pub const ALL: [Limit; 13] = [
        limit("flows", 1_024..=16_777_216, |limits| &mut limits.flows),
        limit("pending", 1_024..=16_777_216, |limits| &mut limits.pending),
        limit("fragments", 1_024..=1_048_576, |limits| {
            &mut limits.fragments
        }),
        limit("services", 1..=32_768, |limits| &mut limits.services),
        limit("vips", 1..=65_535, |limits| &mut limits.vips),
        limit("backends", 1..=65_535, |limits| &mut limits.backends),
        limit("table_pages", 32..=262_144, |limits| {
            &mut limits.table_pages
        }),
        limit("prefixes", 1..=16_777_216, |limits| &mut limits.prefixes),
        limit("cohort_members", 1..=4_194_304, |limits| {
            &mut limits.cohort_members
        }),
        limit("limited_clients", 1_024..=16_777_216, |limits| {
            &mut limits.limited_clients
        }),
        limit("known_clients", 1_024..=16_777_216, |limits| {
            &mut limits.known_clients
        }),
        limit("judged_services", 1..=1_024, |limits| {
            &mut limits.judged_services
        }),
        Limit {
            power_of_two: true,
            ..limit("judged_clients", 4_096..=67_108_864, |limits| {
                &mut limits.judged_clients
            })
        },
    ];

    /// The keys in which these differ from what the tables have, as `key = 5 instead of 4`; `None`
    /// where they do not.
    pub fn difference(mut self, mut tables: Self) -> Option<String> {
        let differs = |limit: &Limit| {
            let (here, there) = (*(limit.of)(&mut self), *(limit.of)(&mut tables));
            (here != there).then(|| format!("{} = {here} instead of {there}", limit.key))
        };
        let all: Vec<String> = Self::ALL.iter().filter_map(differs).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// Sizes of the tables for them, in entries.
    pub const fn sizes(&self) -> capacity::Sizes {
        capacity::Sizes {
            established: self.flows,
            pending: self.pending,
            fragments: self.fragments,
            services: self.services,
            frontends: self.vips,
            backends: self.backends + 1,
            pages: self.table_pages,
            prefixes: self.prefixes,
            members: self.cohort_members,
            limited_clients: self.limited_clients,
            known_clients: self.known_clients,
            ledgers: self.judged_services,
            judged_clients: self.judged_clients,
        }
    }
}

const fn limit(
    key: &'static str,
    range: RangeInclusive<u32>,
    of: fn(&mut Limits) -> &mut u32,
) -> Limit {
    Limit {
        key,
        range,
        power_of_two: false,
        of,
    }
}

/// What a configuration needs of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Of what.
    pub what: &'static str,
    /// What that is, where it does not speak for itself; empty otherwise.
    pub note: &'static str,
    /// How many.
    pub count: usize,
    /// How many fit.
    pub room: u32,
    /// The key of `[limits]` that says so; `None` where it cannot be changed.
    pub key: Option<&'static str>,
}

impl Need {
    /// Whether it fits.
    pub fn fits(&self) -> bool {
        self.count <= self.room as usize
    }
}

impl fmt::Display for Need {
    /// What is wrong with a need that does not fit, and the way out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            note,
            count,
            room,
            key,
        } = self;
        write!(f, "{count} {what}{note} in all files together; ")?;
        let Some(key) = key else {
            return write!(f, "one host holds at most {room}, which cannot be changed");
        };
        let most = Limits::ALL
            .iter()
            .find(|limit| limit.key == *key)
            .map_or(*room, |limit| *limit.range.end());
        if *count <= most as usize {
            write!(
                f,
                "[limits] {key} = {room} is the most: raise it to {count} or more"
            )
        } else {
            write!(
                f,
                "one host holds at most {room}, and [limits] {key} at most {most}"
            )
        }
    }
}

/// What services need of the limits.
pub fn needs<'s>(
    services: impl Iterator<Item = &'s Service> + Clone,
    limits: &Limits,
) -> [Need; 6] {
    let vips = || services.clone().flat_map(|service| &service.vips);
    let versions = services.clone().flat_map(|service| &service.versions);
    let addresses: BTreeSet<IpAddr> = vips().map(|vip| vip.address).collect();
    let endpoints: usize = services.clone().map(Service::endpoints).sum();
    // Lists of equal content are one.
    let set = |prefixes: &[IpNet]| prefixes.iter().map(IpNet::trunc).collect();
    let lists: BTreeSet<BTreeSet<IpNet>> = services
        .clone()
        .flat_map(|service| [&service.direct, &service.deny, &service.allow])
        .map(|prefixes| set(prefixes))
        .collect();
    let in_segments: usize = services.clone().map(Service::segment_prefixes).sum();
    let need = |what, note, count, room, key| Need {
        what,
        note,
        count,
        room,
        key,
    };
    [
        need(
            "services",
            "",
            services.clone().count(),
            limits.services,
            Some("services"),
        ),
        need("VIPs", "", vips().count(), limits.vips, Some("vips")),
        need(
            "backends",
            "",
            versions.map(|version| version.backends.len()).sum(),
            limits.backends,
            Some("backends"),
        ),
        need(
            "addresses and ports",
            " (VIPs, and for each VIP the backends of its service)",
            addresses.len() + endpoints,
            MAX_ENDPOINTS,
            None,
        ),
        need(
            "pages of tables",
            " (versions of many backends take many)",
            services.map(Service::table_pages).sum(),
            limits.table_pages,
            Some("table_pages"),
        ),
        need(
            "listed prefixes",
            "",
            lists.iter().map(BTreeSet::len).sum::<usize>() + in_segments,
            limits.prefixes,
            Some("prefixes"),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_place_of_its_own_and_a_default_in_its_range() {
        let mut limits = Limits::default();
        assert_eq!(limits.difference(limits), None);
        for (at, limit) in Limits::ALL.iter().enumerate() {
            let place = (limit.of)(&mut limits);
            assert!(limit.range.contains(place), "{}", limit.key);
            *place = at as u32;
        }
        let mut seen: Vec<u32> = Limits::ALL
            .iter()
            .map(|limit| *(limit.of)(&mut limits))
            .collect();
        seen.dedup();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let mut other = limits;
        other.vips = 99;
        assert_eq!(
            limits.difference(other).as_deref(),
            Some("vips = 4 instead of 99")
        );
    }

    #[test]
    fn what_does_not_fit_is_told_with_the_way_out() {
        let need = |count, key| Need {
            what: "backends",
            note: "",
            count,
            room: 10,
            key,
        };
        assert!(need(10, None).fits() && !need(11, None).fits());
        let told = need(11, Some("backends")).to_string();
        assert!(told.ends_with("[limits] backends = 10 is the most: raise it to 11 or more"));
        let told = need(800_000, Some("backends")).to_string();
        assert!(
            told.ends_with("at most 10, and [limits] backends at most 65535"),
            "{told}"
        );
        let told = need(11, None).to_string();
        assert!(
            told.ends_with("at most 10, which cannot be changed"),
            "{told}"
        );
    }
}
