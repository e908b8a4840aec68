//! Owns the taking out of prefix lists that nobody names any more: a thread of its own, one list at a
//! time, so that no commit waits for it.
//!
//! Invariant: a list's number and room stay taken until the last of it is gone. What is left of one when
//! the process ends is named by no row, and the next start takes it away.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{commit::REST, maps::PrefixTable, prefixes::key};
use crate::plan::{prefix_rows::Row, prefixes::PrefixList};

/// Elements that are taken out at once.
const BATCH: usize = 1_024;

/// Lists that go.
#[derive(Debug)]
pub(super) struct Freeing {
    going: Arc<Going>,
    /// `None` when it ends.
    lists: Option<Sender<(u32, PrefixList)>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Going {
    /// Numbers, and how many rows each has.
    taken: Mutex<Taken>,
    /// One is gone.
    gone: Condvar,
}

#[derive(Debug, Default)]
struct Taken {
    counts: BTreeMap<u32, usize>,
    /// What is left is left to the next start.
    ends: bool,
}

impl Going {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a list out, batch by batch; `false` when it was told to end before.
    fn free(&self, rows: &[Row], number: u32, table: &PrefixTable) -> io::Result<bool> {
        each_batch(rows, |batch| {
            if self.taken().ends {
                return Ok(None);
            }
            let keys: Vec<_> = batch.iter().map(|row| key(number, row)).collect();
            table.remove_batch(&keys).map(Some)
        })
    }

    fn run(&self, lists: &Receiver<(u32, PrefixList)>, table: &PrefixTable) {
        for (number, list) in lists {
            // A program may still read the row that was switched from.
            thread::sleep(REST);
            match self.free(list.rows(), number, table) {
                Ok(true) => {
                    self.taken().counts.remove(&number);
                }
                Ok(false) => return,
                Err(error) => log::error!(
                    "prefix list {number} takes room for {} until the next start: {error}",
                    list.rows().len()
                ),
            }
            self.gone.notify_all();
        }
    }
}

/// Hands on all of `rows` in batches. `take` says how many of its batch are seen to, so that the
/// next one begins behind them; with `None` it ends all, which is then not done.
fn each_batch(
    mut rows: &[Row],
    mut take: impl FnMut(&[Row]) -> io::Result<Option<usize>>,
) -> io::Result<bool> {
    while !rows.is_empty() {
        let batch = &rows[..rows.len().min(BATCH)];
        let Some(seen) = take(batch)? else {
            return Ok(false);
        };
        rows = &rows[seen.clamp(1, batch.len())..];
    }
    Ok(true)
}

impl Freeing {
    /// Of this table; nothing goes yet.
    pub(super) fn new(table: &Arc<PrefixTable>) -> Self {
        let (lists, queue) = mpsc::channel();
        let (going, table) = (Arc::<Going>::default(), Arc::clone(table));
        let of_thread = Arc::clone(&going);
        let thread = thread::spawn(move || of_thread.run(&queue, &table));
        Self {
            going,
            lists: Some(lists),
            thread: Some(thread),
        }
    }

    /// Lets a list go.
    pub(super) fn free(&self, number: u32, list: PrefixList) {
        self.going.taken().counts.insert(number, list.rows().len());
        if let Some(lists) = &self.lists
            && lists.send((number, list)).is_err()
        {
            log::error!("prefix list {number} stays until the next start");
        }
    }

    /// Whether a list of that number still goes.
    pub(super) fn has(&self, number: u32) -> bool {
        self.going.taken().counts.contains_key(&number)
    }

    /// Waits until the lists that go take room for at most `most` rows, but not longer than
    /// `timeout`; whether they do.
    pub(super) fn wait(&self, most: usize, timeout: Duration) -> bool {
        let too_many = |taken: &mut Taken| taken.counts.values().sum::<usize>() > most;
        let told = self
            .going
            .gone
            .wait_timeout_while(self.going.taken(), timeout, too_many);
        !told.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Drop for Freeing {
    /// Nobody may take out of a number that another owner of the table gives away.
    fn drop(&mut self) {
        self.going.taken().ends = true;
        drop(self.lists.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread that takes prefix lists out failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use splitter_common::{address::Address, prefix::PrefixRow};

    use super::*;

    fn rows(count: u32) -> Vec<Row> {
        let each = |number| ((number, Address::default()), PrefixRow::default());
        (0..count).map(each).collect()
    }

    #[test]
    fn a_batch_is_bounded_and_one_that_ended_early_goes_on_behind() {
        let all = rows(2 * BATCH as u32 + 3);
        let mut seen = Vec::new();
        let done = each_batch(&all, |batch| {
            assert!(batch.len() <= BATCH);
            // As after an element that was not there.
            let some = batch.len().div_ceil(2);
            seen.extend_from_slice(&batch[..some]);
            Ok(Some(some))
        });
        assert!(done.expect("no error"));
        assert_eq!(seen, all);
    }

    #[test]
    fn what_was_told_to_end_is_not_done() {
        assert!(!each_batch(&rows(3), |_| Ok(None)).expect("no error"));
    }

    #[test]
    fn room_stays_taken_until_a_list_is_gone() {
        let going = Arc::<Going>::default();
        let freeing = Freeing {
            going: Arc::clone(&going),
            lists: None,
            thread: None,
        };
        freeing.free(7, PrefixList::of_rows(rows(5)));
        assert!(freeing.has(7));
        assert!(!freeing.wait(4, Duration::ZERO));
        assert!(freeing.wait(5, Duration::ZERO));
        let waits = thread::spawn(move || freeing.wait(0, Duration::from_secs(60)));
        going.taken().counts.remove(&7);
        going.gone.notify_all();
        assert!(waits.join().expect("a thread"));
    }
}
