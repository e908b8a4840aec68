//! Owns what a list of prefixes in the file may be.

use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;
use toml::de::DeValue;

use super::reader::Section;

/// Why a text is no prefix.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum PrefixError {
    #[error("\"{0}\" is no prefix: write \"10.0.0.0/8\", \"2001:db8::/32\" or one address")]
    NotAPrefix(String),
    #[error("\"{0}\" has bits set behind its prefix: write \"{1}\" or one address")]
    BitsBehind(String, IpNet),
    #[error("\"{0}\" is an IPv4-mapped IPv6 prefix: write the IPv4 prefix itself")]
    Mapped(String),
}

/// Reads the prefixes of a key; none where it is missing.
pub(super) fn prefixes(section: &Section<'_, '_, '_>, key: &str) -> Vec<IpNet> {
    let mut found = Vec::new();
    let nodes = section.items(key, "a list such as [\"10.0.0.0/8\", \"2001:db8::1\"]");
    for node in nodes.unwrap_or_default() {
        let DeValue::String(text) = node.get_ref() else {
            let wanted = format!("`{key}`: a prefix must be a string such as \"10.0.0.0/8\"");
            section.error(&node.span(), wanted);
            continue;
        };
        match prefix(text) {
            Ok(prefix) => found.push(prefix),
            Err(error) => section.error(&node.span(), format_args!("`{key}`: {error}")),
        }
    }
    found
}

pub(super) fn prefix(text: &str) -> Result<IpNet, PrefixError> {
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => return Err(PrefixError::NotAPrefix(text.to_owned())),
        },
    };
    let mapped = |net: &IpNet| match net.network() {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => net.prefix_len() >= 96 && v6.to_ipv4_mapped().is_some(),
    };
    if mapped(&net) {
        return Err(PrefixError::Mapped(text.to_owned()));
    }
    if net.trunc() != net {
        return Err(PrefixError::BitsBehind(text.to_owned(), net.trunc()));
    }
    Ok(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_addresses_are_read_and_the_rest_is_told_what_to_write() {
        for good in ["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "::/0"] {
            assert_eq!(prefix(good).map(|net| net.to_string()), Ok(good.to_owned()));
        }
        let one = prefix("192.0.2.7").map(|net| net.to_string());
        assert_eq!(one, Ok("192.0.2.7/32".to_owned()));
        let told = |text: &str| prefix(text).map_err(|error| error.to_string());
        assert!(told("10.0.0.5/8").is_err_and(|why| why.contains("write \"10.0.0.0/8\"")));
        assert!(told("ten").is_err_and(|why| why.contains("no prefix")));
        assert!(told("10.0.0.0/33").is_err());
        assert!(told("::ffff:10.0.0.0/104").is_err_and(|why| why.contains("mapped")));
    }
}
