//! Owns what the kernel remembers of clients, and the rules by which it knows their devices.
//!
//! Invariant: the rules stand twice; the set at rest is written, read back, and switched by one store.

use std::time::Instant;

use splitter_common::{
    address::Address,
    clock::Jiffies,
    device::DeviceRules,
    layout::{ClientKey, Control, ServiceRow, options},
    traits::{ClientRow, Traits},
};

use super::{DataPlane, DataPlaneError, commit::rest, pod::Raw};

impl DataPlane {
    /// What is remembered of a client of a service.
    fn client(&self, key: &ClientKey) -> Option<ClientRow> {
        let found = self.maps.clients.get(&Raw(*key), 0);
        found.ok().map(|row| row.0)
    }

    /// The traits of a client of a service by the time when the clock was last read, as the program finds
    /// them; `device` is the class that its SYN would have.
    pub fn traits_lately(
        &self,
        service: u32,
        row: &ServiceRow,
        address: Address,
        device: u8,
    ) -> Traits {
        if row.options & options::TRAITS == 0 {
            return Traits::NONE;
        }
        let key = ClientKey::of(address, service, row);
        let known = self.client(&key).unwrap_or_default();
        let time = (self.lately(), u64::from(self.hz));
        known.traits(&row.segments.traits, &key, device, time)
    }

    /// For how many jiffies more traits stand for a client; `None` when none do.
    pub fn traits_left(&self, service: u32, row: &ServiceRow, address: Address) -> Option<u32> {
        let key = ClientKey::of(address, service, row);
        let time = (self.lately(), u64::from(self.hz));
        self.client(&key)?.left(&row.segments.traits, &key, time)
    }

    /// Flows of a client in the window of its service.
    pub fn flows_in_window(&self, service: u32, row: &ServiceRow, address: Address) -> u32 {
        let key = ClientKey::of(address, service, row);
        let known = self.client(&key).unwrap_or_default();
        let time = (self.lately(), u64::from(self.hz));
        known.flows_in_window(&row.segments.traits, time)
    }

    fn lately(&self) -> Jiffies {
        Jiffies(self.maps.control.load_word(Control::Jiffies as u32))
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
