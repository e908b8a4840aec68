//! Owns files of prefixes: one a line, `#` begins a comment.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::error::{ConfigError, Place};
use super::lists::beside;
use super::prefix::prefix;
use super::reader::Section;
use ipnet::IpNet;

/// Errors of one file that are told.
const TOLD: usize = 20;

/// The texts of all files of prefixes, or why there is none.
#[derive(Default)]
pub(super) struct PrefixFiles(BTreeMap<PathBuf, Result<String, String>>);

impl PrefixFiles {
    /// Reads files.
    pub(super) fn read(paths: BTreeSet<PathBuf>) -> Self {
        let read = |path: PathBuf| {
            let text = fs::read_to_string(&path).map_err(|error| error.to_string());
            (path, text)
        };
        Self(paths.into_iter().map(read).collect())
    }
}

/// The prefixes of the file that `prefix_file` names; none where it is missing.
pub(super) fn from_file(section: &Section<'_, '_, '_>) -> Vec<IpNet> {
    let Some(name) = section.text("prefix_file") else {
        return Vec::new();
    };
    let reader = section.reader;
    let path = beside(&reader.place(&name.span()).file, name.get_ref());
    match reader.lists.prefix_files.0.get(&path) {
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
