//! Owns Maglev tables in the kernel: written into unused pages, read back, and found in a row.

use std::ops::Range;

use splitter_common::{
    capacity::PAGE_CELLS,
    layout::{Page, ServiceRow, TableRef},
    maglev,
};

use super::{DataPlane, DataPlaneError};

impl DataPlane {
    /// Marks the pages of all rows in force, so that none is taken for a new table.
    pub(super) fn occupy_pages(&mut self) {
        for number in 0..self.maps.service_words.len() {
            if self.maps.service_word(number).generation != 0 {
                for run in runs(&self.maps.service_in_force(number)) {
                    self.pages.occupy(run);
                }
            }
        }
    }

    /// Whether a table in force has exactly these cells.
    pub(super) fn holds(&self, table: TableRef, cells: &[u16]) -> bool {
        table.cells as usize == cells.len()
            && cells.chunks(PAGE_CELLS).enumerate().all(|(index, chunk)| {
                self.maps.pages.read(table.page + index as u32).cells[..chunk.len()] == *chunk
            })
    }

    /// Writes a table into unused pages, which are added to `fresh`: the first of them.
    pub(super) fn write_table(
        &mut self,
        cells: &[u16],
        fresh: &mut Vec<Range<u32>>,
    ) -> Result<u32, DataPlaneError> {
        let count = maglev::pages_for(cells.len() as u32);
        let start = self.pages.take(count)?;
        fresh.push(start..start + count);
        for (index, chunk) in cells.chunks(PAGE_CELLS).enumerate() {
            let mut page = Page {
                cells: [0; PAGE_CELLS],
            };
            page.cells[..chunk.len()].copy_from_slice(chunk);
            self.maps.pages.write(start + index as u32, &page);
        }
        let table = TableRef {
            page: start,
            cells: cells.len() as u32,
        };
        if self.holds(table, cells) {
            Ok(start)
        } else {
            Err(DataPlaneError::ReadBack("a table"))
        }
    }
}

fn run(table: TableRef) -> Range<u32> {
    table.page..table.page + maglev::pages_for(table.cells)
}

/// The page runs that a row names.
pub(super) fn runs(row: &ServiceRow) -> impl Iterator<Item = Range<u32>> + use<> {
    let tables = row.versions.map(|version| version.tables);
    tables
        .into_iter()
        .flatten()
        .filter(|table| table.cells != 0)
        .map(run)
}
