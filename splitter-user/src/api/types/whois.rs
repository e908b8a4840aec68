//! Owns the JSON of who an address is: by databases of regions, and to services.

use serde::{Deserialize, Serialize};

/// Who an address is: `GET /v1/whois`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whois {
    /// The address.
    pub address: String,
    /// What each database says of it, as it lies on the disk now.
    pub databases: Vec<WhoisDatabase>,
    /// Every service that is in force.
    pub services: Vec<WhoisService>,
}

/// What a database says of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoisDatabase {
    /// The file.
    pub path: String,
    /// The kinds of region that it is asked about: `country`, `subdivision`, `city`, `asn`.
    pub asked: Vec<String>,
    /// When it was built, RFC 3339 in UTC.
    pub built: Option<String>,
    /// The prefix of which it says this; `None`: it does not know the address.
    pub network: Option<String>,
    /// ISO 3166-1 code.
    pub country: Option<String>,
    /// The country's English name.
    pub country_name: Option<String>,
    /// `US-CA`, from the largest to the smallest.
    pub subdivisions: Vec<String>,
    /// The city's number at GeoNames.
    pub city_number: Option<u32>,
    /// Its English name.
    pub city: Option<String>,
    /// Autonomous system.
    pub asn: Option<u32>,
    /// Whose that is.
    pub organization: Option<String>,
    /// Why it cannot be asked.
    pub error: Option<String>,
}

/// What an address is to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoisService {
    /// The service.
    pub service: String,
    /// The segments whose condition holds of the address, in their order.
    pub segments: Vec<String>,
    /// The first of them, whose weights count; `None`: the service's own do.
    pub segment: Option<String>,
    /// The version of a new flow, as `explain` tells it.
    pub version: Option<String>,
    /// Why the service does not serve the address at all; `None`: it does.
    pub denied: Option<String>,
    /// Why no version can be told.
    pub note: Option<String>,
}
