//! Owns lists of prefixes as the kernel looks them up: by the longest prefix alone.
//!
//! Invariant: what a list says of its longest prefix that has an address is what all of its prefixes
//! that have it say together. What a shorter one says is thus said again by the longer ones in it.

use std::collections::BTreeMap;

use ipnet::IpNet;
use splitter_common::address::Address;

/// Prefixes as they go into the kernel: the length in bits, of 128, and the address; and what is said
/// of those who have no longer one.
pub type PrefixList = BTreeMap<(u32, Address), u32>;

/// IPv4 addresses lie among those of IPv6 as `::ffff:0:0/96` (RFC 4291, section 2.5.5.2).
const MAPPED: (u128, u32) = (0xffff << 32, 96);

/// The list that says bit `n` of the prefixes of the set `n`.
pub fn list<'p>(sets: impl IntoIterator<Item = &'p [IpNet]>) -> PrefixList {
    // By first address and length: a prefix comes right before those that lie in it.
    let mut families = [BTreeMap::<(u128, u32), u32>::new(), BTreeMap::new()];
    for (bit, set) in sets.into_iter().enumerate() {
        for prefix in set {
            let (family, key) = key(prefix);
            *families[family].entry(key).or_default() |= 1 << bit;
        }
    }
    let [v4, v6] = &mut families;
    said_again(v4);
    said_again(v6);
    // What is said of all IPv6 addresses is not said of those of IPv4 among them.
    let covers = |key: &(u128, u32)| key.1 < MAPPED.1 && has(*key, MAPPED.0);
    if v6.keys().any(covers) {
        v4.entry(MAPPED).or_insert(0);
    }
    let all = v4.iter().chain(v6.iter());
    all.map(|((first, bits), value)| ((*bits, address(*first)), *value))
        .collect()
}

/// The family, 0 or 1, first address and length of a prefix.
fn key(prefix: &IpNet) -> (usize, (u128, u32)) {
    match prefix.trunc() {
        IpNet::V4(v4) => {
            let first = MAPPED.0 | u128::from(v4.network().to_bits());
            (0, (first, MAPPED.1 + u32::from(v4.prefix_len())))
        }
        IpNet::V6(v6) => (1, (v6.network().to_bits(), u32::from(v6.prefix_len()))),
    }
}

fn address(number: u128) -> Address {
    Address::from(std::net::IpAddr::from(std::net::Ipv6Addr::from_bits(
        number,
    )))
}

/// Whether a prefix has an address.
fn has((first, bits): (u128, u32), address: u128) -> bool {
    (first ^ address).checked_shr(128 - bits).unwrap_or(0) == 0
}

/// Lets each prefix say what those around it say.
fn said_again(prefixes: &mut BTreeMap<(u128, u32), u32>) {
    let mut around: Vec<((u128, u32), u32)> = Vec::new();
    for (key, value) in prefixes {
        while around.last().is_some_and(|(outer, _)| !has(*outer, key.0)) {
            around.pop();
        }
        *value |= around.last().map_or(0, |(_, value)| *value);
        around.push((*key, *value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::IpAddr;

    /// The value of the longest prefix that has an address, as the kernel's trie finds it.
    fn longest(list: &PrefixList, client: IpAddr) -> u32 {
        let number = |address: Address| u128::from_be_bytes(address.bytes());
        let client = number(Address::from(client));
        let found = list
            .iter()
            .rfind(|((bits, prefix), _)| has((number(*prefix), *bits), client));
        found.map_or(0, |(_, value)| *value)
    }

    fn prefix() -> impl Strategy<Value = IpNet> {
        // Close together, so that many lie in each other.
        let v4 = (0u32..=0x0fff, 18u8..=32).prop_map(|(low, bits)| {
            IpNet::new(IpAddr::from((0x0a00_0000 | low).to_be_bytes()), bits).expect("a prefix")
        });
        let v6 = (0u128..=0xf, 0u8..=128).prop_map(|(low, bits)| {
            IpNet::new(IpAddr::from((low << 120 | low).to_be_bytes()), bits).expect("a prefix")
        });
        prop_oneof![v4, v6].prop_map(|prefix| prefix.trunc())
    }

    proptest! {
        #[test]
        fn the_longest_prefix_says_what_all_say(
            sets in proptest::collection::vec(proptest::collection::vec(prefix(), 0..8), 0..6),
            low in 0u32..=0x0fff,
            v6 in 0u128..=0xf,
        ) {
            let list = list(sets.iter().map(Vec::as_slice));
            let clients: [IpAddr; 3] = [
                (0x0a00_0000 | low).to_be_bytes().into(),
                (v6 << 120 | v6).to_be_bytes().into(),
                u128::from(low).to_be_bytes().into(),
            ];
            for client in clients {
                let said = sets.iter().enumerate().fold(0, |bits, (bit, set)| {
                    let holds = set.iter().any(|prefix| prefix.contains(&client));
                    bits | u32::from(holds) << bit
                });
                prop_assert_eq!(longest(&list, client), said, "{}", client);
            }
        }
    }

    #[test]
    fn all_of_ipv6_is_nothing_of_ipv4() {
        let all: IpNet = "::/0".parse().expect("a prefix");
        let list = list([[all].as_slice()]);
        assert_eq!(longest(&list, IpAddr::from([192, 0, 2, 1])), 0);
        assert_eq!(longest(&list, "2001:db8::1".parse().expect("v6")), 1);
    }
}
