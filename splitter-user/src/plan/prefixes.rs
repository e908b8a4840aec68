//! Owns lists of prefixes as the kernel looks them up: by the longest prefix alone.
//!
//! Invariants: what a list says of its longest prefix that has an address is what all of its prefixes
//! that have it say together. What a shorter one says is thus said again by the longer ones in it.
//! Lists are equal when their digests are: a list may be a million prefixes long, and is planned once
//! for as long as anybody has it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use ipnet::IpNet;
use splitter_common::{
    address::Address,
    hash::{HashKey, siphash13},
};

use crate::model::PrefixSet;

/// A prefix as it goes into the kernel, the length in bits, of 128, and the address; and what is said
/// of those who have no longer one.
pub type Listed = ((u32, Address), u32);

/// A list, in order of length and address, each prefix once. A clone shares it.
#[derive(Clone, Debug)]
pub struct PrefixList {
    digest: [u64; 2],
    listed: Arc<[Listed]>,
}

impl PrefixList {
    /// The list of these, in any order.
    pub fn new(mut listed: Vec<Listed>) -> Self {
        listed.sort_unstable();
        listed.dedup_by_key(|(prefix, _)| *prefix);
        let mut bytes = Vec::with_capacity(listed.len() * size_of::<[u64; 3]>());
        for ((bits, address), value) in &listed {
            let [a, b] = address.0;
            let said = u64::from(*bits) << 32 | u64::from(*value);
            for word in [a, b, said] {
                bytes.extend(word.to_le_bytes());
            }
        }
        let half = |k0| siphash13(HashKey { k0, k1: 0 }, &bytes);
        Self {
            digest: [half(0), half(1)],
            listed: listed.into(),
        }
    }

    /// Its prefixes, in order.
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }
}

impl Default for PrefixList {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl PartialEq for PrefixList {
    fn eq(&self, other: &Self) -> bool {
        (self.digest, self.len()) == (other.digest, other.len())
    }
}

/// The digests and lengths of the sets that a list was planned from.
type Source = Vec<(u64, usize)>;
/// A list that somebody may still have.
struct Planned {
    source: Source,
    digest: [u64; 2],
    listed: Weak<[Listed]>,
}

/// Shorter ones are planned in less time than they are worth being kept in mind.
const LONG: usize = 4_096;
static PLANNED: Mutex<Vec<Planned>> = Mutex::new(Vec::new());

/// The list that says bit `n` of the prefixes of the set `n`: the same one as before, where it is a
/// long one that anybody still has.
pub fn conditions<'p>(sets: impl Iterator<Item = &'p PrefixSet> + Clone) -> PrefixList {
    let plan = || list(sets.clone().map(PrefixSet::prefixes));
    let source: Option<Source> = sets.clone().map(PrefixSet::content).collect();
    let Some(source) = source.filter(|of| of.iter().map(|(_, count)| count).sum::<usize>() >= LONG)
    else {
        return plan();
    };
    let mut planned = PLANNED.lock().unwrap_or_else(PoisonError::into_inner);
    planned.retain(|each| each.listed.strong_count() > 0);
    let known = planned.iter().find(|each| each.source == source);
    if let Some((digest, Some(listed))) = known.map(|each| (each.digest, each.listed.upgrade())) {
        return PrefixList { digest, listed };
    }
    let new = plan();
    planned.push(Planned {
        source,
        digest: new.digest,
        listed: Arc::downgrade(&new.listed),
    });
    new
}

/// IPv4 addresses lie among those of IPv6 as `::ffff:0:0/96` (RFC 4291, section 2.5.5.2).
const MAPPED: (u128, u32) = (0xffff << 32, 96);

/// The list that says bit `n` of the prefixes of the set `n`.
pub fn list<'p>(sets: impl IntoIterator<Item = &'p [IpNet]>) -> PrefixList {
    // By first address and length: a prefix comes right before those that lie in it.
    let mut families = [Vec::<Spread>::new(), Vec::new()];
    for (bit, set) in sets.into_iter().enumerate() {
        for prefix in set {
            let (family, key) = key(prefix);
            families[family].push((key, 1 << bit));
        }
    }
    let [v4, v6] = &mut families;
    said_again(v4);
    said_again(v6);
    // What is said of all IPv6 addresses is not said of those of IPv4 among them.
    let covers = |(key, _): &Spread| key.1 < MAPPED.1 && has(*key, MAPPED.0);
    if v6.iter().any(covers) && v4.first().is_none_or(|(key, _)| *key != MAPPED) {
        v4.push((MAPPED, 0));
    }
    let all = v4.iter().chain(v6.iter());
    let listed = all.map(|((first, bits), value)| ((*bits, address(*first)), *value));
    PrefixList::new(listed.collect())
}

/// First address and length of a prefix, and what is said of it.
type Spread = ((u128, u32), u32);

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

/// Puts prefixes in order, each once, and lets each say what those around it say.
fn said_again(prefixes: &mut Vec<Spread>) {
    prefixes.sort_unstable();
    prefixes.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        kept.1 |= if same { next.1 } else { 0 };
        same
    });
    let mut around: Vec<Spread> = Vec::new();
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
            .listed()
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
    fn lists_are_equal_by_content_whatever_the_order_they_came_in() {
        let listed =
            |last: u8, value| ((128, Address::from(IpAddr::from([10, 0, 0, last]))), value);
        let one = PrefixList::new(vec![listed(1, 1), listed(2, 2)]);
        assert_eq!(one, PrefixList::new(vec![listed(2, 2), listed(1, 1)]));
        for other in [
            vec![listed(1, 1)],
            vec![listed(1, 2), listed(2, 1)],
            vec![listed(1, 1), listed(3, 2)],
        ] {
            assert_ne!(one, PrefixList::new(other));
        }
    }

    #[test]
    fn a_long_list_is_planned_once_while_somebody_has_it() {
        let set = |first: u32| {
            let address = |number: u32| IpNet::from(IpAddr::from((first + number).to_be_bytes()));
            PrefixSet::new((0..LONG as u32).map(address).collect())
        };
        let (set, other) = (set(0x0b00_0000), set(0x0c00_0000));
        let first = conditions([&set].into_iter());
        let again = conditions([&set.clone()].into_iter());
        assert!(Arc::ptr_eq(&first.listed, &again.listed));
        assert_eq!(first, list([set.prefixes()]));
        assert_ne!(first, conditions([&other].into_iter()));
        assert_ne!(first, conditions([&set, &other].into_iter()));
    }

    #[test]
    fn all_of_ipv6_is_nothing_of_ipv4() {
        let all: IpNet = "::/0".parse().expect("a prefix");
        let list = list([[all].as_slice()]);
        assert_eq!(longest(&list, IpAddr::from([192, 0, 2, 1])), 0);
        assert_eq!(longest(&list, "2001:db8::1".parse().expect("v6")), 1);
    }
}
