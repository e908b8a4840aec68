//! Owns the keys of hashes that a host draws for itself.

use rustix::rand::{GetRandomFlags, getrandom};
use splitter_common::layout::Control;

use super::{DataPlaneError, mapped::Mapped};

/// A number that nobody knows, for a map.
pub(super) fn random(map: &'static str) -> Result<u64, DataPlaneError> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(|error| DataPlaneError::Map {
        map,
        why: error.to_string(),
    })?;
    Ok(u64::from_ne_bytes(bytes))
}

/// The key of a map that stands in a control word: drawn when the map is new, for as long as there is the map.
pub(super) fn kept(
    control: &Mapped<u64>,
    word: Control,
    map: &'static str,
) -> Result<u64, DataPlaneError> {
    let word = word as u32;
    if control.load_word(word) == 0 {
        control.store_word(word, random(map)?.max(1));
    }
    Ok(control.load_word(word))
}
