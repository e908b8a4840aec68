//! Owns commits: an image goes into the kernel beside what is in force and is switched by one
//! store per service and one for the directory.
//!
//! Order: tables into unused pages, read back, and the directories to come: what fails for want of
//! room fails here, with nothing switched. Then rows that nothing names yet; a directory with the
//! sockets of new backends, whose replies are thus known before anybody chooses them; each changed
//! service's resting row and its word; the directory to stay, once, so that at every moment a VIP
//! has one owner; then what nobody names any more goes. A service that takes over another's
//! backend is switched after the directory, which by then knows whose that backend's replies are.
//! A commit is idempotent: after a crash the same image finishes it.

use std::{
    collections::BTreeSet,
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use bytemuck::Zeroable;
use splitter_common::{
    capacity::MAX_VERSIONS,
    hash::HashKey,
    layout::{BackendRow, ServiceRow, Word},
};

use super::{DataPlane, DataPlaneError, tables::runs};
use crate::plan::{Image, ServiceImage, directory::DirectoryImage, service::LedgerImage};

/// A resting side is rewritten no sooner than this after the switch away from it: a program that
/// still reads it has long ended.
pub(super) const REST: Duration = Duration::from_millis(10);

impl DataPlane {
    /// Puts an image in force. `seed` draws this host's directory multipliers.
    pub fn commit(&mut self, image: &Image, seed: HashKey) -> Result<(), DataPlaneError> {
        let prepared = self.prepare(image, seed)?;
        self.switch(image, prepared)
    }

    /// Does all of a commit that may fail for want of room, and switches nothing.
    pub fn prepare(
        &mut self,
        image: &Image,
        seed: HashKey,
    ) -> Result<PreparedCommit, DataPlaneError> {
        let (first, last) = self.directories(image, seed)?;
        let mut prepared = PreparedCommit {
            first,
            last,
            services: Vec::new(),
            fresh: Vec::new(),
        };
        for (number, service) in &image.services {
            match self.prepare_service(*number, service, &mut prepared.fresh) {
                Ok(service) => prepared.services.extend(service),
                Err(error) => {
                    self.discard(prepared);
                    return Err(error);
                }
            }
        }
        Ok(prepared)
    }

    /// Gives back what was prepared for a commit that will not be.
    pub fn discard(&mut self, prepared: PreparedCommit) {
        for run in prepared.fresh {
            self.pages.free(run);
        }
        self.sweep_prefixes();
    }

    /// Puts a prepared image in force.
    pub fn switch(
        &mut self,
        image: &Image,
        prepared: PreparedCommit,
    ) -> Result<(), DataPlaneError> {
        let mut heirs = match &prepared.last {
            Some(_) => image.heirs(&self.endpoints),
            None => BTreeSet::new(),
        };
        // Before the rows that ask for them.
        self.put_device_rules(&image.devices)?;
        heirs.retain(|service| self.maps.service_word(*service).generation != 0);
        self.write_new_rows(image);
        if let Some(first) = &prepared.first {
            self.switch_directory(first, self.generation());
        }
        let (late, early): (Vec<_>, Vec<_>) = prepared
            .services
            .into_iter()
            .partition(|service| heirs.contains(&service.number));
        for service in early {
            self.put_service(&service)?;
        }
        if let Some(last) = &prepared.last {
            self.switch_directory(last, self.generation());
        }
        for service in late {
            self.put_service(&service)?;
        }
        self.retire_backends(image);
        self.retire_services(image);
        self.sweep_prefixes();
        // Only now is all of it in force: a start after a crash does again what is later than this.
        self.store_generation(image.generation);
        Ok(())
    }

    /// The directories that a commit switches to: first the one in force with the sockets of new
    /// backends, where there are any, since their replies must be known before a row chooses them
    /// (left out where both do not fit together); last that of the image, where it is another one.
    fn directories(
        &self,
        image: &Image,
        seed: HashKey,
    ) -> Result<(Option<DirectoryImage>, Option<DirectoryImage>), DataPlaneError> {
        if self.generation() == 0 {
            return Ok((None, Some(DirectoryImage::build(&image.endpoints, seed)?)));
        }
        if image.is_known(&self.endpoints) {
            return Ok((None, None));
        }
        let last = DirectoryImage::build(&image.directory(&self.endpoints), seed)?;
        let union = image.with_new_backends(&self.endpoints);
        let first = (union.len() > self.endpoints.len())
            .then(|| DirectoryImage::build(&union, seed).ok())
            .flatten();
        Ok((first, Some(last)))
    }

    /// Rows of frontends and backends are written once, before anything names them.
    fn write_new_rows(&mut self, image: &Image) {
        for (number, row) in &image.frontends {
            self.maps.frontends.write(*number, row);
        }
        for (number, row) in &image.backends {
            let there = self.maps.backends.read(*number);
            let leaving = BackendRow {
                leaving: row.leaving,
                ..there
            };
            if leaving != *row {
                self.maps.next_hops.write(*number, &Default::default());
                self.maps.backend_times.write(*number, &Zeroable::zeroed());
            }
            if there != *row {
                self.maps.backends.write(*number, row);
            }
        }
    }

    /// Flows of backends that are gone become misses: their rows are born later than they are.
    fn retire_backends(&self, image: &Image) {
        for (number, row) in self.live_backends() {
            let stands = image.standing.contains(&u32::from(row.service));
            if !stands && !image.backends.contains_key(&number) {
                let gone = BackendRow {
                    born: image.generation,
                    retired: 1,
                    ..row
                };
                self.maps.backends.write(number, &gone);
            }
        }
    }

    /// Services that are gone give their pages back; nothing names them any more.
    fn retire_services(&mut self, image: &Image) {
        for number in 0..self.maps.service_words.len() {
            let used = self.maps.service_word(number).generation != 0;
            let stays = image.services.contains_key(&number) || image.standing.contains(&number);
            if used && !stays {
                let row = self.maps.service_in_force(number);
                self.maps.service_words.store_word(number, 0);
                self.flipped.insert(number, Instant::now());
                for run in runs(&row) {
                    self.pages.free(run);
                }
            }
        }
    }

    /// The row that a service is to have, its tables written; `None` when it has it already. Runs
    /// of pages that were taken for it are added to `fresh`.
    fn prepare_service(
        &mut self,
        number: u32,
        service: &ServiceImage,
        fresh: &mut Vec<Range<u32>>,
    ) -> Result<Option<PreparedService>, DataPlaneError> {
        let word = self.maps.service_word(number);
        let in_force = (word.generation != 0).then(|| self.maps.service_in_force(number));
        let mut row = service.row;
        row.direct = self.list_of(&service.direct)?;
        row.deny = self.list_of(&service.deny)?;
        row.allow = self.list_of(&service.allow)?;
        row.segments.list = self.list_of(&service.conditions)?;
        for ((version, family), cells) in &service.tables {
            let kept = in_force
                .as_ref()
                .map(|row| row.versions[*version].tables[*family]);
            let kept = kept.filter(|table| self.holds(*table, cells));
            let page = match kept {
                Some(table) => table.page,
                None => self.write_table(cells, fresh)?,
            };
            row.versions[*version].tables[*family].page = page;
        }
        Ok((in_force != Some(row)).then_some(PreparedService {
            number,
            row,
            ends_after_s: service.ends_after_s,
            ledger: service.ledger,
        }))
    }

    /// Switches a service to its prepared row and gives the pages of the old one back.
    fn put_service(&mut self, prepared: &PreparedService) -> Result<(), DataPlaneError> {
        let PreparedService {
            number,
            row,
            ends_after_s,
            ledger,
        } = prepared;
        let word = self.maps.service_word(*number);
        let old = (word.generation != 0).then(|| self.maps.service_in_force(*number));
        // Before the row that answers: a flow that is looked at too early is looked at again.
        self.raise_recheck(*number, old.as_ref(), row, *ends_after_s)?;
        for (version, new) in row.versions.iter().enumerate() {
            let owner = old.as_ref().map_or(0, |old| old.versions[version].born);
            if owner != new.born {
                self.maps.forget_emptied(*number, version as u8)?;
                let place = number * MAX_VERSIONS as u32 + version as u32;
                self.maps.version_times.write(place, &Zeroable::zeroed());
            }
        }
        self.forget_assigned(*number, old.as_ref(), row)?;
        if let Some(ledger) = ledger {
            self.put_ledger(ledger)?;
        }
        self.switch_service(*number, word, row)?;
        let new: BTreeSet<u32> = runs(row).map(|run| run.start).collect();
        for run in old.iter().flat_map(runs) {
            if !new.contains(&run.start) {
                self.pages.free(run);
            }
        }
        Ok(())
    }

    /// Flows that were counted for a version or segment whose index or place another one gets.
    fn forget_assigned(
        &mut self,
        number: u32,
        old: Option<&ServiceRow>,
        row: &ServiceRow,
    ) -> Result<(), DataPlaneError> {
        for (place, owner) in row.segments.owners.iter().enumerate() {
            // Place 0 is nobody's and always used.
            if place > 0 && *owner == 0 {
                continue;
            }
            let same_owner = old.is_some_and(|old| old.segments.owners[place] == *owner);
            for (version, new) in row.versions.iter().enumerate() {
                let born = old.map_or(0, |old| old.versions[version].born);
                if new.born != 0 && !(same_owner && born == new.born) {
                    self.maps
                        .forget_assigned(number, place as u8, version as u8)?;
                }
            }
        }
        Ok(())
    }

    fn switch_service(
        &mut self,
        number: u32,
        word: Word,
        row: &ServiceRow,
    ) -> Result<(), DataPlaneError> {
        rest(self.flipped.get(&number).copied());
        let next = Word {
            generation: row.generation,
            side: word.side ^ 1,
        };
        let index = 2 * number + next.side;
        self.maps.services.write(index, row);
        if self.maps.services.read(index) != *row {
            return Err(DataPlaneError::ReadBack("a service row"));
        }
        self.maps.service_words.store_word(number, next.pack());
        self.flipped.insert(number, Instant::now());
        Ok(())
    }
}

/// A commit whose tables stand and whose directories are built.
pub struct PreparedCommit {
    first: Option<DirectoryImage>,
    last: Option<DirectoryImage>,
    services: Vec<PreparedService>,
    /// Pages that were taken for it.
    fresh: Vec<Range<u32>>,
}

impl PreparedCommit {
    /// The row that a service is to have, whose prefix list stands already; `None` when it stays.
    pub fn row(&self, service: u32) -> Option<&ServiceRow> {
        let mut services = self.services.iter();
        let found = services.find(|each| each.number == service);
        found.map(|service| &service.row)
    }
}

/// A service whose tables stand and whose row only wants to be switched to.
struct PreparedService {
    number: u32,
    row: ServiceRow,
    ends_after_s: Option<u32>,
    ledger: Option<LedgerImage>,
}

/// Waits until a side that was switched away from at `flipped` may be rewritten.
pub(super) fn rest(flipped: Option<Instant>) {
    if let Some(since) = flipped.map(|at| at.elapsed())
        && since < REST
    {
        thread::sleep(REST - since);
    }
}
