//! Owns the cluster secret: its file, and the keys that are derived from it.
//!
//! Invariant: the secret never leaves this module; what leaves is derived with HMAC-SHA-256, from
//! which the secret cannot be found. Hosts with the same secret derive the same keys. The file
//! holds 32 random bytes as 64 hex digits and a line end, readable by its owner alone.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::Sha256;
use splitter_common::hash::HashKey;
use thiserror::Error;

/// Length of the secret, in bytes.
const SECRET_LEN: usize = 32;
/// The only permissions that the file may have.
const FILE_MODE: u32 = 0o600;

/// The secret that all hosts of a cluster share.
#[derive(Clone)]
pub struct Secret([u8; SECRET_LEN]);

impl fmt::Debug for Secret {
    /// Only the digest: a secret in a log is no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.digest())
    }
}

/// Why there is no secret.
#[derive(Debug, Error)]
pub enum SecretError {
    /// There is no such file.
    #[error(
        "no cluster secret at {path}: make one with `splitter secret new --path {path}`, or copy \
         the one of the other hosts there", path = .0.display()
    )]
    Missing(PathBuf),
    /// There is one already.
    #[error(
        "{path} exists already and is not overwritten: with another secret every client would be \
         assigned anew; remove the file first if that is what you want", path = .0.display()
    )]
    Exists(PathBuf),
    /// Others than the owner may read it.
    #[error(
        "the cluster secret {path} has permissions {mode:04o}, others could read it: \
         run `chmod 600 {path}`", path = .path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file holds something else.
    #[error(
        "{path} holds no cluster secret: expected 64 hex digits and a line end; restore it from \
         another host, or remove it and run `splitter secret new --path {path}`",
        path = .0.display()
    )]
    Malformed(PathBuf),
    /// The file cannot be read or written.
    #[error("cannot {verb} the cluster secret {path}: {error}", path = .path.display())]
    Io {
        /// `read` or `write`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl Secret {
    /// 32 bytes that nobody has seen before.
    fn random() -> io::Result<Self> {
        let mut bytes = [0; SECRET_LEN];
        let mut filled = 0;
        while filled < SECRET_LEN {
            match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(Self(bytes))
    }

    /// A key for one purpose. `purpose` and `parts` are each put in with their length before them,
    /// so that ("ab", "c") and ("a", "bc") give different keys. The first 16 bytes of
    /// HMAC-SHA-256, little-endian.
    pub fn derive(&self, purpose: &str, parts: &[&str]) -> HashKey {
        let bytes = self.keyed(purpose, parts);
        let word = |at: usize| {
            let word = bytes.get(at..at + 8).and_then(|part| part.try_into().ok());
            u64::from_le_bytes(word.unwrap_or_default())
        };
        HashKey {
            k0: word(0),
            k1: word(8),
        }
    }

    /// Eight hex digits by which hosts can be compared; they say nothing about the secret.
    pub fn digest(&self) -> String {
        self.keyed("digest", &[])
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn keyed(&self, purpose: &str, parts: &[&str]) -> [u8; 32] {
        // A key of one SHA-256 block or less is padded, as HMAC wants it.
        let mut block = [0; 64];
        block[..SECRET_LEN].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        for part in std::iter::once(&purpose).chain(parts) {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// Reads the text of the file.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_suffix('\n').unwrap_or(text).as_bytes();
        if digits.len() != 2 * SECRET_LEN {
            return None;
        }
        let nibble = |digit: u8| {
            (digit as char)
                .to_digit(16)
                .and_then(|n| u8::try_from(n).ok())
        };
        let mut bytes = [0; SECRET_LEN];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (nibble(pair[0])? << 4) | nibble(pair[1])?;
        }
        Some(Self(bytes))
    }

    fn to_text(&self) -> String {
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        digits + "\n"
    }
}

/// Makes a new secret at `path`, which must not exist yet.
pub fn create(path: &Path) -> Result<Secret, SecretError> {
    let failed = |error| SecretError::Io {
        verb: "write",
        path: path.to_owned(),
        error,
    };
    let secret = Secret::random().map_err(failed)?;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => SecretError::Exists(path.to_owned()),
        _ => failed(error),
    })?;
    let written = file
        .set_permissions(std::fs::Permissions::from_mode(FILE_MODE))
        .and_then(|()| file.write_all(secret.to_text().as_bytes()))
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a secret would only be refused later; best effort, the first error is the news.
        let _ = std::fs::remove_file(path);
        return Err(failed(error));
    }
    Ok(secret)
}

