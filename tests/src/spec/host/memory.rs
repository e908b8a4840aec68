//! Owns what the host's executor keeps in memory: flow elements, packets, tables of a commit.

use std::{cell::Cell as StdCell, collections::HashMap, rc::Rc};

use anyhow::Result;
use splitter_common::{
    capacity::PAGE_CELLS, flow::Cell, hash::HashKey, layout::ServiceRow, maglev, packet::Packet,
};
use splitter_user::plan::{Image, directory::DirectoryImage, prefixes::PrefixList};

/// A flow element whose words change under those who hold it.
#[derive(Clone)]
pub struct Element(Rc<StdCell<[u64; 9]>>);

impl Element {
    pub(super) fn new(words: [u64; 9]) -> Self {
        Self(Rc::new(StdCell::new(words)))
    }
}

impl Cell for Element {
    fn word(&self, index: usize) -> u64 {
        self.0.word(index)
    }

    fn set_word(&self, index: usize, word: u64) {
        self.0.set_word(index, word);
    }

    fn clear(&self, head: u64) {
        self.0.clear(head);
    }
}

/// A packet.
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Packet for Bytes {
    fn length(&self) -> usize {
        self.0.len()
    }

    fn read<const N: usize>(&self, offset: usize) -> Option<[u16; N]> {
        let bytes = self.0.get(offset..offset + 2 * N)?;
        let mut halfwords = [0; N];
        for (to, from) in halfwords.iter_mut().zip(bytes.chunks_exact(2)) {
            *to = u16::from_ne_bytes([from[0], from[1]]);
        }
        Some(halfwords)
    }

    fn write<const N: usize>(&mut self, offset: usize, halfwords: [u16; N]) -> Option<()> {
        let bytes = self.0.get_mut(offset..offset + 2 * N)?;
        for (to, from) in bytes.chunks_exact_mut(2).zip(halfwords) {
            to.copy_from_slice(&from.to_ne_bytes());
        }
        Some(())
    }

    fn reshape(&mut self, front: usize, length: usize) -> Option<()> {
        let mut reshaped = vec![0; front];
        reshaped.extend(&self.0);
        reshaped.truncate(length);
        self.0 = reshaped;
        (self.0.len() == length).then_some(())
    }
}

/// The tables of one commit, in memory.
pub(super) struct Tables {
    pub(super) image: Image,
    pub(super) directory: DirectoryImage,
    pub(super) rows: HashMap<u32, ServiceRow>,
    pub(super) pages: Vec<[u16; PAGE_CELLS]>,
    /// By list number less 1.
    pub(super) lists: Vec<PrefixList>,
}

impl Tables {
    pub(super) fn new(image: &Image, seed: HashKey) -> Result<Self> {
        let directory = DirectoryImage::build(&image.endpoints, seed)?;
        let mut pages = Vec::new();
        let mut rows = HashMap::new();
        let mut lists = Vec::new();
        for (number, service) in &image.services {
            let mut row = service.row;
            for (list, named) in [
                (&service.direct, &mut row.direct),
                (&service.deny, &mut row.deny),
                (&service.allow, &mut row.allow),
                (&service.conditions, &mut row.segments.list),
            ] {
                if !list.is_empty() {
                    lists.push(list.clone());
                    *named = lists.len() as u32;
                }
            }
            for ((version, family), cells) in &service.tables {
                row.versions[*version].tables[*family].page = pages.len() as u32;
                for chunk in cells.chunks(PAGE_CELLS) {
                    let mut page = [0; PAGE_CELLS];
                    page[..chunk.len()].copy_from_slice(chunk);
                    pages.push(page);
                }
                assert_eq!(
                    cells.len().div_ceil(PAGE_CELLS) as u32,
                    maglev::pages_for(cells.len() as u32)
                );
            }
            rows.insert(*number, row);
        }
        Ok(Self {
            image: image.clone(),
            directory,
            rows,
            pages,
            lists,
        })
    }
}
