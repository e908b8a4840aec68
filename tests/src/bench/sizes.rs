//! Owns the sizes of splitter's programs: as the kernel tells them, as they are recorded in the
//! repository, and how far they may be apart.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use splitter_user::dataplane::{DataPlane, Options};
use splitter_user::model::Limits;

/// What the whole program may have at most.
pub const VERIFIED_INSNS_MAX: u32 = 100_000;
/// What the whole program may have at most.
pub const JITED_BYTES_MAX: u32 = 32 << 10;
/// How much larger or smaller than recorded a figure may be.
const TOLERANCE: f64 = 0.1;

/// How large a loaded program is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramSize {
    /// Its name in the object.
    pub name: String,
    /// Instructions that the verifier walked.
    pub verified_insns: u32,
    /// Bytes after the verifier.
    pub xlated_bytes: u32,
    /// Bytes of machine code.
    pub jited_bytes: u32,
}

/// Sizes by kernel series, `6.18` say: each verifier walks another way.
type Recorded = BTreeMap<String, Vec<ProgramSize>>;

/// The sizes on this kernel.
///
/// # Errors
///
/// When the programs do not load.
pub fn measure() -> Result<Vec<ProgramSize>> {
    let mut plane = DataPlane::open(&Options {
        pin_dir: None,
        limits: Limits {
            flows: 1_024,
            pending: 1_024,
            ..Limits::default()
        },
    })?;
    let told = "the kernel does not tell the program's size";
    let mut names = Vec::new();
    for frags in [false, true] {
        plane.loaded(frags)?;
        names.extend(DataPlane::path_programs(frags));
    }
    names
        .into_iter()
        .map(|name| {
            let info = plane.program(name)?.info()?;
            Ok(ProgramSize {
                name: name.to_owned(),
                verified_insns: info.verified_instruction_count().context(told)?,
                xlated_bytes: info.size_translated().context(told)?,
                jited_bytes: info.size_jitted(),
            })
        })
        .collect()
}

/// What is recorded for this kernel's series; `None` for a series that nobody recorded.
///
/// # Errors
///
/// When the file cannot be read.
pub fn recorded() -> Result<Option<Vec<ProgramSize>>> {
    Ok(read()?.remove(&series()))
}

/// Records the sizes for this kernel's series.
///
/// # Errors
///
/// When the file cannot be read or written.
pub fn record(sizes: &[ProgramSize]) -> Result<()> {
    let mut all = read()?;
    all.insert(series(), sizes.to_vec());
    let text = serde_json::to_string_pretty(&all)? + "\n";
    std::fs::write(path(), text).with_context(|| path().display().to_string())
}

/// Where a figure is further from what is recorded than it may be, or over its limit.
pub fn faults(measured: &ProgramSize, recorded: Option<&ProgramSize>) -> Vec<String> {
    let mut faults = Vec::new();
    let figures = |size: &ProgramSize| {
        [
            ("verified instructions", size.verified_insns),
            ("bytes xlated", size.xlated_bytes),
            ("bytes jited", size.jited_bytes),
        ]
    };
    let pairs = recorded.map(|recorded| figures(measured).into_iter().zip(figures(recorded)));
    for ((what, now), (_, then)) in pairs.into_iter().flatten() {
        if (f64::from(now) / f64::from(then) - 1.0).abs() > TOLERANCE {
            faults.push(format!(
                "{}: {now} {what}, recorded are {then}; if that is meant: cargo xtask bench --sizes",
                measured.name
            ));
        }
    }
    for (what, now, most) in [
        (
            "verified instructions",
            measured.verified_insns,
            VERIFIED_INSNS_MAX,
        ),
        ("bytes jited", measured.jited_bytes, JITED_BYTES_MAX),
    ] {
        if now > most {
            faults.push(format!("{}: {now} {what}, at most {most}", measured.name));
        }
    }
    faults
}

fn read() -> Result<Recorded> {
    let text = std::fs::read(path()).with_context(|| path().display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path().display().to_string())
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("program-sizes.json")
}

fn series() -> String {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    release.split('.').take(2).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_and_a_limit_are_told() {
        let size = |verified_insns| ProgramSize {
            name: "splitter".to_owned(),
            verified_insns,
            xlated_bytes: 40_000,
            jited_bytes: 24_000,
        };
        let told = |now, then: Option<u32>| faults(&size(now), then.map(size).as_ref()).len();
        assert_eq!(told(80_000, Some(80_000)), 0);
        assert_eq!(told(83_000, Some(80_000)), 0);
        assert_eq!(told(89_000, Some(80_000)), 1);
        assert_eq!(told(71_000, Some(80_000)), 1);
        assert_eq!(told(101_000, None), 1);
        assert_eq!(told(101_000, Some(80_000)), 2);
    }
}
