//! Every spec row, on the host and in the kernel, and those that forward on a wire. All but the
//! host's need root.

use std::cell::RefCell;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use splitter_tests::spec::{
    Row,
    host::Host,
    kernel::Kernel,
    rows,
    run::{Executor, run},
    wire::Wire,
};

/// An executor that the rows share: loading takes half a second. It enters a network namespace,
/// which a thread can leave only with others: rows of one executor run one after the other, and
/// with one test thread they all run on the main thread.
struct Shared<E>(RefCell<Option<E>>);

impl<E: Executor> Shared<E> {
    fn run(&self, row: &Row, new: impl FnOnce() -> Result<E>) -> Result<(), Failed> {
        let mut shared = self.0.borrow_mut();
        let executor = match shared.as_mut() {
            Some(executor) => executor,
            None => shared.insert(new().map_err(|error| format!("{error:#}"))?),
        };
        run(row, executor).map_err(|error| format!("{error:#}").into())
    }
}

thread_local! {
    static KERNEL: Shared<Kernel> = const { Shared(RefCell::new(None)) };
    static WIRE: Shared<Wire> = const { Shared(RefCell::new(None)) };
}

fn on_host(row: &Row) -> Result<(), Failed> {
    run(row, &mut Host::default()).map_err(|error| format!("{error:#}").into())
}

fn main() {
    let mut arguments = Arguments::from_args();
    // BPF_PROG_TEST_RUN sees the namespace of its thread; the trials run on this one.
    arguments.test_threads = Some(1);
    let rows = rows().expect("the rows can be read");
    let mut trials = Vec::new();
    for row in &rows {
        let name = &row.name;
        if row.host_only.is_none() {
            let row = row.clone();
            let in_kernel = move || KERNEL.with(|kernel| kernel.run(&row, Kernel::new));
            trials.push(Trial::test(format!("kernel: {name}"), in_kernel));
        }
        let row = row.clone();
        trials.push(Trial::test(format!("host: {name}"), move || on_host(&row)));
    }
    // After all of the kernel's, whose namespace this thread leaves here.
    for row in rows
        .into_iter()
        .filter(|row| row.host_only.is_none() && row.forwards())
    {
        let name = format!("wire: {}", row.name);
        let on_wire = move || WIRE.with(|wire| wire.run(&row, Wire::new));
        trials.push(Trial::test(name, on_wire));
    }
    libtest_mimic::run(&arguments, trials).exit();
}
