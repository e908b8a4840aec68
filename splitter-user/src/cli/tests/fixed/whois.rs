//! The answer to `whois`.

use crate::api::types::{Whois, WhoisDatabase, WhoisService};

/// An address of which three databases tell three things, in services of three kinds.
pub(super) fn who(address: String) -> Whois {
    let database = |path: &str| WhoisDatabase {
        path: path.into(),
        built: Some("2026-01-02T03:04:05Z".into()),
        ..WhoisDatabase::default()
    };
    let service = |service: &str| WhoisService {
        service: service.into(),
        segments: Vec::new(),
        segment: None,
        version: Some("stable".into()),
        denied: None,
        note: None,
    };
    Whois {
        address,
        databases: vec![
            WhoisDatabase {
                asked: vec!["country".into(), "city".into()],
                network: Some("198.51.100.0/24".into()),
                country: Some("DE".into()),
                country_name: Some("Germany".into()),
                subdivisions: vec!["DE-BE".into()],
                city_number: Some(2_950_159),
                city: Some("Berlin".into()),
                ..database("/var/lib/splitter/city.mmdb")
            },
            WhoisDatabase {
                asked: vec!["asn".into()],
                ..database("/var/lib/splitter/asn-v4.mmdb")
            },
            WhoisDatabase {
                asked: vec!["asn".into()],
                built: None,
                error: Some("it is no whole .mmdb file".into()),
                ..database("/var/lib/splitter/asn-v6.mmdb")
            },
        ],
        services: vec![
            WhoisService {
                segments: vec!["berlin".into(), "europe".into()],
                segment: Some("berlin".into()),
                version: Some("canary".into()),
                ..service("shop")
            },
            service("mail"),
            WhoisService {
                version: None,
                note: Some("service \"dns\" splits by flow".into()),
                ..service("dns")
            },
        ],
    }
}
