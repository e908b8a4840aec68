//! Owns where things lie: the workspace, its target folder, cargo's folder for installed programs.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The top folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    // cargo tells the present place at run time; the compiled-in one is stale after the folder
    // moved.
    let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest_dir
        .parent()
        .map_or_else(|| manifest_dir.clone(), Path::to_path_buf)
}

/// cargo's target folder, absolute. splitter-user/build.rs looks in the same one.
pub(crate) fn target() -> PathBuf {
    let named = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target"));
    workspace().join(named)
}

/// A release binary of the workspace, absolute.
pub(crate) fn release_binary(name: &str) -> PathBuf {
    target().join("release").join(name)
}

/// The folder where `cargo install` puts programs, without `bin`.
pub(crate) fn cargo_install_root() -> Option<PathBuf> {
    env::var_os("CARGO_INSTALL_ROOT")
        .or_else(|| env::var_os("CARGO_HOME"))
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
}

/// The folders in which children find programs: what `cargo install` put there first, then PATH,
/// then the folders of administrators' programs, which Debian leaves out of a user's PATH.
pub(crate) fn search_path() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = cargo_install_root()
        .map(|root| root.join("bin"))
        .into_iter()
        .collect();
    dirs.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    dirs.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    dirs
}

/// The first file of that name in `dirs`.
pub(crate) fn find_in(dirs: &[PathBuf], name: &str) -> Option<PathBuf> {
    dirs.iter()
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// Is the program on the search path?
pub(crate) fn has_program(name: &str) -> bool {
    find_in(&search_path(), name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_that_has_the_program_wins() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dirs = [first.path().to_path_buf(), second.path().to_path_buf()];
        assert_eq!(find_in(&dirs, "bpf-linker"), None);
        std::fs::write(second.path().join("bpf-linker"), "").unwrap();
        assert_eq!(
            find_in(&dirs, "bpf-linker"),
            Some(second.path().join("bpf-linker"))
        );
        std::fs::write(first.path().join("bpf-linker"), "").unwrap();
        assert_eq!(
            find_in(&dirs, "bpf-linker"),
            Some(first.path().join("bpf-linker"))
        );
    }
}
