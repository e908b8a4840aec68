//! What is seen in made-up folders and texts of compilers, sources and linkers.

use super::*;

fn made_up(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

#[test]
fn rustup_sources_need_the_lock_file_and_core() {
    const LOCK: (&str, &str) = ("lib/rustlib/src/rust/library/Cargo.lock", "");
    const CORE: (&str, &str) = ("lib/rustlib/src/rust/library/core/Cargo.toml", "");
    assert_eq!(
        sources_in(made_up(&[("lib/rustlib/etc/x", "")]).path()),
        Sources::Missing
    );
    assert_eq!(sources_in(made_up(&[CORE]).path()), Sources::Missing);
    assert_eq!(sources_in(made_up(&[LOCK]).path()), Sources::Missing);
    assert_eq!(
        sources_in(made_up(&[LOCK, CORE]).path()),
        Sources::Unstamped
    );
}

#[test]
fn debian_sources_name_their_version() {
    let sysroot = made_up(&[
        ("lib/rustlib/src/rust/library/Cargo.lock", ""),
        ("lib/rustlib/src/rust/library/core/Cargo.toml", ""),
        ("lib/rustlib/src/rust/src/version", "1.96.0\n"),
    ]);
    assert_eq!(sources_in(sysroot.path()), Sources::Of("1.96.0".into()));
}

#[test]
fn rustc_tells_release_and_llvm() {
    let text = "rustc 1.96.0 (ac68faa20 2026-05-25)\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
    assert_eq!(version_of(text), Some(("1.96.0".into(), 22)));
    assert_eq!(version_of("rustc 1.96.0\n"), None);
}

#[test]
fn debian_and_its_kin_are_told_from_others() {
    assert_eq!(os_of("PRETTY_NAME=\"Debian\"\nID=debian\n"), Os::Debian);
    assert_eq!(os_of("ID=ubuntu\nID_LIKE=debian\n"), Os::Debian);
    assert_eq!(
        os_of("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"),
        Os::Debian
    );
    assert_eq!(os_of("ID=fedora\nVARIANT_ID=debian\n"), Os::Other);
    assert_eq!(os_of(""), Os::Other);
}

#[test]
fn the_llvm_of_a_linker_is_read_from_the_program() {
    assert_eq!(
        llvm_needed_by(b"\0libgcc_s.so.1\0libLLVM.so.22.1\0"),
        Some(22)
    );
    assert_eq!(llvm_needed_by(b"\0libLLVM-21.so.1\0"), Some(21));
    assert_eq!(llvm_needed_by(b"\0libLLVM-\0 libLLVM.so.x"), None);
    assert_eq!(llvm_needed_by(b""), None);
}

#[test]
fn the_llvm_of_a_static_linker_is_read_from_the_install_record() {
    let record = r#"{"installs":{
        "other 1.0.0 (x)":{"features":["llvm-19"]},
        "bpf-linker 0.13.0 (x)":{"features":["llvm-link-static","llvm-22"]}}}"#;
    assert_eq!(llvm_in_install_record(record), Some(22));
    assert_eq!(llvm_in_install_record("{}"), None);
    assert_eq!(llvm_in_install_record("not json"), None);
}

#[test]
fn llvm_folders_count_only_when_complete() {
    let lib = made_up(&[
        ("llvm-22/bin/llvm-config", ""),
        ("llvm-22/include/llvm-c/Core.h", ""),
        ("llvm-21/bin/llvm-config", ""),
        ("llvm-21/include/llvm-c/Core.h", ""),
        ("llvm-20/bin/llvm-config", ""),
        ("llvm-19/include/llvm-c/Core.h", ""),
        ("llvm/bin/llvm-config", ""),
    ]);
    assert_eq!(llvm_dev_in(lib.path()), [21, 22]);
    assert!(llvm_dev_in(&lib.path().join("none")).is_empty());
}
