//! Owns the configuration file: its grammar, its checks and its errors.
//!
//! Invariant: a [`Config`] leaves this module only when nothing at all is wrong with it, and what
//! is wrong is told in one pass, with file, line, column and the way out.

mod address;
mod backends;
mod check;
mod draft;
mod error;
mod health;
mod nearest;
mod parse;
mod passive;
mod prefix;
mod reader;
mod runtime;
mod service;
mod sharing;
mod version;
mod weights;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use error::{ConfigError, ConfigErrors, Place};
pub use nearest::{hint, nearest};
pub use runtime::{backend, check_again};
pub use weights::{WeightsError, apply_weights, check_weights};

use crate::model::Config;
use draft::Draft;
use reader::Source;

/// The directory beside the main file whose `*.toml` belong to it.
const CONF_D: &str = "conf.d";

/// Reads the file at `path` and `conf.d/*.toml` beside it, in the order of their names.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
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
    read(&sources, errors)
}

/// Reads one text as if it stood in a file called `name`, without any `conf.d`.
pub fn parse_str(name: &str, text: &str) -> Result<Config, ConfigErrors> {
    read(&[Source::new(name, 0, text.to_owned())], Vec::new())
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

fn read(sources: &[Source], mut errors: Vec<ConfigError>) -> Result<Config, ConfigErrors> {
    let mut draft = Draft::default();
    // A file that could not be read or parsed may hold what the others seem to lack.
    let mut whole = errors.is_empty();
    for source in sources {
        let parsed = parse::file(source, &mut draft);
        whole &= parsed.complete;
        errors.extend(parsed.errors);
    }
    if whole && let Some(main) = sources.first() {
        errors.extend(check::check(&draft, &main.place(0)));
    }
    if errors.is_empty() {
        return Ok(Config {
            interfaces: draft
                .interfaces
                .into_iter()
                .map(|(interface, _)| interface)
                .collect(),
            limits: draft.limits.map(|(limits, _)| limits).unwrap_or_default(),
            services: draft
                .services
                .into_iter()
                .map(|draft| draft.service)
                .collect(),
        });
    }
    errors.sort_by(|a, b| a.place.cmp(&b.place));
    Err(ConfigErrors(errors))
}

#[cfg(test)]
mod tests;
