//! Owns what databases tell of addresses: which kinds of region there are, and where their databases lie.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// What a database tells of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegionKind {
    /// An ISO 3166-1 code: `DE`.
    Country,
    /// A country's code and that of a part of it, ISO 3166-2: `US-CA`.
    Subdivision,
    /// A city, by its number at GeoNames or its English name.
    City,
    /// The number of an autonomous system.
    Asn,
}

impl RegionKind {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Country, Self::Subdivision, Self::City, Self::Asn];

    /// Its key in the file, in `[databases]` and in a condition.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Country => "country",
            Self::Subdivision => "subdivision",
            Self::City => "city",
            Self::Asn => "asn",
        }
    }
}

/// One region, as a condition names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Region {
    /// By a number: a city's, or an autonomous system's.
    Number(u32),
    /// By a code or a name.
    Name(String),
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) if name.contains(' ') => write!(f, "\"{name}\""),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The databases of each kind of region; an address is where one of them says.
pub type Databases = BTreeMap<RegionKind, Vec<PathBuf>>;
