//! Owns the form of a configuration error: where, what, and what to do.
//!
//! Invariant: every error names its file, and its line and column wherever it has one. Lines and
//! columns count from 1, columns in characters.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// A place in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Files in the order in which they were read; only for sorting.
    pub(super) order: u32,
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line, from 1; 0 is the file as a whole.
    pub line: u32,
    /// The column, from 1; 0 is the file as a whole.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {message}")]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// What, and what to do.
    pub message: String,
}

/// Everything that is wrong, in the order of the files; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    /// One error a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}
