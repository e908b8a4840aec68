//! Owns the one form of an address: 16 bytes in network order, IPv4 as `::ffff:a.b.c.d`
//! (RFC 4291, section 2.5.5.2), held in two native words so that a compare costs two
//! instructions.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytemuck::{Pod, Zeroable};

/// An IPv4 or IPv6 address; network-order bytes in two native words.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Pod, Zeroable)]
pub struct Address(pub [u64; 2]);

/// Address family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Family {
    /// IPv4.
    V4 = 0,
    /// IPv6.
    V6 = 1,
}

/// The bytes `00 00 ff ff` of an IPv4-mapped address, as they stand in the second word.
const MAPPED: u64 = 0xffff_0000;

impl Address {
    /// From the four bytes of an IPv4 address as two native halfwords.
    #[inline(always)]
    pub const fn from_v4_halfwords(high: u16, low: u16) -> Self {
        Self([0, MAPPED | (high as u64) << 32 | (low as u64) << 48])
    }

    /// From the sixteen bytes of an IPv6 address as native halfwords.
    #[inline(always)]
    pub const fn from_v6_halfwords(h: [u16; 8]) -> Self {
        Self([
            h[0] as u64 | (h[1] as u64) << 16 | (h[2] as u64) << 32 | (h[3] as u64) << 48,
            h[4] as u64 | (h[5] as u64) << 16 | (h[6] as u64) << 32 | (h[7] as u64) << 48,
        ])
    }

    /// The eight native halfwords, as they stand in a packet.
    #[inline(always)]
    pub const fn halfwords(self) -> [u16; 8] {
        let [a, b] = self.0;
        [
            a as u16,
            (a >> 16) as u16,
            (a >> 32) as u16,
            (a >> 48) as u16,
            b as u16,
            (b >> 16) as u16,
            (b >> 32) as u16,
            (b >> 48) as u16,
        ]
    }

    /// The sixteen bytes in network order.
    pub const fn bytes(self) -> [u8; 16] {
        let (a, b) = (self.0[0].to_ne_bytes(), self.0[1].to_ne_bytes());
        [
            a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], b[0], b[1], b[2], b[3], b[4], b[5],
            b[6], b[7],
        ]
    }

    /// Whether this is an IPv4 address.
    #[inline(always)]
    pub const fn family(self) -> Family {
        if self.0[0] == 0 && self.0[1] & 0xffff_ffff == MAPPED {
            Family::V4
        } else {
            Family::V6
        }
    }

    /// 1 for IPv6, 0 for IPv4; without a branch, for what must not be walked once per family.
    #[inline(always)]
    pub const fn v6_flag(self) -> u64 {
        is_zero(self.0[0] | (self.0[1] & 0xffff_ffff) ^ MAPPED) ^ 1
    }

    /// The masks that clear all but the leading bits of an address: `bits_v4` counts within the
    /// four bytes of an IPv4 address, `bits_v6` within the sixteen.
    #[inline(always)]
    pub const fn masks(self, bits_v4: u32, bits_v6: u32) -> [u64; 2] {
        let [first, second] = leading_bits(bits_v6);
        // The first word of an IPv4 address is 0 in any case.
        let of_v4 = leading_bits_of_word(32 + bits_v4 as u64);
        [first, select(self.v6_flag(), second, of_v4)]
    }

    /// The address with all but its leading bits cleared.
    #[inline(always)]
    pub const fn prefix(self, bits_v4: u32, bits_v6: u32) -> Self {
        let [a, b] = self.masks(bits_v4, bits_v6);
        Self([self.0[0] & a, self.0[1] & b])
    }

    /// The address with all but its first `bits` bits of 128 cleared, whatever its family.
    #[inline(always)]
    pub const fn leading(self, bits: u32) -> Self {
        let [a, b] = leading_bits(bits);
        Self([self.0[0] & a, self.0[1] & b])
    }
}

/// Two words whose first `bits` bits of 128 in network order are set; without a branch.
#[inline(always)]
const fn leading_bits(bits: u32) -> [u64; 2] {
    let bits = bits as u64;
    // 1 from 64 bits on.
    let second = (bits >> 6 | bits >> 7) & 1;
    [
        leading_bits_of_word(select(second, 64, bits)),
        leading_bits_of_word(bits.wrapping_sub(64) & 0u64.wrapping_sub(second)),
    ]
}

/// A word whose first `bits` bits in network order are set, at most 64; without a branch.
#[inline(always)]
const fn leading_bits_of_word(bits: u64) -> u64 {
    // A shift by 64 would be one by 0.
    let half = bits >> 1;
    (!(u64::MAX >> half >> (bits - half))).swap_bytes()
}

/// `one` where `flag` is 1, `zero` where it is 0; without a branch.
#[inline(always)]
pub const fn select(flag: u64, one: u64, zero: u64) -> u64 {
    zero ^ (one ^ zero) & 0u64.wrapping_sub(flag)
}

/// 1 for 0, 0 for everything else; without a branch.
#[inline(always)]
pub const fn is_zero(word: u64) -> u64 {
    let folded = (word | word >> 32) & 0xffff_ffff;
    // Carries into bit 32 unless it is 0.
    ((folded + 0xffff_ffff) >> 32) ^ 1
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        let bytes = match ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        let word = |at: usize| {
            let mut part = [0; 8];
            part.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(part)
        };
        Self([word(0), word(8)])
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        let bytes = address.bytes();
        match address.family() {
            Family::V4 => Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]).into(),
            Family::V6 => Ipv6Addr::from(bytes).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::from(text.parse::<IpAddr>().expect("an address"))
    }

    #[test]
    fn is_the_same_from_text_and_from_halfwords() {
        let v4 =
            Address::from_v4_halfwords(u16::from_ne_bytes([203, 0]), u16::from_ne_bytes([113, 10]));
        assert_eq!(v4, address("203.0.113.10"));
        assert_eq!(v4.family(), Family::V4);
        let v6 = address("2001:db8:1:2:3:4:5:6");
        assert_eq!(Address::from_v6_halfwords(v6.halfwords()), v6);
        assert_eq!(
            IpAddr::from(v6),
            "2001:db8:1:2:3:4:5:6".parse::<IpAddr>().expect("v6")
        );
        assert_eq!(v6.family(), Family::V6);
    }

    #[test]
    fn prefixes_keep_the_leading_bits() {
        assert_eq!(
            address("198.51.100.77").prefix(24, 64),
            address("198.51.100.0")
        );
        assert_eq!(
            address("198.51.100.77").prefix(32, 64),
            address("198.51.100.77")
        );
        assert_eq!(
            address("2001:db8:1:2:3:4:5:6").prefix(32, 64),
            address("2001:db8:1:2::")
        );
        assert_eq!(
            address("2001:db8:1:2:3:4:5:6").prefix(24, 48),
            address("2001:db8:1::")
        );
        assert_eq!(
            address("2001:db8::1").prefix(32, 128),
            address("2001:db8::1")
        );
    }

    #[test]
    fn leading_bits_are_those_of_the_number() {
        for text in ["198.51.100.77", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] {
            let all = u128::from_be_bytes(address(text).bytes());
            for bits in 0..=128 {
                let rest = u128::MAX.checked_shr(bits).unwrap_or(0);
                let leading = address(text).leading(bits);
                assert_eq!(
                    u128::from_be_bytes(leading.bytes()),
                    all & !rest,
                    "{text}/{bits}"
                );
            }
        }
    }
}
