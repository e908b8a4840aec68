//! Owns the socket file of the API.
//!
//! Invariant: a live daemon's socket is never taken from it, a dead one's never stands in the way,
//! and at no moment can somebody outside the group connect.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::net::UnixListener;

/// Owner and group may talk to the daemon.
const SOCKET_MODE: u32 = 0o660;

/// Why the daemon cannot listen.
#[derive(Debug, Error)]
pub enum BindError {
    /// A daemon is there.
    #[error(
        "another splitter daemon answers on {path}: stop it first, or give this one another \
         --socket (and other --pin-dir and --state-dir)", path = .0.display()
    )]
    Taken(PathBuf),
    /// Something else is there.
    #[error("{path} exists and is no socket: remove it, or give another --socket", path = .0.display())]
    NoSocket(PathBuf),
    /// The system does not let us.
    #[error("cannot listen on {path}: {error}", path = .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Listens on `path`, which is made with its directory. Needs a tokio runtime around it.
pub fn bind(path: &Path) -> Result<UnixListener, BindError> {
    let failed = |error| BindError::Io {
        path: path.to_owned(),
        error,
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    refuse_living(path)?;
    // The permissions must be right before the name is known: bind, chmod, rename. The rename
    // takes a dead daemon's socket away in the same step.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let hidden = path.with_file_name(name);
    // Left by a dead process of the same number, if at all.
    let _ = std::fs::remove_file(&hidden);
    let listener = UnixListener::bind(&hidden).map_err(failed)?;
    let named = std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(SOCKET_MODE))
        .and_then(|()| std::fs::rename(&hidden, path));
    if let Err(error) = named {
        // Best effort: the first error is the news.
        let _ = std::fs::remove_file(&hidden);
        return Err(failed(error));
    }
    Ok(listener)
}

/// Refuses a path where somebody answers or where something else stands.
fn refuse_living(path: &Path) -> Result<(), BindError> {
    let failed = |error| BindError::Io {
        path: path.to_owned(),
        error,
    };
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(BindError::NoSocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(BindError::Taken(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(failed(error)),
    }
}