/// Reads the secret at `path`.
pub fn load(path: &Path) -> Result<Secret, SecretError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => SecretError::Missing(path.to_owned()),
        _ => SecretError::Io {
            verb: "read",
            path: path.to_owned(),
            error,
        },
    };
    let file = OpenOptions::new().read(true).open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    // One byte more than a secret has shows that the file is too long without reading all of it.
    let mut text = Vec::new();
    file.take(2 * SECRET_LEN as u64 + 2)
        .read_to_end(&mut text)
        .map_err(failed)?;
    std::str::from_utf8(&text)
        .ok()
        .and_then(Secret::parse)
        .ok_or_else(|| SecretError::Malformed(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Secret, SecretError, create, load};
    use std::fs::{Permissions, read_to_string, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_is_created_is_loaded_and_never_overwritten() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("below/cluster_secret");
        let secret = create(&path).expect("made");
        assert_eq!(read_to_string(&path).expect("text").len(), 65);
        let mode = path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(load(&path).expect("loaded").0, secret.0);
        assert!(matches!(create(&path), Err(SecretError::Exists(_))));
        assert_eq!(load(&path).expect("still there").0, secret.0);
        assert_ne!(
            create(&directory.path().join("other")).expect("made").0,
            secret.0
        );
    }

    #[test]
    fn bad_files_say_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s");
        let why = || load(&path).expect_err("refused").to_string();
        assert!(why().contains("splitter secret new --path"), "{}", why());
        for text in [
            "",
            "abc\n",
            &("0".repeat(63) + "x\n"),
            &("0".repeat(66)),
            &"é".repeat(32),
        ] {
            write(&path, text).expect("written");
            set_permissions(&path, Permissions::from_mode(0o600)).expect("set");
            assert!(why().contains("64 hex digits"), "{}", why());
        }
        set_permissions(&path, Permissions::from_mode(0o640)).expect("set");
        assert!(
            why().contains("permissions 0640") && why().contains("chmod 600"),
            "{}",
            why()
        );
    }

    #[test]
    fn keys_are_stable_and_differ_by_every_part() {
        let secret = Secret([7; 32]);
        let salt = |parts: &[&str]| {
            let key = secret.derive("salt", parts);
            (key.k0, key.k1)
        };
        assert_eq!(salt(&["shop", "1"]), salt(&["shop", "1"]));
        assert_ne!(salt(&["shop", "1"]), salt(&["shop", "2"]));
        assert_ne!(salt(&["ab", "c"]), salt(&["a", "bc"]));
        assert_ne!(salt(&["ab"]), salt(&["ab", ""]));
        let other = secret.derive("backend", &["shop", "1"]);
        assert_ne!((other.k0, other.k1), salt(&["shop", "1"]));
        // Hosts of different releases of splitter must agree: this value may never change.
        // From Python: hmac.new(b"\x07"*32, le64(4)+b"salt"+le64(4)+b"shop"+le64(1)+b"1", sha256)
        assert_eq!(salt(&["shop", "1"]), PUBLISHED);
    }

    const PUBLISHED: (u64, u64) = (0x0d8cbe9e14b80af3, 0xc42540257a2314af);

    #[test]
    fn a_secret_does_not_print_itself() {
        let secret = Secret([0xab; 32]);
        assert_eq!(
            format!("{secret:?}"),
            format!("Secret({})", secret.digest())
        );
        assert_eq!(secret.digest().len(), 8);
        assert!(!format!("{secret:?}").contains("abab"));
    }
}
