//! Owns what the kernel's cells of a number held when it was given to a backend. Most held nothing, which
//! takes no room here: a host has tens of thousands.

use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use splitter_common::layout::COUNTERS;

static NOTHING: [u64; COUNTERS] = [0; COUNTERS];

/// Counts by `layout::Counter`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base(Option<Box<[u64; COUNTERS]>>);

impl Base {
    /// Whether nothing was counted.
    pub fn is_nothing(&self) -> bool {
        self.0.is_none()
    }
}

impl From<[u64; COUNTERS]> for Base {
    fn from(cells: [u64; COUNTERS]) -> Self {
        Self((cells != NOTHING).then(|| Box::new(cells)))
    }
}

impl Deref for Base {
    type Target = [u64; COUNTERS];

    fn deref(&self) -> &Self::Target {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl Serialize for Base {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Base {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        counts(deserializer).map(Self::from)
    }
}

/// Counts as an earlier version of splitter has written them, which knew fewer counters.
pub(super) fn counts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<[u64; COUNTERS], D::Error> {
    let counted = Vec::<u64>::deserialize(deserializer)?;
    let mut cells = NOTHING;
    for (cell, count) in cells.iter_mut().zip(counted) {
        *cell = count;
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_to_disk_and_come_back_also_from_versions_that_knew_fewer() {
        let mut cells = NOTHING;
        cells[2] = 7;
        let base = Base::from(cells);
        let text = serde_json::to_string(&base).expect("JSON");
        assert_eq!(serde_json::from_str::<Base>(&text).expect("read"), base);
        let older: Base = serde_json::from_str("[0,0,7]").expect("read");
        assert_eq!(older, base);
        assert_eq!(*older, cells);
    }

    #[test]
    fn nothing_is_nothing_however_it_came_about() {
        assert!(Base::from(NOTHING).is_nothing());
        assert_eq!(Base::default(), Base::from(NOTHING));
        let read: Base = serde_json::from_str("[0,0]").expect("read");
        assert!(read.is_nothing());
    }
}
