//! Owns what the kernel remembers of clients, and the rules by which it knows their devices.
//!
//! Invariant: the rules stand twice; the set at rest is written, read back, and switched by one store.

use std::time::Instant;

use splitter_common::{
    address::Address,
    device::DeviceRules,
    layout::{ClientKey, Control, ServiceRow, options},
    traits::{ClientRow, Traits},
};

use super::{DataPlane, DataPlaneError, commit::rest, pod::Raw};

/// What is known of a client.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its traits.
    pub traits: Traits,
    /// For how many jiffies more they stand; `None`: nothing stands.
    pub left: Option<u32>,
    /// Its flows in the window of its service.
    pub flows: u32,
}

impl DataPlane {
    /// What the program would find of a client of a service, which must ask for traits, at the time when the
    /// clock was last read; `device` is the class that its SYN would have.
    pub fn known_lately(
        &self,
        service: u32,
        row: &ServiceRow,
        address: Address,
        device: u8,
    ) -> Known {
        let (asks, key) = (&row.segments.traits, ClientKey::of(address, service, row));
        let found = self.maps.clients.get(&Raw(key), 0);
        let known = found.map_or(ClientRow::default(), |row| row.0);
        let time = (self.lately(), u64::from(self.hz));
        Known {
            traits: known.traits(asks, &key, device, time),
            left: known.left(asks, &key, time),
            flows: known.flows_in_window(asks, time),
        }
    }

    /// The traits alone, of any service.
    pub fn traits_lately(
        &self,
        service: u32,
        row: &ServiceRow,
        address: Address,
        device: u8,
    ) -> Traits {
        match row.options & options::TRAITS {
            0 => Traits::NONE,
            _ => self.known_lately(service, row, address, device).traits,
        }
    }

    /// Puts rules of devices in force.
    pub(super) fn put_device_rules(&mut self, rules: &DeviceRules) -> Result<(), DataPlaneError> {
        let side = self.maps.control.load_word(Control::Devices as u32) as u32 & 1;
        if self.maps.device_rules.read(side) == *rules {
            return Ok(());
        }
        rest(self.devices_flipped);
        let next = side ^ 1;
        self.maps.device_rules.write(next, rules);
        if self.maps.device_rules.read(next) != *rules {
            return Err(DataPlaneError::ReadBack("the rules of devices"));
        }
        let control = &self.maps.control;
        control.store_word(Control::Devices as u32, u64::from(next));
        self.devices_flipped = Some(Instant::now());
        Ok(())
    }

    /// Every client that is remembered; for tests.
    pub fn clients(&self) -> Vec<(ClientKey, ClientRow)> {
        let pairs = self.maps.clients.iter().filter_map(Result::ok);
        pairs.map(|(key, row)| (key.0, row.0)).collect()
    }

    /// Forgets all of them; for tests.
    pub fn forget_clients(&mut self) -> Result<(), DataPlaneError> {
        for (key, _) in self.clients() {
            self.maps
                .clients
                .remove(&Raw(key))
                .map_err(|error| DataPlaneError::Map {
                    map: "CLIENTS",
                    why: error.to_string(),
                })?;
        }
        Ok(())
    }

    /// Replaces what is remembered of a client; for tests.
    pub fn put_client(&mut self, key: &ClientKey, row: &ClientRow) -> Result<(), DataPlaneError> {
        let put = self.maps.clients.insert(Raw(*key), Raw(*row), 0);
        put.map_err(|error| DataPlaneError::Map {
            map: "CLIENTS",
            why: error.to_string(),
        })
    }
}
