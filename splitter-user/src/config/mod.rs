//! Owns the configuration file: its grammar, its checks and its errors.
//!
//! Invariant: a [`Config`] leaves this module only when nothing at all is wrong with it, and what
//! is wrong is told in one pass, with file, line, column and the way out.

mod address;
mod backends;
mod check;
mod databases;
mod devices;
mod draft;
mod error;
mod files;
mod flows;
mod health;
mod lists;
mod metrics;
mod nearest;
mod parse;
mod passive;
mod prefix;
mod prefix_file;
mod reader;
mod regions;
mod runtime;
mod segments;
mod service;
mod sharing;
mod version;
mod weights;

use std::path::Path;

pub use devices::built_in as built_in_devices;
pub use error::{ConfigError, ConfigErrors, Place};
pub use files::Texts;
pub use lists::{Lists, Stamps};
pub use nearest::{hint, nearest};
pub use regions::{Database, Record};
pub use runtime::{backend, check_again, prefix};
pub use weights::{WeightsError, apply_segment_weights, apply_weights, check_weights};

use crate::model::Config;
use draft::Draft;
use reader::Source;

/// Reads the file at `path` and `conf.d/*.toml` beside it, in the order of their names.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let texts = Texts::read(path);
    texts.config(&texts.lists())
}

/// Reads one text as if it stood in a file called `name`, without any `conf.d`.
pub fn parse_str(name: &str, text: &str) -> Result<Config, ConfigErrors> {
    let sources = [Source::new(name, 0, text.to_owned())];
    read(&sources, &Lists::read(&sources), Vec::new())
}

fn read(
    sources: &[Source],
    lists: &Lists,
    mut errors: Vec<ConfigError>,
) -> Result<Config, ConfigErrors> {
    let mut draft = Draft::default();
    // A file that could not be read or parsed may hold what the others seem to lack.
    let mut whole = errors.is_empty();
    for source in sources {
        let parsed = parse::file(source, lists, &mut draft);
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
            metrics: draft
                .metrics
                .map(|(metrics, _)| metrics)
                .unwrap_or_default(),
            databases: draft
                .databases
                .map(|(databases, _)| databases)
                .unwrap_or_default(),
            devices: devices::with_built_in(draft.devices),
            services: draft
                .services
                .into_iter()
                .map(|draft| draft.service.into())
                .collect(),
        });
    }
    errors.sort_by(|a, b| a.place.cmp(&b.place));
    Err(ConfigErrors(errors))
}

#[cfg(test)]
pub(crate) use tests::mmdb::database_of_countries;

#[cfg(test)]
mod tests;
