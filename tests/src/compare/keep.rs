//! Owns the folders of cases that once failed: one text file each, run again before anything new.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{Failure, Lab, replay, step};

/// A case that failed once.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its file's name.
    pub name: String,
    text: String,
}

/// The cases of a folder below `tests/`, by name.
///
/// # Errors
///
/// When the folder cannot be read.
pub fn kept(folder: &str) -> Result<Vec<Kept>> {
    let mut all = Vec::new();
    let folder = path(folder);
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "case")
        {
            let name = path.file_name().unwrap_or_default();
            all.push(Kept {
                name: name.to_string_lossy().into_owned(),
                text: fs::read_to_string(&path)?,
            });
        }
    }
    all.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(all)
}

impl Kept {
    /// Runs it again, on both programs.
    ///
    /// # Errors
    ///
    /// When the two sides still differ, or the text is no case.
    pub fn run(&self, lab: &mut Lab) -> Result<()> {
        let steps = step::parse(&self.text)?;
        for frags in [false, true] {
            lab.frags = frags;
            match replay(lab, &steps) {
                Ok(seen) if seen.packets == 0 => bail!("it has no packet after a valid commit"),
                Ok(_) => {}
                Err(failure) => bail!("{failure}"),
            }
        }
        Ok(())
    }
}

/// Writes a case down, with what the two sides said; where it is.
pub(super) fn keep(folder: &str, name: &str, seed: u64, failure: &Failure) -> Result<String> {
    let file = path(folder).join(format!("{name}-{seed:016x}.case"));
    let mut text = format!("# SPLITTER_SEED={seed:#x}\n");
    for line in failure.why.lines() {
        text += &format!("# {line}\n");
    }
    for step in &failure.steps {
        text += &format!("{step}\n");
    }
    fs::write(&file, text).with_context(|| file.display().to_string())?;
    Ok(file.display().to_string())
}

fn path(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}
