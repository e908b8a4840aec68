//! Owns the log of events: the newest ones in memory, all that fits on disk, and who waits for more.
//!
//! Invariant: a reader holds nothing of the log while it waits or writes; one that is slower than
//! [`KEPT`] events learns how many it missed.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use super::disk::Disk;
use super::{Event, EventLine, EventList, EventQuery, What};

/// Events in memory.
const KEPT: usize = 4_096;

/// Where events are told and read.
pub struct EventLog {
    inner: Mutex<Inner>,
    /// The number of the newest event; `None` once no more come.
    newest: watch::Sender<Option<u64>>,
}

struct Inner {
    kept: VecDeque<Arc<Event>>,
    newest: u64,
    disk: Option<Disk>,
}

impl EventLog {
    /// A log in memory alone, in which these stand already, in the order of their numbers.
    pub fn in_memory(events: Vec<Event>) -> Self {
        Self::with(None, events)
    }

    /// The log of a directory; one that cannot be read or written is told and done without.
    pub fn open(dir: &Path) -> Self {
        match Disk::open(dir) {
            Ok((disk, events)) => Self::with(Some(disk), events),
            Err(error) => {
                let dir = dir.display();
                log::warn!("{dir}: events are not kept over a restart: {error}");
                Self::in_memory(Vec::new())
            }
        }
    }

    fn with(disk: Option<Disk>, events: Vec<Event>) -> Self {
        let newest = events.iter().map(|event| event.seq).max().unwrap_or(0);
        let before = events.len().saturating_sub(KEPT);
        let kept = events.into_iter().skip(before).map(Arc::new).collect();
        Self {
            inner: Mutex::new(Inner { kept, newest, disk }),
            newest: watch::Sender::new(Some(newest)),
        }
    }

    /// Tells that something happened, now.
    pub fn tell(&self, what: What) {
        let mut inner = self.lock();
        let event = Event {
            seq: inner.newest + 1,
            at: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            text: what.to_string(),
            what,
        };
        let written = inner.disk.as_mut().map(|disk| disk.append(&event));
        if let Some(Err(error)) = written {
            log::warn!("events are no longer kept over a restart: {error}");
            inner.disk = None;
        }
        inner.newest = event.seq;
        if inner.kept.len() == KEPT {
            inner.kept.pop_front();
        }
        inner.kept.push_back(Arc::new(event));
        self.newest.send_replace(Some(inner.newest));
    }

    /// No more events come: whoever waits is sent away once he has read what there is.
    pub fn close(&self) {
        self.newest.send_replace(None);
    }

    /// The newest event that `wanted` holds for.
    pub fn last(&self, wanted: impl Fn(&What) -> bool) -> Option<Arc<Event>> {
        let inner = self.lock();
        let mut newest_first = inner.kept.iter().rev();
        newest_first.find(|event| wanted(&event.what)).cloned()
    }

    /// What is asked for, oldest first.
    pub fn list(&self, query: &EventQuery) -> EventList {
        let (events, left_out) = self.lock().find(query);
        EventList {
            events: events.iter().map(|event| Event::clone(event)).collect(),
            left_out,
        }
    }

    /// Reads on from what is asked for.
    pub fn follow(self: &Arc<Self>, query: EventQuery) -> Follower {
        Follower {
            log: Arc::clone(self),
            news: self.newest.subscribe(),
            seen: query.after,
            query,
        }
    }

    /// What no panic can leave half done.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What is asked for, oldest first, and how many more there are.
    fn find(&self, query: &EventQuery) -> (Vec<Arc<Event>>, usize) {
        let asked = self.kept.iter().filter(|event| query.takes(event));
        let mut events: Vec<Arc<Event>> = asked.cloned().collect();
        let limit = query.limit.unwrap_or(usize::MAX);
        let left_out = events.len().saturating_sub(limit);
        (events.split_off(left_out), left_out)
    }
}

impl EventQuery {
    /// Whether it asks for an event.
    fn takes(&self, event: &Event) -> bool {
        let service = self.service.as_ref();
        // Times of one form and one zone are in the order of their texts.
        self.after.is_none_or(|after| event.seq > after)
            && self.since.as_ref().is_none_or(|since| event.at >= *since)
            && service.is_none_or(|service| event.what.concerns(service))
    }
}

/// Somebody who reads on.
pub struct Follower {
    log: Arc<EventLog>,
    news: watch::Receiver<Option<u64>>,
    query: EventQuery,
    /// The newest number that was looked at; `None` before the first look.
    seen: Option<u64>,
}

impl Follower {
    /// The next lines, when there are some; `None` when no more come.
    pub async fn next(&mut self) -> Option<Vec<EventLine>> {
        loop {
            let open = self.news.borrow_and_update().is_some();
            let lines = self.lines();
            if !lines.is_empty() {
                return Some(lines);
            }
            if !open || self.news.changed().await.is_err() {
                return None;
            }
        }
    }

    fn lines(&mut self) -> Vec<EventLine> {
        let (events, missed) = {
            let inner = self.log.lock();
            // A number that was never given: the reader knows another log, whose files are gone.
            let seen = self
                .seen
                .map(|seen| if seen > inner.newest { 0 } else { seen });
            let oldest = inner.kept.front().map_or(inner.newest + 1, |each| each.seq);
            self.query.after = seen;
            self.seen = Some(inner.newest);
            let missed = seen.map_or(0, |seen| oldest.saturating_sub(seen + 1));
            (inner.find(&self.query).0, missed)
        };
        self.query.limit = None;
        let missed = (missed > 0).then_some(EventLine::Missed { missed });
        let events = events.iter();
        let lines = events.map(|event| EventLine::Event(Box::new(Event::clone(event))));
        missed.into_iter().chain(lines).collect()
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
