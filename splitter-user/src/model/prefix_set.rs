//! Owns sets of prefixes.
//!
//! Invariant: a set equals another when its digest does; one that was read back from the disk has its
//! digest alone, since a set may be a million prefixes long. Such a one is compared with, never put in
//! force.

use std::{fmt, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use splitter_common::hash::{HashKey, siphash13};

/// Prefixes, sorted, each once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PrefixSet {
    /// What they are in the file's words, `country DE FR`, where these are not the prefixes themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    digest: u64,
    count: usize,
    #[serde(skip, default = "no_prefixes")]
    prefixes: Arc<[IpNet]>,
}

fn no_prefixes() -> Arc<[IpNet]> {
    Arc::from([])
}

impl PrefixSet {
    /// How many of them are shown.
    const SHOWN: usize = 3;

    /// A set of any prefixes.
    pub fn new(mut prefixes: Vec<IpNet>) -> Self {
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut bytes = Vec::with_capacity(prefixes.len() * 18);
        for prefix in &prefixes {
            match prefix.network() {
                IpAddr::V4(v4) => bytes.extend(v4.octets()),
                IpAddr::V6(v6) => bytes.extend(v6.octets()),
            }
            bytes.extend([prefix.prefix_len(), u8::from(prefix.addr().is_ipv4())]);
        }
        Self {
            name: None,
            digest: siphash13(HashKey::default(), &bytes),
            count: prefixes.len(),
            prefixes: prefixes.into(),
        }
    }

    /// The same, called by what the file names.
    #[must_use]
    pub fn called(self, name: String) -> Self {
        Self {
            name: Some(name),
            ..self
        }
    }

    /// What the file names, where that is not the prefixes themselves.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The prefixes.
    pub fn prefixes(&self) -> &[IpNet] {
        &self.prefixes
    }

    /// Digest and number of the prefixes; `None` where they themselves are not at hand.
    pub fn content(&self) -> Option<(u64, usize)> {
        (self.prefixes.len() == self.count).then_some((self.digest, self.count))
    }

    /// Whether one of them has an address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.prefixes.iter().any(|prefix| prefix.contains(&address))
    }
}

impl PartialEq for PrefixSet {
    fn eq(&self, other: &Self) -> bool {
        (self.digest, self.count) == (other.digest, other.count)
    }
}

impl fmt::Display for PrefixSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            let Self { count, digest, .. } = self;
            let prefixes = if *count == 1 { "prefix" } else { "prefixes" };
            return write!(f, "{name} in {count} {prefixes}, digest {digest:016x}");
        }
        let first = self.prefixes.iter().take(Self::SHOWN);
        let first: Vec<String> = first.map(ToString::to_string).collect();
        match self.count.saturating_sub(first.len()) {
            0 if first.is_empty() => f.write_str("no prefix"),
            0 => write!(f, "prefix {}", first.join(" ")),
            // Lists of which no more is shown are told from each other by their digests.
            more => write!(
                f,
                "prefix {} and {more} more, digest {:016x}",
                first.join(" "),
                self.digest
            ),
        }
    }
}
