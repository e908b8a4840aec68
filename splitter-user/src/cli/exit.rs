//! Owns the exit codes of the command line.
//!
//! Invariant: a code, once given out, keeps its meaning; scripts depend on them. `--help` prints
//! [`HELP`].

use std::process::ExitCode;

use crate::api::{BindError, ClientError, Refusal};
use crate::config::ConfigErrors;
use crate::plan::PlanError;
use crate::secret::SecretError;
use crate::state::StateError;

/// The codes, as `--help` shows them.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  the command or the daemon failed
  2  bad usage or bad configuration
  3  the daemon is not running
  4  no such service, version, client or interface
  5  refused in the present state
  6  no permission";

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The command or the daemon failed.
    Failure = 1,
    /// Bad usage or bad configuration; clap uses the same code.
    Usage = 2,
    /// The daemon is not running.
    NotRunning = 3,
    /// The thing named does not exist.
    NotFound = 4,
    /// Refused in the present state.
    Conflict = 5,
    /// No permission.
    Forbidden = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The code for an error: that of the outermost cause that has one.
    pub fn of(error: &anyhow::Error) -> Self {
        error
            .chain()
            .find_map(Self::of_cause)
            .unwrap_or(Self::Failure)
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(error) = cause.downcast_ref::<ClientError>() {
            return Some(Self::of_client(error));
        }
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return Some(Self::of_refusal(refusal));
        }
        if cause.is::<ConfigErrors>() {
            return Some(Self::Usage);
        }
        if let Some(error) = cause.downcast_ref::<SecretError>() {
            return Some(match error {
                SecretError::Exists(_) => Self::Conflict,
                SecretError::Missing(_) | SecretError::Open { .. } | SecretError::Malformed(_) => {
                    Self::Usage
                }
                SecretError::Io { error, .. } => Self::of_io(error),
            });
        }
        if let Some(error) = cause.downcast_ref::<BindError>() {
            return Some(match error {
                BindError::Taken(_) | BindError::NoSocket(_) => Self::Conflict,
                BindError::Io { error, .. } => Self::of_io(error),
            });
        }
        if let Some(error) = cause.downcast_ref::<StateError>() {
            return Some(match error {
                StateError::Locked(_) => Self::Conflict,
                StateError::Malformed { .. } | StateError::Database { .. } => Self::Failure,
                StateError::Io { error, .. } => Self::of_io(error),
            });
        }
        if let Some(error) = cause.downcast_ref::<PlanError>() {
            return Some(Self::of_plan(error));
        }
        cause.downcast_ref::<std::io::Error>().map(Self::of_io)
    }

    fn of_plan(error: &PlanError) -> Self {
        match error {
            PlanError::Capacity(_) | PlanError::DirectoryFull { .. } => Self::Usage,
            PlanError::SaltInUse { .. }
            | PlanError::PlaceInUse { .. }
            | PlanError::NumbersTaken(_)
            | PlanError::Unrecoverable { .. } => Self::Conflict,
            PlanError::Missing(_) => Self::Failure,
        }
    }

    fn of_client(error: &ClientError) -> Self {
        match error {
            ClientError::NoSocket(_) | ClientError::NotListening(_) => Self::NotRunning,
            ClientError::Permission(_) => Self::Forbidden,
            ClientError::Timeout(..) | ClientError::Io { .. } | ClientError::Nonsense { .. } => {
                Self::Failure
            }
            ClientError::Refused(refusal) => Self::of_refusal(refusal),
        }
    }

    fn of_refusal(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::NotFound { .. } => Self::NotFound,
            Refusal::Invalid { .. } => Self::Usage,
            Refusal::Conflict { .. } => Self::Conflict,
            Refusal::Forbidden { .. } => Self::Forbidden,
            Refusal::Internal { .. } => Self::Failure,
        }
    }

    fn of_io(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => Self::Forbidden,
            // io::ErrorKind is open-ended; only this kind has a code of its own.
            _ => Self::Failure,
        }
    }
}
