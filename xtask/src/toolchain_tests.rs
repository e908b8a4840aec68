//! Which road is chosen on which machine, and what is said about each thing that is missing.

use super::*;
use crate::machine::Linker;

fn compiler(release: &str, llvm: u32, sources: Sources) -> Option<Compiler> {
    Some(Compiler {
        release: release.to_owned(),
        llvm,
        sources,
        cargo: true,
    })
}

fn linker(version: &str, llvm: Option<u32>) -> Option<Linker> {
    Some(Linker {
        version: Some(version.to_owned()),
        llvm,
    })
}

/// A Debian with everything of its own, and a nightly without sources.
fn debian() -> Machine {
    Machine {
        os: Os::Debian,
        nightly: compiler("1.97.0-nightly", 22, Sources::Missing),
        system: compiler("1.96.0", 22, Sources::Of("1.96.0".into())),
        linker: linker("0.13.0", Some(22)),
        llvm_dev: vec![22],
        bpftool: true,
        prometheus: true,
        promtool: true,
        nft: true,
        ip: true,
        faketime: true,
        curl: true,
        python3: true,
    }
}

/// A Debian with a stable Rust of rustup's and nothing else.
fn bare(os: Os) -> Machine {
    Machine {
        os,
        nightly: None,
        system: None,
        linker: None,
        llvm_dev: Vec::new(),
        bpftool: false,
        prometheus: false,
        promtool: false,
        nft: false,
        ip: false,
        faketime: false,
        curl: false,
        python3: false,
    }
}

/// The one sentence about a machine on the road chosen for it.
fn sentence(machine: &Machine) -> String {
    let mut lacks = lacks(choose(machine), Scope::Build, machine);
    assert_eq!(lacks.len(), 1, "{lacks:?}");
    lacks.remove(0).sentence
}

#[test]
fn a_complete_nightly_comes_first() {
    let nightly = compiler("1.97.0-nightly", 22, Sources::Unstamped);
    let machine = Machine {
        nightly,
        ..debian()
    };
    assert_eq!(choose(&machine), Road::Nightly);
    assert_eq!(lacks(Road::Nightly, Scope::Tests, &machine), []);
}

#[test]
fn a_nightly_without_sources_does_not_count() {
    assert_eq!(choose(&debian()), Road::System);
    assert_eq!(lacks(Road::System, Scope::Tests, &debian()), []);
    let lacks = lacks(Road::Nightly, Scope::Build, &debian());
    assert_eq!(
        lacks[0].sentence,
        "the nightly rustc 1.97.0-nightly has no sources of core beside it: run `rustup component add \
         rust-src --toolchain nightly`"
    );
}

#[test]
fn a_nightly_whose_llvm_is_not_the_linkers_gives_way_to_a_complete_debian() {
    let nightly = compiler("1.99.0-nightly", 23, Sources::Unstamped);
    assert_eq!(
        choose(&Machine {
            nightly,
            ..debian()
        }),
        Road::System
    );
}

#[test]
fn sources_of_another_version_do_not_match() {
    let system = compiler("1.96.0", 22, Sources::Of("1.85.0".into()));
    assert_eq!(
        sentence(&Machine { system, ..debian() }),
        "the sources of core are those of Rust 1.85.0, not of /usr/bin/rustc 1.96.0: run `apt-get install \
         rustc-web cargo-web rust-web-src`"
    );
}

#[test]
fn absent_and_nameless_sources_are_told_apart() {
    let system = compiler("1.96.0", 22, Sources::Missing);
    assert_eq!(
        sentence(&Machine { system, ..debian() }),
        "/usr/bin/rustc 1.96.0 has no sources of core beside it: run `apt-get install rustc-web cargo-web \
         rust-web-src`"
    );
    let system = compiler("1.96.0", 22, Sources::Unstamped);
    assert!(sentence(&Machine { system, ..debian() }).contains("do not say their version"));
}

#[test]
fn an_older_rust_of_debian_is_replaced() {
    let system = compiler("1.85.0", 19, Sources::Of("1.85.0".into()));
    assert_eq!(
        sentence(&Machine { system, ..debian() }),
        "/usr/bin/rustc 1.85.0 has LLVM 19, and bpf-linker 0.13.0 can read only 21 to 23: run `apt-get install \
         rustc-web cargo-web rust-web-src`"
    );
}

