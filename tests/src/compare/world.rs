//! Owns the configuration of a case as lines `PATH = VALUE`, which commits replace one by one.

use anyhow::Result;
use splitter_user::{config::parse_str, model::Config};

/// Values by their dotted path, in the order in which they came: versions are cut in the order of
/// the file.
#[derive(Clone, Debug, Default)]
pub(super) struct World(Vec<(String, String)>);

impl World {
    /// With changes; an error when what comes out is no valid configuration.
    pub(super) fn with(&self, changes: &[(String, String)]) -> Result<(Self, Config)> {
        let mut next = self.clone();
        for (path, value) in changes {
            next.set(path, value);
        }
        let text: String = next
            .0
            .iter()
            .map(|(path, value)| format!("{path} = {value}\n"))
            .collect();
        let config = parse_str("case.toml", &text)?;
        Ok((next, config))
    }

    fn set(&mut self, path: &str, value: &str) {
        if value.is_empty() {
            let below = format!("{path}.");
            self.0
                .retain(|(each, _)| each != path && !each.starts_with(&below));
            return;
        }
        match self.0.iter_mut().find(|(each, _)| each == path) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((path.to_owned(), value.to_owned())),
        }
    }
}
