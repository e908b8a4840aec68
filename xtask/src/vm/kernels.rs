//! Owns the kernels that are tested: which, where they come from, what is wanted of them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::packages::{Apt, Archive};

/// The meta package that names each suite's newest kernel.
const META: &str = "linux-image-amd64";

/// What the namespaces of the tests are made of, each behind those it needs.
const MODULES: [&str; 4] = [
    "drivers/net/veth",
    "net/llc/llc",
    "net/802/stp",
    "net/bridge/bridge",
];

/// A kernel of the matrix.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    /// What `--kernel` calls it.
    pub(super) name: &'static str,
    suite: &'static str,
    /// Too old for splitter: it must be refused.
    pub(super) refused: bool,
    /// Part of `cargo xtask test` and of a run without arguments.
    pub(super) usual: bool,
}

/// The matrix, oldest first.
pub(super) const MATRIX: [Kernel; 4] = [
    kernel("5.10", "bullseye-security", true, true),
    kernel("6.1", "bookworm", false, true),
    kernel("6.12", "trixie", false, false),
    kernel("newest", "trixie-backports", false, true),
];

const fn kernel(name: &'static str, suite: &'static str, refused: bool, usual: bool) -> Kernel {
    Kernel {
        name,
        suite,
        refused,
        usual,
    }
}

/// The kernels that a command line asks for.
pub(super) fn choose(names: &[String], all: bool) -> Result<Vec<&'static Kernel>> {
    for name in names {
        if !MATRIX.iter().any(|kernel| kernel.name == name) {
            let known = MATRIX.map(|kernel| kernel.name).join(", ");
            bail!("there is no kernel {name} in the matrix: it has {known}");
        }
    }
    let wanted = |kernel: &&Kernel| {
        all || names.iter().any(|name| name == kernel.name) || names.is_empty() && kernel.usual
    };
    Ok(MATRIX.iter().filter(wanted).collect())
}

/// A kernel's unpacked files.
pub(super) struct Files {
    /// `6.1.0-50-amd64`.
    pub(super) release: String,
    /// The bootable image.
    pub(super) image: PathBuf,
    /// The modules that the tests need, in the order of loading.
    pub(super) modules: Vec<PathBuf>,
}

impl Kernel {
    /// Fetches the newest of this line into `dir`, unless it is there.
    pub(super) fn fetch(&self, dir: &Path, archive: &Archive) -> Result<Files> {
        let root = dir.join("root");
        let stamp = dir.join("complete");
        if !stamp.exists() {
            let apt = Apt::new(dir.join("apt"), archive, &[self.suite], false)?;
            let image = one(&apt.depends(META)?, "linux-image-")?;
            // Newer kernels are split: the image package is empty and depends on its parts.
            let mut packages: Vec<String> = apt
                .depends(&image)?
                .into_iter()
                .filter(|name| {
                    ["linux-binary-", "linux-modules-"]
                        .iter()
                        .any(|part| name.starts_with(part))
                })
                .collect();
            packages.push(image);
            eprintln!("xtask: fetching {}", packages.join(" "));
            apt.unpack(&packages, &root)?;
            fs::write(stamp, "")?;
        }
        files(&root).with_context(|| format!("the kernel {} in {}", self.name, root.display()))
    }
}

fn one(names: &[String], prefix: &str) -> Result<String> {
    let found = names.iter().find(|name| name.starts_with(prefix)).cloned();
    found.with_context(|| format!("{META} depends on no {prefix}*"))
}

fn files(root: &Path) -> Result<Files> {
    let modules_dir = ["lib/modules", "usr/lib/modules"]
        .map(|dir| root.join(dir))
        .into_iter()
        .find(|dir| dir.is_dir())
        .context("no folder of modules")?;
    let release = first_name(&modules_dir)?;
    let modules_dir = modules_dir.join(&release);
    let image = [
        root.join("boot").join(format!("vmlinuz-{release}")),
        modules_dir.join("vmlinuz"),
    ]
    .into_iter()
    .find(|image| image.is_file())
    .context("no vmlinuz")?;
    let modules: Result<Vec<PathBuf>> = MODULES
        .iter()
        .map(|module| {
            ["ko", "ko.xz", "ko.zst"]
                .map(|ending| modules_dir.join(format!("kernel/{module}.{ending}")))
                .into_iter()
                .find(|path| path.is_file())
                .with_context(|| format!("no module {module}"))
        })
        .collect();
    Ok(Files {
        release,
        image,
        modules: modules?,
    })
}

fn first_name(dir: &Path) -> Result<String> {
    let entry = fs::read_dir(dir)?.next().context("an empty folder")??;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(asked: &[&str], all: bool) -> Vec<&'static str> {
        let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
        let chosen = choose(&asked, all).unwrap();
        chosen.iter().map(|kernel| kernel.name).collect()
    }

    #[test]
    fn kernels_are_chosen_by_name_or_all_or_as_usual() {
        assert_eq!(names(&[], false), ["5.10", "6.1", "newest"]);
        assert_eq!(names(&["6.12"], false), ["6.12"]);
        assert_eq!(names(&[], true).len(), MATRIX.len());
        let error = choose(&["6.2".to_owned()], false).unwrap_err().to_string();
        assert!(error.contains("5.10, 6.1, 6.12, newest"), "{error}");
    }

    #[test]
    fn files_are_found_in_both_layouts_of_packages() {
        for (dir, image, ending) in [
            ("lib/modules/6.1", "boot/vmlinuz-6.1", "ko"),
            ("usr/lib/modules/7", "usr/lib/modules/7/vmlinuz", "ko.xz"),
        ] {
            let root = tempfile::tempdir().unwrap();
            let dir = root.path().join(dir);
            fs::create_dir_all(root.path().join("boot")).unwrap();
            let modules =
                MODULES.map(|module| dir.join("kernel").join(format!("{module}.{ending}")));
            for module in &modules {
                fs::create_dir_all(module.parent().unwrap()).unwrap();
                assert!(files(root.path()).is_err());
                fs::write(module, "").unwrap();
            }
            assert!(files(root.path()).is_err());
            fs::write(root.path().join(image), "").unwrap();
            let found = files(root.path()).unwrap();
            assert_eq!(found.image, root.path().join(image));
            assert_eq!(found.modules, modules);
        }
    }
}
