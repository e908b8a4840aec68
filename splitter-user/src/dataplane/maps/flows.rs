//! Owns the tables of flows and fragmented datagrams, by key.

use splitter_common::{
    flow::Table,
    layout::{FlowEntry, FlowKey, FragmentKey, FragmentRow},
};

use super::{Maps, named_error};
use crate::dataplane::{DataPlaneError, pod::Raw, walk::FlowTable};

impl Maps {
    /// A live flow.
    pub fn flow(&self, table: Table, key: &FlowKey) -> Option<FlowEntry> {
        match table {
            Table::Pending => self.pending.get(key),
            Table::Established => self
                .established
                .get(&Raw(*key), 0)
                .ok()
                .map(|entry| entry.0),
        }
    }

    /// A flow table, for walks beside everything else.
    pub fn flow_table(&self, table: Table) -> &FlowTable {
        match table {
            Table::Pending => &self.pending_table,
            Table::Established => &self.established_table,
        }
    }

    /// All keys of a flow table; an estimate while traffic runs.
    pub fn flow_keys(&self, table: Table) -> Vec<FlowKey> {
        match table {
            Table::Pending => (0..self.pending.sets())
                .flat_map(|set| self.pending.of_set(set))
                .map(|(key, _)| key)
                .collect(),
            Table::Established => self
                .established
                .keys()
                .filter_map(|key| key.ok().map(|key| key.0))
                .collect(),
        }
    }

    /// Enters or replaces a flow; for tests.
    pub fn put_flow(
        &mut self,
        table: Table,
        key: &FlowKey,
        entry: &FlowEntry,
    ) -> Result<(), DataPlaneError> {
        match table {
            Table::Pending => self
                .pending
                .put(key, entry)
                .then_some(())
                .ok_or_else(|| of_pending("its place is being written")),
            Table::Established => self
                .established
                .insert(Raw(*key), Raw(*entry), 0)
                .map_err(|error| named_error("ESTABLISHED", &error)),
        }
    }

    /// Removes a flow; for tests.
    pub fn remove_flow(&mut self, table: Table, key: &FlowKey) -> Result<(), DataPlaneError> {
        match table {
            Table::Pending => self
                .pending
                .remove(key)
                .then_some(())
                .ok_or_else(|| of_pending("the flow is not there")),
            Table::Established => self
                .established
                .remove(&Raw(*key))
                .map_err(|error| named_error("ESTABLISHED", &error)),
        }
    }

    /// Where the first fragments of datagrams went; for tests.
    pub fn fragments(&self) -> Vec<(FragmentKey, FragmentRow)> {
        let pairs = self.fragments.iter().filter_map(Result::ok);
        pairs.map(|(key, row)| (key.0, row.0)).collect()
    }

    /// Enters or replaces where a first fragment went; for tests.
    pub fn put_fragment(
        &mut self,
        key: &FragmentKey,
        row: &FragmentRow,
    ) -> Result<(), DataPlaneError> {
        self.fragments
            .insert(Raw(*key), Raw(*row), 0)
            .map_err(|error| named_error("FRAGMENTS", &error))
    }

    /// Forgets where a first fragment went; for tests.
    pub fn remove_fragment(&mut self, key: &FragmentKey) -> Result<(), DataPlaneError> {
        self.fragments
            .remove(&Raw(*key))
            .map_err(|error| named_error("FRAGMENTS", &error))
    }
}

fn of_pending(why: &str) -> DataPlaneError {
    DataPlaneError::Map {
        map: "PENDING_PLACES",
        why: why.to_owned(),
    }
}
