//! Owns the directory in the kernel: what is in force, the switch to another one, and the numbers
//! that it and the rows name.

use std::time::Instant;

use splitter_common::{
    capacity::{BUCKET_ENTRIES, DIRECTORY_BUCKETS, FILTER_WORDS},
    layout::{BackendRow, Bucket, COUNTERS, Control, Endpoint, EndpointKind, Word},
};

use super::{DataPlane, commit::rest};
use crate::plan::{InUse, Running, directory::DirectoryImage, recover::InForce};

impl DataPlane {
    /// Writes the resting side and switches to it.
    pub(super) fn switch_directory(&mut self, image: &DirectoryImage, generation: u32) {
        rest(self.directory_flipped);
        let word = Word::unpack(self.maps.control.load_word(Control::Directory as u32));
        let side = word.side ^ 1;
        // Long before the switch: programs load both multipliers behind the word, and a CPU that loads out
        // of order must not see the new word beside the old one's.
        let multiplier = match side {
            0 => Control::FirstMultiplier,
            _ => Control::SecondMultiplier,
        };
        self.maps
            .control
            .store_word(multiplier as u32, image.multiplier);
        for bucket in 0..DIRECTORY_BUCKETS {
            let entries = image.buckets.get(&bucket).copied().unwrap_or_default();
            self.maps
                .buckets
                .write(side * DIRECTORY_BUCKETS + bucket, &entries);
        }
        for (index, filter) in image.filter.iter().enumerate() {
            self.maps
                .filter
                .write(side * FILTER_WORDS + index as u32, filter);
        }
        let next = Word { generation, side };
        self.maps
            .control
            .store_word(Control::Directory as u32, next.pack());
        self.directory_flipped = Some(Instant::now());
        self.endpoints.clone_from(&image.endpoints);
    }

    /// Says that everything of a commit is in force.
    pub(super) fn store_generation(&mut self, generation: u32) {
        let word = Word::unpack(self.maps.control.load_word(Control::Directory as u32));
        let next = Word { generation, ..word };
        self.maps
            .control
            .store_word(Control::Directory as u32, next.pack());
    }

    /// Everything that the side in force knows, as it stands in the maps.
    pub(super) fn read_endpoints(&self) -> Vec<Endpoint> {
        let word = Word::unpack(self.maps.control.load_word(Control::Directory as u32));
        if word.generation == 0 {
            return Vec::new();
        }
        let side = word.side * DIRECTORY_BUCKETS;
        let buckets = (0..DIRECTORY_BUCKETS).map(|bucket| self.maps.buckets.read(side + bucket));
        buckets
            .flat_map(|bucket: Bucket| -> [Endpoint; BUCKET_ENTRIES] { bucket.entries })
            .filter(|endpoint| endpoint.kind != EndpointKind::Empty as u8)
            .collect()
    }
}

impl DataPlane {
    /// Everything that runs, for a daemon without state.
    pub fn in_force(&self) -> InForce {
        let services = (0..self.maps.service_words.len())
            .filter(|number| self.maps.service_word(*number).generation != 0);
        InForce {
            endpoints: self.endpoints.clone(),
            services: services
                .map(|number| (number, self.maps.service_in_force(number)))
                .collect(),
            backends: self.live_backends().collect(),
        }
    }

    /// Rows of backends that were not given back.
    pub(super) fn live_backends(&self) -> impl Iterator<Item = (u32, BackendRow)> + '_ {
        let rows = (1..self.maps.backends.len()).map(|n| (n, self.maps.backends.read(n)));
        rows.filter(|(_, row)| row.address.0 != [0; 2] && row.retired == 0)
    }
}

impl Running for DataPlane {
    fn cells(&self, backend: u32) -> [u64; COUNTERS] {
        self.counters(backend).cells
    }

    fn in_use(&self) -> InUse {
        let frontends = self.endpoints.iter().filter(|endpoint| {
            let kind = endpoint.kind;
            kind == EndpointKind::Vip as u8 || kind == EndpointKind::Backend as u8
        });
        let services = 0..self.maps.service_words.len();
        InUse {
            services: services
                .filter(|number| self.maps.service_word(*number).generation != 0)
                .map(|number| number as u16)
                .collect(),
            frontends: frontends.map(|endpoint| endpoint.frontend).collect(),
            backends: self.live_backends().map(|(number, _)| number).collect(),
        }
    }
}
