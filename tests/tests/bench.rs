//! The bench's packets take the ways that its cases name. Needs root; measures nothing.

use splitter_tests::bench::{built_object, walk};

#[test]
fn packets_of_the_bench_take_the_way_of_their_case() {
    let object = built_object();
    walk(&object).expect("as their case says");
}
