//! Owns the tables of flows and fragmented datagrams, by key.

use aya::maps::MapError;
use splitter_common::{
    flow::Table,
    layout::{FlowEntry, FlowKey, FragmentKey, FragmentRow},
};

use super::{Flows, Maps, named_error};
use crate::dataplane::{DataPlaneError, pod::Raw, walk::FlowTable};

impl Maps {
    /// A live flow.
    pub fn flow(&self, table: Table, key: &FlowKey) -> Option<FlowEntry> {
        self.flows(table)
            .get(&Raw(*key), 0)
            .ok()
            .map(|entry| entry.0)
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
        self.flows(table)
            .keys()
            .filter_map(|key| key.ok().map(|key| key.0))
            .collect()
    }

    /// Enters or replaces a flow; for tests.
    pub fn put_flow(
        &mut self,
        table: Table,
        key: &FlowKey,
        entry: &FlowEntry,
    ) -> Result<(), DataPlaneError> {
        self.flows_mut(table)
            .insert(Raw(*key), Raw(*entry), 0)
            .map_err(|error| map_error(table, error))
    }

    /// Removes a flow; for tests.
    pub fn remove_flow(&mut self, table: Table, key: &FlowKey) -> Result<(), DataPlaneError> {
        self.flows_mut(table)
            .remove(&Raw(*key))
            .map_err(|error| map_error(table, error))
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

    fn flows(&self, table: Table) -> &Flows {
        match table {
            Table::Pending => &self.pending,
            Table::Established => &self.established,
        }
    }

    fn flows_mut(&mut self, table: Table) -> &mut Flows {
        match table {
            Table::Pending => &mut self.pending,
            Table::Established => &mut self.established,
        }
    }
}

fn map_error(table: Table, error: MapError) -> DataPlaneError {
    let map = match table {
        Table::Pending => "PENDING",
        Table::Established => "ESTABLISHED",
    };
    named_error(map, &error)
}
