//! Puts the eBPF object that `cargo xtask build` made where the crate can embed it:
//! OUT_DIR/splitter.o.
//!
//! It builds nothing: the object wants another compiler. `SPLITTER_EBPF_OBJECT` names an object
//! elsewhere.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::{env, fs, process};

fn main() {
    println!("cargo:rerun-if-env-changed=SPLITTER_EBPF_OBJECT");
    println!("cargo:rerun-if-env-changed=CARGO_TARGET_DIR");
    if let Err(sentence) = embed() {
        eprintln!("{sentence}");
        process::exit(1);
    }
}

fn embed() -> Result<(), String> {
    let place = |name: &str| env::var_os(name).map(PathBuf::from);
    let workspace = place("CARGO_MANIFEST_DIR")
        .and_then(|dir| dir.parent().map(Path::to_path_buf))
        .ok_or("splitter-user has no folder above it")?;
    // xtask takes a relative CARGO_TARGET_DIR from the workspace too.
    let target = workspace.join(place("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    let object = place("SPLITTER_EBPF_OBJECT").unwrap_or_else(|| target.join("ebpf/splitter.o"));
    println!("cargo:rerun-if-changed={}", object.display());
    let copy = place("OUT_DIR")
        .ok_or("cargo sets no OUT_DIR")?
        .join("splitter.o");
    if !object.is_file() {
        return Err(format!(
            "no eBPF object at {}: run `cargo xtask build`",
            object.display()
        ));
    }
    fs::copy(&object, &copy).map_err(|error| format!("{}: {error}", object.display()))?;
    Ok(())
}
