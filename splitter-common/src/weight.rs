//! Owns the *weight*: what an operator writes for a version.
//!
//! Invariant: a [`Weight`] is at most 100 %. Unit: parts per million of all clients, so that
//! 0.0001 % (the finest step) is exactly 1.

use core::fmt;

/// 100 % in parts per million.
pub const WHOLE_PPM: u32 = 1_000_000;

/// A share in parts per million, 0 ..= 1,000,000.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Weight(u32);

/// Why a text is no weight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WeightError {
    /// Not a decimal number with an optional `%`.
    NotANumber,
    /// More than four digits behind the point: finer than 0.0001 %.
    TooFine,
    /// More than 100 %.
    TooLarge,
}

impl fmt::Display for WeightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "not a weight: write a percentage such as \"5%\" or \"0.25%\"",
            Self::TooFine => "too fine: the smallest step of a weight is 0.0001%",
            Self::TooLarge => "over 100%",
        })
    }
}

impl core::error::Error for WeightError {}

impl Weight {
    /// 0 %.
    pub const ZERO: Self = Self(0);
    /// 100 %.
    pub const WHOLE: Self = Self(WHOLE_PPM);

    /// A weight from parts per million; `None` over 100 %.
    pub const fn from_ppm(ppm: u32) -> Option<Self> {
        if ppm <= WHOLE_PPM {
            Some(Self(ppm))
        } else {
            None
        }
    }

    /// Parts per million.
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// Reads `5%`, `5 %`, `5`, `0.0001%`: always percent, at most four digits behind the point.
    pub fn parse(text: &str) -> Result<Self, WeightError> {
        let text = text.trim();
        let text = text.strip_suffix('%').unwrap_or(text).trim_end();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(WeightError::NotANumber);
        }
        let mut ppm: u32 = 0;
        for byte in whole.bytes() {
            ppm = ppm
                .saturating_mul(10)
                .saturating_add(u32::from(byte - b'0'));
        }
        ppm = ppm.saturating_mul(10_000);
        let mut scale = 1_000;
        for byte in fraction.bytes() {
            let digit = u32::from(byte - b'0');
            if scale == 0 && digit != 0 {
                return Err(WeightError::TooFine);
            }
            ppm = ppm.saturating_add(digit * scale);
            scale /= 10;
        }
        Self::from_ppm(ppm).ok_or(WeightError::TooLarge)
    }
}

impl fmt::Display for Weight {
    /// `5%`, `0.25%`: no needless zeros, so that the text can be typed back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, mut fraction) = (self.0 / 10_000, self.0 % 10_000);
        write!(f, "{whole}")?;
        if fraction != 0 {
            let mut width = 4;
            while fraction % 10 == 0 {
                fraction /= 10;
                width -= 1;
            }
            write!(f, ".{fraction:0width$}")?;
        }
        f.write_str("%")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString as _;

    #[test]
    fn reads_what_operators_write() {
        for (text, ppm) in [
            ("5%", 50_000),
            ("5 %", 50_000),
            ("0", 0),
            ("100%", WHOLE_PPM),
            ("0.0001%", 1),
            ("99.9999%", 999_999),
            ("12.50000%", 125_000),
        ] {
            assert_eq!(Weight::parse(text).map(Weight::ppm), Ok(ppm), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_weight() {
        for (text, why) in [
            ("", WeightError::NotANumber),
            ("-1%", WeightError::NotANumber),
            ("five", WeightError::NotANumber),
            (".5%", WeightError::NotANumber),
            ("0.00001%", WeightError::TooFine),
            ("100.0001%", WeightError::TooLarge),
            ("99999999999999%", WeightError::TooLarge),
        ] {
            assert_eq!(Weight::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for ppm in [0, 1, 10, 250, 2_500, 50_000, 999_999, WHOLE_PPM] {
            let weight = Weight::from_ppm(ppm).expect("within 100 %");
            assert_eq!(Weight::parse(&weight.to_string()), Ok(weight));
        }
    }
}
