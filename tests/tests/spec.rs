//! Every spec row, on the host and in the kernel. The kernel's rows need root.

use std::cell::RefCell;

use libtest_mimic::{Arguments, Failed, Trial};
use splitter_tests::spec::{Row, host::Host, kernel::Kernel, rows, run::run};

thread_local! {
    /// Loading takes half a second, so the rows share one data plane. With one test thread they
    /// all run on the main thread.
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
}

fn on_host(row: &Row) -> Result<(), Failed> {
    run(row, &mut Host::default()).map_err(|error| format!("{error:#}").into())
}

fn in_kernel(row: &Row) -> Result<(), Failed> {
    KERNEL.with_borrow_mut(|kernel| {
        let kernel = match kernel {
            Some(kernel) => kernel,
            None => kernel.insert(Kernel::new().map_err(|error| format!("{error:#}"))?),
        };
        run(row, kernel).map_err(|error| format!("{error:#}").into())
    })
}

fn main() {
    let mut arguments = Arguments::from_args();
    // BPF_PROG_TEST_RUN sees the namespace of its thread; the trials run on this one.
    arguments.test_threads = Some(1);
    let rows = rows().expect("the rows can be read");
    let mut trials = Vec::new();
    for row in rows {
        let name = row.name.clone();
        if row.host_only.is_none() {
            let row = row.clone();
            trials.push(Trial::test(format!("kernel: {name}"), move || {
                in_kernel(&row)
            }));
        }
        trials.push(Trial::test(format!("host: {name}"), move || on_host(&row)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}
