//! Owns the initramfs: the static init, the test programs with the libraries that they load, the
//! kernel's modules, and the lines to run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cpio::newc::{Builder, trailer};

use crate::child;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CONSOLE: u32 = 0o020_600;

/// What goes in.
#[derive(Default)]
pub(super) struct Initramfs {
    files: BTreeMap<PathBuf, Content>,
}

enum Content {
    File(PathBuf),
    Text(String),
}

impl Initramfs {
    /// Adds a file under an absolute name.
    pub(super) fn file(&mut self, name: impl Into<PathBuf>, source: &Path) {
        self.files
            .insert(name.into(), Content::File(source.to_path_buf()));
    }

    /// Adds a file of that text.
    pub(super) fn text(&mut self, name: impl Into<PathBuf>, text: String) {
        self.files.insert(name.into(), Content::Text(text));
    }

    /// Adds all files of a folder under the names they have here.
    pub(super) fn folder(&mut self, dir: &Path) -> Result<()> {
        for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                self.folder(&path)?;
            } else {
                self.file(&path, &path);
            }
        }
        Ok(())
    }

    /// Adds a program as `/bin/NAME`, with the libraries that the loader would find for it.
    pub(super) fn program(&mut self, name: &str, source: &Path) -> Result<()> {
        self.file(Path::new("/bin").join(name), source);
        let mut query = child::program("ldd");
        let listed = child::capture(query.arg(source))
            .with_context(|| format!("ldd cannot read {}", source.display()))?;
        for library in libraries_in(&listed) {
            self.file(&library, &library);
        }
        Ok(())
    }

    /// Writes the archive (newc, as Documentation/driver-api/early-userspace/buffer-format.rst).
    pub(super) fn write(&self, to: &Path) -> Result<()> {
        let mut out = BufWriter::new(File::create(to)?);
        let mut dirs: Vec<&Path> = self
            .files
            .keys()
            .flat_map(|name| name.ancestors().skip(1))
            .chain([Path::new("/dev"), Path::new("/modules")])
            .filter(|dir| *dir != Path::new("/"))
            .collect();
        // A folder before what is in it.
        dirs.sort();
        dirs.dedup();
        for dir in dirs {
            out = entry(out, dir, DIRECTORY, &[])?;
        }
        let console = Builder::new("dev/console")
            .mode(CONSOLE)
            .rdev_major(5)
            .rdev_minor(1);
        out = console.write(out, 0).finish()?;
        for (name, content) in &self.files {
            let bytes = match content {
                Content::Text(text) => text.clone().into_bytes(),
                Content::File(path) => {
                    fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
                }
            };
            out = entry(out, name, PROGRAM, &bytes)?;
        }
        trailer(out)?.flush()?;
        Ok(())
    }
}

fn entry<W: Write>(out: W, name: &Path, mode: u32, bytes: &[u8]) -> Result<W> {
    let name = name.strip_prefix("/").unwrap_or(name).to_string_lossy();
    let length = u32::try_from(bytes.len()).context("a file of 4 GiB")?;
    let mut writer = Builder::new(&name).mode(mode).write(out, length);
    writer.write_all(bytes)?;
    Ok(writer.finish()?)
}

/// The files that ldd names: libraries with `=>`, the loader alone.
fn libraries_in(listed: &str) -> Vec<PathBuf> {
    listed
        .lines()
        .filter_map(|line| {
            let line = line.split_once("=>").map_or(line, |(_, path)| path);
            line.split_whitespace().next()
        })
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_are_read_from_ldd() {
        let listed = "\tlinux-vdso.so.1 (0x7f)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x7f)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x7f)\n\tstatically linked\n";
        assert_eq!(
            libraries_in(listed),
            [
                Path::new("/lib/x/libc.so.6"),
                Path::new("/lib64/ld-linux-x86-64.so.2")
            ]
        );
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.cpio");
        let mut initramfs = Initramfs::default();
        initramfs.text("/a/b/c", "hello".into());
        initramfs.write(&path).unwrap();
        let mut input = File::open(&path).unwrap();
        let mut names = Vec::new();
        loop {
            let reader = cpio::newc::Reader::new(input).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            names.push(reader.entry().name().to_owned());
            input = reader.finish().unwrap();
        }
        assert_eq!(
            names,
            ["a", "a/b", "dev", "modules", "dev/console", "a/b/c"]
        );
    }
}