#[test]
fn a_rustc_without_cargo_is_named() {
    let mut machine = debian();
    machine.system.as_mut().unwrap().cargo = false;
    assert!(sentence(&machine).starts_with("there is no /usr/bin/cargo: run `apt-get install "));
}

#[test]
fn a_missing_linker_is_built_with_the_compilers_llvm() {
    let machine = Machine {
        linker: None,
        ..debian()
    };
    assert_eq!(
        sentence(&machine),
        "bpf-linker is missing: run `LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --version 0.13.0 \
         --no-default-features --features llvm-22 --locked`"
    );
    let machine = Machine {
        llvm_dev: Vec::new(),
        ..machine
    };
    let text = sentence(&machine);
    let packages =
        "`apt-get install llvm-22-dev libpolly-22-dev libzstd-dev zlib1g-dev && LLVM_PREFIX=";
    assert!(text.contains(packages), "{text}");
}

#[test]
fn a_linker_of_another_version_or_llvm_is_replaced() {
    let older = sentence(&Machine {
        linker: linker("0.9.14", Some(22)),
        ..debian()
    });
    assert!(
        older.starts_with("bpf-linker is 0.9.14, and 0.13.0 is wanted: run `"),
        "{older}"
    );
    assert!(older.ends_with(" --force`"), "{older}");
    let other = sentence(&Machine {
        linker: linker("0.13.0", Some(23)),
        ..debian()
    });
    let expected = "bpf-linker was built with LLVM 23, and the compiler has LLVM 22: run `";
    assert!(other.starts_with(expected), "{other}");
    let broken = Some(Linker {
        version: None,
        llvm: Some(22),
    });
    assert!(
        sentence(&Machine {
            linker: broken,
            ..debian()
        })
        .starts_with("bpf-linker does not run: ")
    );
}

#[test]
fn an_llvm_that_cannot_be_told_is_no_fault() {
    let machine = Machine {
        linker: linker("0.13.0", None),
        ..debian()
    };
    assert_eq!(lacks(Road::System, Scope::Build, &machine), []);
}

#[test]
fn a_nightly_that_wants_only_a_linker_gets_one() {
    let nightly = compiler("1.99.0-nightly", 23, Sources::Unstamped);
    let machine = Machine {
        nightly,
        llvm_dev: vec![23],
        ..bare(Os::Debian)
    };
    assert_eq!(choose(&machine), Road::Nightly);
    assert!(sentence(&machine).contains("LLVM_PREFIX=/usr/lib/llvm-23 "));
}

#[test]
fn a_bare_debian_is_mended_by_apt() {
    let machine = bare(Os::Debian);
    assert_eq!(choose(&machine), Road::System);
    let lacks = lacks(Road::System, Scope::Tests, &machine);
    assert_eq!(lacks.len(), 9);
    assert!(
        lacks.iter().all(|lack| lack.remedy != Remedy::ByHand),
        "{lacks:?}"
    );
    assert_eq!(
        lacks[0].sentence.split(": ").next(),
        Some("there is no /usr/bin/rustc")
    );
    assert_eq!(lacks[2].remedy, Remedy::Apt(vec!["bpftool".into()]));
    assert_eq!(lacks[3].remedy, Remedy::Apt(vec!["iproute2".into()]));
    for lack in &lacks[4..6] {
        assert_eq!(lack.remedy, Remedy::Apt(vec!["prometheus".into()]));
    }
    for (lack, package) in lacks[6..].iter().zip(["faketime", "curl", "python3"]) {
        assert_eq!(lack.remedy, Remedy::Apt(vec![package.into()]));
    }
    let lacks = super::lacks(Road::System, Scope::Bench, &machine);
    assert_eq!(lacks[2].remedy, Remedy::Apt(vec!["nftables".into()]));
}

#[test]
fn elsewhere_every_lack_is_a_persons() {
    let machine = bare(Os::Other);
    assert_eq!(choose(&machine), Road::Nightly);
    let lacks = lacks(Road::Nightly, Scope::Tests, &machine);
    assert!(
        lacks.iter().all(|lack| lack.remedy == Remedy::ByHand),
        "{lacks:?}"
    );
    assert_eq!(
        lacks[0].sentence,
        "there is no nightly Rust: run `rustup toolchain install nightly --profile minimal --component rust-src`"
    );
    assert!(
        lacks[1]
            .sentence
            .starts_with("bpf-linker is missing: install LLVM 22 with its headers, then run `")
    );
    assert!(
        lacks[2]
            .sentence
            .ends_with("install what Debian calls `bpftool`")
    );
}
