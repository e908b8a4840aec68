//! Owns packages that are fetched but never installed: apt with sources, lists and a cache of our
//! own, so that the machine's stay as they are.
//!
//! Host and scheme come from the machine's own sources; only suites are added.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::child;

/// What all of Debian's archives are signed with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where the machine gets Debian's packages.
pub(super) struct Archive {
    /// The archive itself.
    main: String,
    /// Its security updates.
    security: String,
    /// The machine's own release: `bookworm`.
    pub(super) codename: String,
}

impl Archive {
    /// Reads the machine's sources.
    pub(super) fn of_this_machine() -> Result<Self> {
        if std::env::consts::ARCH != "x86_64" {
            bail!("the machines are x86_64, which this one is not: its programs do not run there");
        }
        let mut query = child::program("apt-get");
        query.args(["indextargets", "--format", "$(REPO_URI) $(RELEASE)"]);
        query.arg("Created-By: Packages");
        let listed = child::capture(&mut query).unwrap_or_default();
        let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        Self::read(&listed, &os_release)
    }

    fn read(listed: &str, os_release: &str) -> Result<Self> {
        let codename = os_release
            .lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
            .map(|name| name.trim_matches('"').to_owned());
        let uri = |wanted: &str| {
            listed
                .lines()
                .filter_map(|line| line.split_once(' '))
                .find(|(_, suite)| *suite == wanted)
                .map(|(uri, _)| uri.to_owned())
        };
        let found = codename.and_then(|codename| {
            Some(Self {
                main: uri(&codename)?,
                security: uri(&format!("{codename}-security"))?,
                codename,
            })
        });
        found.context(
            "the kernels come from Debian's archive, and this machine's apt has none (a suite and \
             its -security)",
        )
    }

    fn uri(&self, suite: &str) -> &str {
        if suite.ends_with("-security") {
            &self.security
        } else {
            &self.main
        }
    }
}

/// An apt of our own over some suites.
pub(super) struct Apt {
    dir: PathBuf,
    options: Vec<String>,
}

impl Apt {
    /// Makes it below `dir` and reads the lists. `installed`: counting what this machine has.
    pub(super) fn new(
        dir: PathBuf,
        archive: &Archive,
        suites: &[&str],
        installed: bool,
    ) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(part))?;
        }
        let sources: String = suites
            .iter()
            .map(|suite| {
                format!(
                    "deb [signed-by={KEYRING}] {} {suite} main\n",
                    archive.uri(suite)
                )
            })
            .collect();
        fs::write(dir.join("sources.list"), sources)?;
        fs::write(dir.join("status"), "")?;
        let status = if installed {
            PathBuf::from("/var/lib/dpkg/status")
        } else {
            dir.join("status")
        };
        let place = |name: &str, path: &Path| format!("{name}={}", path.display());
        let options = vec![
            place("Dir::Etc::SourceList", &dir.join("sources.list")),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            place("Dir::State::Lists", &dir.join("lists")),
            place("Dir::State::Status", &status),
            place("Dir::Cache", &dir.join("cache")),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Retries=3".to_owned(),
            "APT::Sandbox::User=".to_owned() + if child::is_root() { "root" } else { "" },
            "Debug::NoLocking=true".to_owned(),
        ];
        let apt = Self { dir, options };
        child::quietly(apt.command("apt-get").args(["-q", "update"]))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = child::program(program);
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }

    /// The packages that a package depends on.
    pub(super) fn depends(&self, package: &str) -> Result<Vec<String>> {
        let mut query = self.command("apt-cache");
        query.args(["depends", "--important", package]);
        let text = child::capture(&mut query)
            .with_context(|| format!("the archive has no package {package}"))?;
        Ok(depends_in(&text))
    }

    /// Fetches packages by name and unpacks them into `into`.
    pub(super) fn unpack(&self, packages: &[String], into: &Path) -> Result<()> {
        let archives = self.fresh("download")?;
        let mut command = self.command("apt-get");
        command
            .current_dir(&archives)
            .args(["-q", "download"])
            .args(packages);
        child::quietly(&mut command)?;
        unpack_all(&archives, into)?;
        fs::remove_dir_all(archives)?;
        Ok(())
    }

    /// Fetches packages with all of their dependencies that are not installed, from `release`
    /// where that has them, and unpacks them into `into`.
    pub(super) fn unpack_closure(
        &self,
        packages: &[&str],
        release: Option<&str>,
        into: &Path,
    ) -> Result<()> {
        let mut command = self.command("apt-get");
        command.args([
            "-q",
            "-y",
            "--download-only",
            "--no-install-recommends",
            "--reinstall",
        ]);
        if let Some(release) = release {
            command.args(["-t", release]);
        }
        child::quietly(command.arg("install").args(packages))?;
        unpack_all(&self.dir.join("cache/archives"), into)
    }

    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}

fn unpack_all(archives: &Path, into: &Path) -> Result<()> {
    for entry in fs::read_dir(archives)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let mut command = child::program("dpkg-deb");
            child::run(command.arg("-x").arg(&path).arg(into))?;
        }
    }
    Ok(())
}

fn depends_in(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.trim_start().split_once("Depends: "))
        .map(|(_, name)| name.trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_the_one_of_the_machines_own_suite() {
        let listed =
            "http://a/debian/ bookworm\nhttp://b/security/ bookworm-security\nhttp://c/ x\n";
        let archive = Archive::read(listed, "ID=debian\nVERSION_CODENAME=bookworm\n").unwrap();
        assert_eq!(archive.codename, "bookworm");
        assert_eq!(archive.uri("trixie-backports"), "http://a/debian/");
        assert_eq!(archive.uri("bullseye-security"), "http://b/security/");
        assert!(Archive::read(listed, "ID=fedora\n").is_err());
        assert!(Archive::read("", "VERSION_CODENAME=bookworm\n").is_err());
    }

    #[test]
    fn dependencies_are_read_from_apt_cache() {
        let text = "linux-image-7\n  PreDepends: linux-base\n |Depends: <dracut>\n  Depends: \
                    linux-binary-7.3\n";
        assert_eq!(
            depends_in(text),
            ["linux-base", "<dracut>", "linux-binary-7.3"]
        );
    }
}
