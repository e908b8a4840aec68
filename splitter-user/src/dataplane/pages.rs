//! Owns the table pages: which runs are in use, and which were freed so lately that a reader may
//! still be in them.

use std::{
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use super::DataPlaneError;

/// A freed page is reused a second later at the earliest.
const QUARANTINE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq)]
enum Page {
    Free,
    Used,
    Freed(Instant),
}

/// All pages.
pub(super) struct Pages {
    pages: Vec<Page>,
    cursor: usize,
}

impl Pages {
    /// So many, all free.
    pub(super) fn new(count: u32) -> Self {
        Self {
            pages: vec![Page::Free; count as usize],
            cursor: 0,
        }
    }

    /// Marks a run that a live row names.
    pub(super) fn occupy(&mut self, run: Range<u32>) {
        for page in &mut self.pages[run.start as usize..run.end as usize] {
            *page = Page::Used;
        }
    }

    /// Gives a run back.
    pub(super) fn free(&mut self, run: Range<u32>) {
        let now = Instant::now();
        for page in &mut self.pages[run.start as usize..run.end as usize] {
            *page = Page::Freed(now);
        }
    }

    /// A run of unused pages; waits when only freshly freed ones would do.
    pub(super) fn take(&mut self, count: u32) -> Result<u32, DataPlaneError> {
        loop {
            let now = Instant::now();
            if let Some(start) = self.find(count as usize, now) {
                self.occupy(start..start + count);
                self.cursor = (start + count) as usize;
                return Ok(start);
            }
            let freed = self.pages.iter().any(|page| matches!(page, Page::Freed(_)));
            if !freed {
                return Err(DataPlaneError::PagesFull {
                    pages: count,
                    all: self.pages.len(),
                });
            }
            self.expire(now);
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn find(&self, count: usize, now: Instant) -> Option<u32> {
        let last = self.pages.len().checked_sub(count)?;
        let starts = (self.cursor.min(last)..=last).chain(0..self.cursor.min(last));
        starts
            .into_iter()
            .find(|start| {
                self.pages[*start..start + count]
                    .iter()
                    .all(|page| match page {
                        Page::Free => true,
                        Page::Used => false,
                        Page::Freed(at) => now.duration_since(*at) >= QUARANTINE,
                    })
            })
            .map(|start| start as u32)
    }

    fn expire(&mut self, now: Instant) {
        for page in &mut self.pages {
            if let Page::Freed(at) = page
                && now.duration_since(*at) >= QUARANTINE
            {
                *page = Page::Free;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_run_rests_and_a_full_store_says_so() {
        let mut pages = Pages::new(100);
        let first = pages.take(32).expect("room");
        let rest = 100 - 32;
        assert_eq!(pages.take(rest).expect("room"), first + 32);
        assert!(matches!(
            pages.take(1),
            Err(DataPlaneError::PagesFull { pages: 1, all: 100 })
        ));
        let more = Pages::new(7).take(8);
        assert!(matches!(more, Err(DataPlaneError::PagesFull { .. })));
        pages.free(first..first + 32);
        let before = Instant::now();
        assert_eq!(pages.take(8).expect("waits"), first);
        assert!(before.elapsed() >= QUARANTINE - Duration::from_millis(50));
    }
}
