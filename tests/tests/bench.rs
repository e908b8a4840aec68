//! The bench's packets take the ways that its cases name. Needs root; measures nothing.

use std::path::PathBuf;

use splitter_tests::bench::walk;

#[test]
fn packets_of_the_bench_take_the_way_of_their_case() {
    let object = std::env::var_os("SPLITTER_BENCH_OBJECT").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../target/ebpf/bench.o"
            ))
        },
        PathBuf::from,
    );
    walk(&object).expect("as their case says");
}
