//! The sizes of splitter's programs: within their limits, and as recorded. Needs root.

use splitter_tests::bench::sizes::{faults, measure, recorded};

#[test]
fn the_programs_have_the_size_that_is_recorded() {
    let recorded = recorded().expect("the record");
    for measured in measure().expect("sizes") {
        let of_program = recorded
            .iter()
            .flatten()
            .find(|size| size.name == measured.name);
        let faults = faults(&measured, of_program);
        assert!(faults.is_empty(), "{faults:#?}");
    }
}
