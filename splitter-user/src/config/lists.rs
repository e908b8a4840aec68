//! Owns the lists that stand outside the configuration's own texts: files of prefixes and databases of
//! regions. Which there are, what was in them, and whether they are still those.
//!
//! Invariant: all are read at once, each file once; a file that changes while it is read is another one
//! by its [`Stamps`] afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{
    databases::{self, Regions},
    prefix_file::PrefixFiles,
    reader::Source,
    regions::Wanted,
};
use crate::model::{Databases, RegionKind};

/// All lists, as they were when they were read.
#[derive(Default)]
pub struct Lists {
    pub(super) prefix_files: PrefixFiles,
    pub(super) regions: Regions,
    /// Device classes for which there are rules, wherever they stand.
    pub(super) classes: BTreeSet<String>,
    stamps: Stamps,
}

impl Lists {
    /// Reads all lists that the texts of a configuration name.
    pub(super) fn read(sources: &[Source]) -> Self {
        let named = Named::by_all(sources);
        // Before they are read, so that no change is missed.
        let stamps = named.stamps();
        Self {
            classes: named.classes,
            prefix_files: PrefixFiles::read(named.prefix_files),
            regions: Regions::read(named.databases, &named.wanted),
            stamps,
        }
    }

    /// What the files were.
    pub fn stamps(&self) -> &Stamps {
        &self.stamps
    }
}

/// What tells files from those that they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamps(BTreeMap<PathBuf, Option<Stamp>>);

impl Stamps {
    /// Those of all lists that the texts of a configuration name.
    pub(super) fn read(sources: &[Source]) -> Self {
        Named::by_all(sources).stamps()
    }

    /// The same files as they are now.
    #[must_use]
    pub fn now(&self) -> Self {
        let paths = self.0.keys();
        Self(paths.map(|path| (path.clone(), Stamp::of(path))).collect())
    }

    /// The files that are others than they were.
    pub fn others<'s>(&'s self, were: &'s Self) -> impl Iterator<Item = &'s Path> {
        let other = |(path, stamp): &(&PathBuf, _)| were.0.get(*path) != Some(*stamp);
        let all = self.0.iter().filter(other);
        all.map(|(path, _)| path.as_path())
    }
}

/// A file's identity, length in bytes and times of change in seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp([i64; 7]);

impl Stamp {
    /// `None` where nothing is.
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self([
            file.dev().cast_signed(),
            file.ino().cast_signed(),
            file.size().cast_signed(),
            file.mtime(),
            file.mtime_nsec(),
            file.ctime(),
            file.ctime_nsec(),
        ]))
    }
}

/// A path as a configuration file names it: beside itself.
pub(super) fn beside(file: &str, name: &str) -> PathBuf {
    Path::new(file).with_file_name("").join(name)
}

/// What texts name, wherever in them.
#[derive(Default)]
struct Named {
    prefix_files: BTreeSet<PathBuf>,
    databases: Databases,
    wanted: Wanted,
    classes: BTreeSet<String>,
}

impl Named {
    fn by_all(sources: &[Source]) -> Self {
        let mut named = Self::default();
        for source in sources {
            let (tree, _) = DeTable::parse_recoverable(&source.text);
            named.by_root(source, tree.get_ref());
        }
        named
    }

    fn stamps(&self) -> Stamps {
        let all = self.prefix_files.iter();
        let all = all.chain(self.databases.values().flatten());
        Stamps(all.map(|path| (path.clone(), Stamp::of(path))).collect())
    }

    fn by_root(&mut self, source: &Source, root: &DeTable<'_>) {
        for (key, value) in root {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("databases", DeValue::Table(table)) => {
                    for kind in RegionKind::ALL {
                        let value = table.get(kind.key()).map(|value| value.get_ref());
                        let paths = value.map(databases::paths).unwrap_or_default();
                        let paths = paths.map(|name| beside(&source.place(0).file, name));
                        self.databases.entry(kind).or_default().extend(paths);
                    }
                }
                ("device", DeValue::Array(rules)) => {
                    let classes = rules
                        .iter()
                        .filter_map(|rule| rule.get_ref().get("class")?.get_ref().as_str());
                    self.classes.extend(classes.map(str::to_owned));
                }
                (_, below) => self.by(source, below),
            }
        }
    }

    fn by(&mut self, source: &Source, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => {
                for (key, value) in table {
                    let key: &str = key.get_ref();
                    let kind = RegionKind::ALL.into_iter().find(|kind| kind.key() == key);
                    match (kind, value.get_ref()) {
                        (None, DeValue::String(name)) if key == "prefix_file" => {
                            let path = beside(&source.place(0).file, name);
                            self.prefix_files.insert(path);
                        }
                        (Some(kind), DeValue::Array(regions)) => {
                            let regions = regions.iter().map(|region| region.get_ref());
                            let regions = regions.filter_map(databases::region);
                            self.wanted.extend(regions.map(|region| (kind, region)));
                        }
                        (_, below) => self.by(source, below),
                    }
                }
            }
            DeValue::Array(values) => {
                for value in values {
                    self.by(source, value.get_ref());
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
}
