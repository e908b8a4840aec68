//! Owns files of prefixes: one a line, `#` begins a comment.
//!
//! Invariant: which files there are, and what is in them, is read once for all; what stands for the
//! texts of a configuration stands for these too.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};
use super::prefix::prefix;
use super::reader::{Section, Source};

/// Errors of one file that are told.
const TOLD: usize = 20;

/// The texts of all files of prefixes, or why there is none.
#[derive(Default)]
pub(super) struct PrefixFiles(BTreeMap<PathBuf, Result<String, String>>);

impl PrefixFiles {
    /// Reads all files that the texts of a configuration name.
    pub(super) fn read(sources: &[Source]) -> Self {
        let mut files = Self::default();
        for source in sources {
            let (tree, _) = DeTable::parse_recoverable(&source.text);
            for (_, value) in tree.get_ref() {
                files.add(source, value.get_ref());
            }
        }
        files
    }

    /// Reads those that a value names, wherever in it.
    fn add(&mut self, source: &Source, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => {
                for (key, value) in table {
                    match value.get_ref() {
                        DeValue::String(name) if key.get_ref() == "prefix_file" => {
                            let path = beside(&source.place(0).file, name);
                            let read = || fs::read_to_string(&path).map_err(|e| e.to_string());
                            self.0.entry(path.clone()).or_insert_with(read);
                        }
                        below => self.add(source, below),
                    }
                }
            }
            DeValue::Array(values) => {
                for value in values {
                    self.add(source, value.get_ref());
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }

    /// Paths and texts; what keeps one from being read counts as its text.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.0.iter().map(|(path, text)| match text {
            Ok(text) | Err(text) => (path.as_path(), text.as_str()),
        })
    }
}

/// A path as a configuration file names it: beside itself.
fn beside(file: &str, name: &str) -> PathBuf {
    Path::new(file).with_file_name("").join(name)
}

/// The prefixes of the file that `prefix_file` names; none where it is missing.
pub(super) fn from_file(section: &Section<'_, '_, '_>) -> Vec<IpNet> {
    let Some(name) = section.text("prefix_file") else {
        return Vec::new();
    };
    let reader = section.reader;
    let path = beside(&reader.place(&name.span()).file, name.get_ref());
    match reader.files.0.get(&path) {
        Some(Ok(text)) => {
            let (prefixes, errors) = parse(&path, text);
            errors.into_iter().for_each(|error| reader.add(error));
            prefixes
        }
        Some(Err(why)) => {
            let message = format!("cannot read `prefix_file` {}: {why}", path.display());
            section.error(&name.span(), message);
            Vec::new()
        }
        None => Vec::new(),
    }
}

/// The prefixes of a text and what is wrong with the rest.
fn parse(path: &Path, text: &str) -> (Vec<IpNet>, Vec<ConfigError>) {
    let (mut prefixes, mut errors, mut untold) = (Vec::new(), Vec::new(), 0);
    let place = |line: u32, column: u32| Place {
        order: u32::MAX,
        file: path.to_string_lossy().as_ref().into(),
        line,
        column,
    };
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.split('#').next().unwrap_or_default();
        let word = text.trim();
        if word.is_empty() {
            continue;
        }
        match prefix(word) {
            Ok(prefix) => prefixes.push(prefix),
            Err(_) if errors.len() == TOLD => untold += 1,
            Err(error) => {
                let indent = text.chars().take_while(|c| c.is_whitespace()).count();
                errors.push(ConfigError {
                    place: place(line, indent as u32 + 1),
                    message: error.to_string(),
                });
            }
        }
    }
    if untold > 0 {
        errors.push(ConfigError {
            place: place(0, 0),
            message: format!("{untold} more lines are no prefixes"),
        });
    }
    (prefixes, errors)
}
