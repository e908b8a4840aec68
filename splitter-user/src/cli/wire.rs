//! Owns the two calls from the command line into the parts that touch the kernel.

use std::path::Path;

use crate::{daemon, dataplane, model::ServeOptions};

/// Runs the daemon until it is told to stop.
pub(super) fn serve(options: ServeOptions) -> anyhow::Result<()> {
    daemon::serve(options)
}

/// Takes the programs off the interfaces and says what was done.
pub(super) fn detach(pin_dir: &Path) -> anyhow::Result<String> {
    Ok(dataplane::detach(pin_dir)
        .map_err(daemon::refusal)?
        .to_string())
}
