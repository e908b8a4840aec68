//! Owns the records of databases, in the two forms that are in use: nested like MaxMind's
//! (`country.iso_code`, `subdivisions[].iso_code`, `city.geoname_id`, `city.names.en`,
//! `autonomous_system_number`) and flat (`country_code`, `state1`, `city`, `autonomous_system_number`).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::{
    config::nearest::nearest,
    model::{Region, RegionKind},
};

/// What a database says of an address; what it does not say is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// ISO 3166-1 code.
    pub country: Option<String>,
    /// The country's English name.
    pub country_name: Option<String>,
    /// `US-CA`, from the largest to the smallest; of flat records the country's code and the name.
    pub subdivisions: Vec<String>,
    /// The city's number at GeoNames.
    pub city_number: Option<u32>,
    /// Its English name.
    pub city: Option<String>,
    /// Autonomous system.
    pub asn: Option<u32>,
    /// Whose that is.
    pub organization: Option<String>,
}

/// As it stands in a database.
#[derive(Deserialize)]
struct Raw {
    country: Option<Place>,
    country_code: Option<String>,
    #[serde(default)]
    subdivisions: Vec<Nested>,
    state1: Option<String>,
    city: Option<Place>,
    autonomous_system_number: Option<Number>,
    autonomous_system_organization: Option<String>,
}

/// A place by its code or name alone, or by all that is known of it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Place {
    Flat(String),
    Nested(Nested),
}

/// A number of whatever size, or as text: `64500`, `AS64500`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u64),
    Text(String),
}

impl Number {
    /// None where it is no number of a region; flat records leave it 0 where they know nothing.
    fn read(self) -> Option<u32> {
        let number = match self {
            Self::Number(number) => u32::try_from(number).ok(),
            Self::Text(text) => text.strip_prefix("AS").unwrap_or(&text).parse().ok(),
        };
        number.filter(|number| *number != 0)
    }
}

#[derive(Default, Deserialize)]
struct Nested {
    iso_code: Option<String>,
    geoname_id: Option<Number>,
    #[serde(default)]
    names: BTreeMap<String, String>,
}

impl Nested {
    fn english(&mut self) -> Option<String> {
        self.names.remove("en")
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(from)?;
        let (mut country, country_name) = match raw.country {
            None => (None, None),
            Some(Place::Flat(code)) => (Some(code), None),
            Some(Place::Nested(mut nested)) => (nested.iso_code.take(), nested.english()),
        };
        country = country.or(raw.country_code).and_then(some);
        let (city_number, city) = match raw.city {
            None => (None, None),
            Some(Place::Flat(name)) => (None, some(name)),
            Some(Place::Nested(mut nested)) => {
                let number = nested.geoname_id.take().and_then(Number::read);
                (number, nested.english())
            }
        };
        let parts = raw.subdivisions.into_iter();
        let parts = parts.filter_map(|part| part.iso_code);
        let parts = parts.chain(raw.state1.and_then(some));
        let country_of_part = country.clone().unwrap_or_default();
        Ok(Self {
            subdivisions: parts
                .map(|part| format!("{country_of_part}-{part}"))
                .collect(),
            country,
            country_name,
            city_number,
            city,
            asn: raw.autonomous_system_number.and_then(Number::read),
            organization: raw.autonomous_system_organization.and_then(some),
        })
    }
}

/// Flat records leave a text empty where they know nothing.
fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

impl Record {
    /// The kinds of region that it tells.
    pub fn kinds(&self) -> impl Iterator<Item = RegionKind> {
        let told = |kind: &RegionKind| match kind {
            RegionKind::Country => self.country.is_some(),
            RegionKind::Subdivision => !self.subdivisions.is_empty(),
            RegionKind::City => self.city.is_some() || self.city_number.is_some(),
            RegionKind::Asn => self.asn.is_some(),
        };
        RegionKind::ALL.into_iter().filter(told)
    }

    /// Whether it is one of a region.
    pub fn is_in(&self, kind: RegionKind, region: &Region) -> bool {
        match (kind, region) {
            (RegionKind::Country, Region::Name(code)) => self.country.as_ref() == Some(code),
            (RegionKind::Subdivision, Region::Name(code)) => self.subdivisions.contains(code),
            (RegionKind::City, Region::Number(number)) => self.city_number == Some(*number),
            (RegionKind::City, Region::Name(name)) => self.is_in_city(name),
            (RegionKind::Asn, Region::Number(number)) => self.asn == Some(*number),
            (RegionKind::Country | RegionKind::Subdivision, Region::Number(_))
            | (RegionKind::Asn, Region::Name(_)) => false,
        }
    }

    /// Whether its city has a name: `Paris`, or with its country `Paris, FR`.
    fn is_in_city(&self, name: &str) -> bool {
        let Some(city) = &self.city else {
            return false;
        };
        city == name
            || name
                .rsplit_once(", ")
                .is_some_and(|(of, country)| of == city && self.country.as_deref() == Some(country))
    }

    /// The names of a kind that it has, as a condition may have them.
    fn names(&self, kind: RegionKind) -> impl Iterator<Item = &String> {
        let (one, many): (Option<&String>, &[String]) = match kind {
            RegionKind::Country => (self.country.as_ref(), &[]),
            RegionKind::Subdivision => (None, &self.subdivisions),
            RegionKind::City => (self.city.as_ref(), &[]),
            RegionKind::Asn => (None, &[]),
        };
        one.into_iter().chain(many)
    }
}

/// Codes that are in use beside those of ISO 3166-1.
const ALSO: [(&str, &str); 2] = [("UK", "GB"), ("EL", "GR")];

/// The search for what somebody meant by a name.
pub(super) struct Guess<'n> {
    kind: RegionKind,
    name: &'n str,
    /// What means the same in other words.
    same: Option<String>,
    /// The nearest so far.
    near: Option<String>,
}

impl<'n> Guess<'n> {
    pub(super) fn new(kind: RegionKind, name: &'n str) -> Self {
        Self {
            kind,
            name,
            same: None,
            near: None,
        }
    }

    /// Looks at a record.
    pub(super) fn look(&mut self, record: &Record) {
        for known in record.names(self.kind) {
            let named = self.kind == RegionKind::Country
                && record
                    .country_name
                    .as_ref()
                    .is_some_and(|name| name.eq_ignore_ascii_case(self.name));
            if named || self.means(known) {
                self.same = Some(known.clone());
            }
            let candidates = self.near.iter().chain([known]).map(String::as_str);
            if let Some(near) = nearest(self.name, candidates) {
                self.near = Some(near.to_owned());
            }
        }
    }

    fn means(&self, known: &str) -> bool {
        let upper = self.name.to_uppercase();
        let part_alone = self.kind == RegionKind::Subdivision
            && known
                .split_once('-')
                .is_some_and(|(_, part)| part.eq_ignore_ascii_case(self.name));
        known.eq_ignore_ascii_case(self.name)
            || part_alone
            || (self.kind == RegionKind::Country && ALSO.contains(&(upper.as_str(), known)))
    }

    pub(super) fn best(self) -> Option<String> {
        self.same.or(self.near)
    }
}
