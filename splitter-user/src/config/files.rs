//! Owns which files a configuration is: the main one and the `*.toml` of `conf.d` beside it. The lists
//! that they name are [`Lists`].
//!
//! Invariant: what [`Texts::digest`] stands for is what [`Texts::config`] is read from, beside the lists.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use splitter_common::hash::{HashKey, siphash13};

use super::{
    error::{ConfigError, ConfigErrors, Place},
    lists::{Lists, Stamps},
    read,
    reader::Source,
};
use crate::model::Config;

/// The directory beside the main file whose `*.toml` belong to it.
const CONF_D: &str = "conf.d";

/// The texts of a configuration, as they stood when they were read.
pub struct Texts {
    sources: Vec<Source>,
    errors: Vec<ConfigError>,
}

impl Texts {
    /// Reads the file at `path` and `conf.d/*.toml` beside it, in the order of their names.
    pub fn read(path: &Path) -> Self {
        let mut sources = Vec::new();
        let mut errors = Vec::new();
        let (extra, listing) = match fragments(path) {
            Ok(found) => (found, None),
            Err((directory, error)) => (Vec::new(), Some((directory, error))),
        };
        for path in std::iter::once(path.to_owned()).chain(extra) {
            let order = u32::try_from(sources.len() + errors.len()).unwrap_or(u32::MAX);
            match fs::read_to_string(&path) {
                Ok(text) => sources.push(Source::new(&path.to_string_lossy(), order, text)),
                Err(error) => errors.push(unreadable(&path, order, &error)),
            }
        }
        if let Some((directory, error)) = listing {
            errors.push(unreadable(&directory, u32::MAX, &error));
        }
        Self { sources, errors }
    }

    /// Reads the lists that they name.
    pub fn lists(&self) -> Lists {
        Lists::read(&self.sources)
    }

    /// What the files of those lists are now.
    pub fn stamps(&self) -> Stamps {
        Stamps::read(&self.sources)
    }

    /// What they ask for, with these lists.
    pub fn config(&self, lists: &Lists) -> Result<Config, ConfigErrors> {
        read(&self.sources, lists, self.errors.clone())
    }

    /// Another number when any of them is another text, is called otherwise, or cannot be read.
    pub fn digest(&self) -> u64 {
        let mut all = Vec::new();
        let mut add = |text: &str| {
            all.extend((text.len() as u64).to_le_bytes());
            all.extend(text.as_bytes());
        };
        for source in &self.sources {
            add(&source.place(0).file);
            add(&source.text);
        }
        for error in &self.errors {
            add(&error.to_string());
        }
        siphash13(HashKey::default(), &all)
    }
}

/// The files of `conf.d` beside `path`; none where there is no such directory.
fn fragments(path: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let directory = path.with_file_name(CONF_D);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err((directory, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| (directory.clone(), error))?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if !hidden
            && path
                .extension()
                .is_some_and(|extension| extension == "toml")
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn unreadable(path: &Path, order: u32, error: &io::Error) -> ConfigError {
    let todo = match error.kind() {
        io::ErrorKind::NotFound => "; write one, or name another",
        io::ErrorKind::PermissionDenied => "; run as root, or make it readable",
        io::ErrorKind::InvalidData => "; it must be UTF-8 text",
        // io::ErrorKind is open-ended; the error speaks for itself.
        _ => "",
    };
    let file = path.to_string_lossy().as_ref().into();
    ConfigError {
        place: Place {
            order,
            file,
            line: 0,
            column: 0,
        },
        message: format!("cannot read the configuration: {error}{todo}"),
    }
}
